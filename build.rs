//! Generates the protobuf messages from `proto/`. Pure Rust: needs no `protoc`.

fn main() {
    println!("cargo:rerun-if-changed=proto");
    protobuf_codegen::Codegen::new()
        .pure()
        .include("proto")
        .input("proto/chatserver/chat.proto")
        .cargo_out_dir("proto")
        .run_from_script();
}
