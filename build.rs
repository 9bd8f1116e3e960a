//! Generates the protobuf messages from `proto/`, in pure Rust, without `protoc`; and with the feature `core-patches` compiles the two
//! files in C++: one changes what a call passes in the C core (`src/server/rpc/channel_stack.rs`), the other how it accepts connections
//! (`src/server/rpc/accept.rs`).

use std::env;
use std::path::PathBuf;
use std::process::Command;

fn main() {
    generate_messages();
    if env::var_os("CARGO_FEATURE_CORE_PATCHES").is_some() {
        compile_core_patches();
    }
}

fn generate_messages() {
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

fn compile_core_patches() {
    let file = "src/server/rpc/channel_stack.cc";
    let accept = "src/server/rpc/accept.cc";
    println!("cargo:rerun-if-changed={file}");
    println!("cargo:rerun-if-changed={accept}");
    println!("cargo:rerun-if-changed=Cargo.lock");
    println!("cargo:rerun-if-env-changed=GRPCIO_SYS_USE_PKG_CONFIG");
    // As grpcio-sys reads it.
    if env::var("GRPCIO_SYS_USE_PKG_CONFIG").is_ok_and(|value| value == "1") {
        panic!(
            "the system's gRPC can't be used: {file} needs the version that Cargo.lock names. Unset GRPCIO_SYS_USE_PKG_CONFIG"
        );
    }
    let grpc = grpc_source();
    let mut build = cc::Build::new();
    build.cpp(true).file(file).file(accept).warnings(true);
    for folder in ["", "include", "third_party/abseil-cpp", "third_party/upb", "src/core/ext/upb-generated"] {
        // As the system's headers, of whose warnings nobody is told.
        build.flag("-isystem").flag(grpc.join(folder).display().to_string());
    }
    // The C core's own build leaves this out only where nothing is optimized, and its structures depend on it.
    if env::var("OPT_LEVEL").is_ok_and(|level| level != "0") {
        build.define("NDEBUG", None);
    }
    // The C core's own build asks for it there, and its strings depend on it.
    if env::var("CARGO_CFG_TARGET_VENDOR").is_ok_and(|vendor| vendor == "apple") {
        build.std("c++14");
    }
    build.compile("hubbub_core_patches");
}

/// Where the source of the C core is that this build uses: its internal headers are not among what its crate hands out.
fn grpc_source() -> PathBuf {
    let variable = |name| env::var(name).expect("cargo sets it");
    let output = Command::new(variable("CARGO"))
        .args(["metadata", "--format-version=1", "--locked", "--filter-platform", &variable("TARGET")])
        .output()
        .expect("cargo can be run");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("cargo metadata fails: {}", String::from_utf8_lossy(&output.stderr)));
    let packages = metadata["packages"].as_array().expect("cargo metadata lists packages");
    let package = packages.iter().find(|package| package["name"] == "grpcio-sys").expect("grpcio-sys is a dependency");
    let manifest = package["manifest_path"].as_str().expect("a package has a manifest");
    PathBuf::from(manifest).with_file_name("grpc")
}
