//! Generates the protobuf messages from `proto/`. Pure Rust: needs no `protoc`.

fn main() {
    println!("cargo:rerun-if-changed=proto");
    for (contract, folder) in [("chatserver/chat.proto", "chatserver"), ("hubbub/v1/chat.proto", "hubbub_v1")] {
        protobuf_codegen::Codegen::new()
            .pure()
            .include("proto")
            .input(format!("proto/{contract}"))
            .cargo_out_dir(folder)
            .run_from_script();
    }
}
