//! Generates the protobuf messages from `proto/`, in pure Rust, without `protoc`; lists the files of the page; and with the
//! feature `core-patches` compiles and links what changes the C core (`src/server/rpc/patches/`, docs/core-patches.md).

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    generate_messages();
    list_page();
    name_commit();
    note_settings();
    if env::var_os("CARGO_FEATURE_CORE_PATCHES").is_some() {
        compile_core_patches();
    }
}

fn generate_messages() {
    println!("cargo:rerun-if-changed=proto");
    for (contract, folder) in [
        ("chatserver/chat.proto", "chatserver"),
        ("hubbub/v1/chat.proto", "hubbub_v1"),
        ("grpc/health/v1/health.proto", "grpc_health_v1"),
        ("grpc/reflection/v1/reflection.proto", "grpc_reflection_v1"),
        ("grpc/reflection/v1alpha/reflection.proto", "grpc_reflection_v1alpha"),
    ] {
        protobuf_codegen::Codegen::new()
            .pure()
            .include("proto")
            .input(format!("proto/{contract}"))
            .cargo_out_dir(folder)
            .run_from_script();
    }
}

/// Names the commit of sources that cargo fetched, for `--version`. They do not change.
///
/// The sources of a clone do: to name its commit here, everything would have to be built again after each commit. There, the
/// variable HUBBUB_COMMIT names it, which the Makefile sets and only the three programs' mains look at.
fn name_commit() {
    let folder = PathBuf::from(env::var("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    if let Some(commit) = packaged_commit(&folder).or_else(|| fetched_commit(&folder)) {
        println!("cargo:rustc-env=HUBBUB_FETCHED_COMMIT={commit}");
    }
}

/// Of a package of a registry: `cargo package` has written it down.
fn packaged_commit(folder: &Path) -> Option<String> {
    let text = fs::read(folder.join(".cargo_vcs_info.json")).ok()?;
    let facts: serde_json::Value = serde_json::from_slice(&text).ok()?;
    facts["git"]["sha1"].as_str().filter(|commit| is_hex(commit)).map(str::to_owned)
}

/// Of `cargo install --git`: it puts each commit into a folder with its name, `git/checkouts/hubbub-0123456789abcdef/d04c7b2`.
fn fetched_commit(folder: &Path) -> Option<String> {
    let names: Vec<_> = folder.iter().map(|name| name.to_str()).collect();
    let start = names.windows(2).position(|pair| *pair == [Some("git"), Some("checkouts")])?;
    let commit = names.get(start + 3).copied().flatten()?;
    (is_hex(commit) && commit.len() >= 7).then(|| commit.to_owned())
}

fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Notes whether SQLite is built with fdatasync(2). `.cargo/config.toml` sees to that, but cargo does not read it if it
/// installs from git or from a registry. Then the server is slower, and says so.
fn note_settings() {
    const FLAGS: &str = "LIBSQLITE3_FLAGS";
    println!("cargo:rerun-if-env-changed={FLAGS}");
    if env::var(FLAGS)
        .is_ok_and(|flags| flags.contains("-DHAVE_FDATASYNC=1") || flags.contains("-Dfdatasync=fdatasync"))
    {
        println!("cargo:rustc-cfg=fdatasync");
    } else {
        println!("cargo:warning={FLAGS} lacks -DHAVE_FDATASYNC=1, so each commit takes longer: see docs/install.md");
    }
}

/// Lists the files of the page, which the program contains.
fn list_page() {
    println!("cargo:rerun-if-changed=web");
    let entries = fs::read_dir("web").expect("the folder web has the page");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("the folder web can be read").path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| PAGE_FILES.iter().any(|known| end == *known)));
    files.sort();
    let name = |path: &Path| path.file_name().expect("it is a file").to_string_lossy().into_owned();
    // The path is found when the program is compiled: the folder may have been moved since this ran.
    let bytes =
        |name: &str| format!("include_bytes!(concat!(env!(\"CARGO_MANIFEST_DIR\"), {:?}))", format!("/web/{name}"));
    let lines = files.iter().map(|path| name(path)).map(|name| format!("    ({name:?}, {}),\n", bytes(&name)));
    let list = format!("const FILES: &[(&str, &[u8])] = &[\n{}];\n", lines.collect::<String>());
    let to = PathBuf::from(env::var("OUT_DIR").expect("cargo sets it")).join("page.rs");
    fs::write(to, list).expect("the output folder can be written to");
}

/// The kinds of files of the page; the folder also has its tests.
const PAGE_FILES: &[&str] = &["html", "css", "js", "svg", "webmanifest"];

const PATCHES: &str = "src/server/rpc/patches";

/// The functions of the C core that `transport.cc` and `inherited.cc` replace, as the linker knows them, and close(2),
/// which `accept.cc` replaces.
const WRAPPED: &[&str] = &[
    "close",
    "_Z19set_matching_sd_fdsP15grpc_tcp_serverPK21grpc_resolved_addressi",
    "_Z24grpc_chttp2_perform_readP21grpc_chttp2_transportRK10grpc_slice",
    "_Z28grpc_create_chttp2_transportRKN9grpc_core11ChannelArgsEP13grpc_endpointb",
    "_Z33grpc_chttp2_goaway_parser_destroyP25grpc_chttp2_goaway_parser",
    "_Z33grpc_chttp2_parsing_accept_streamP21grpc_chttp2_transportj",
    "_Z40grpc_chttp2_add_rst_stream_to_next_writeP21grpc_chttp2_transportjjP28grpc_transport_one_way_stats",
    "_Z40grpc_deframe_unprocessed_incoming_framesP18grpc_chttp2_streamPlPN9grpc_core11SliceBufferEPj",
    "_Z41grpc_chttp2_rst_stream_parser_begin_frameP29grpc_chttp2_rst_stream_parserjh",
];

/// The sources of the C core that the patches rely on, below `src/core`, with the FNV-1a hash of each. To change the
/// version of grpcio-sys, read docs/core-patches.md, check what it says against the new sources, and put the new hashes
/// here.
const RELIED_ON: &[(&str, u64)] = &[
    ("ext/transport/chttp2/server/chttp2_server.cc", 0xafff_c37e_fa08_6689),
    ("ext/transport/chttp2/transport/chttp2_transport.cc", 0x1be4_3f56_84e3_5b14),
    ("ext/transport/chttp2/transport/frame_data.cc", 0xf867_16d7_3815_1b33),
    ("ext/transport/chttp2/transport/frame_goaway.cc", 0xea18_2dbd_feac_b2da),
    ("ext/transport/chttp2/transport/frame_rst_stream.cc", 0xed50_ae06_128d_53be),
    ("ext/transport/chttp2/transport/internal.h", 0x51a4_507f_a453_ccce),
    ("ext/transport/chttp2/transport/parsing.cc", 0x7f4a_cf5a_81f2_cdcf),
    ("ext/transport/chttp2/transport/stream_map.h", 0x54c4_2d56_b055_5ae8),
    ("lib/channel/channel_stack_builder.h", 0x9ea4_98f4_8311_9f7e),
    ("lib/iomgr/combiner.h", 0xcfa7_d814_fefe_c2d6),
    ("lib/iomgr/ev_epoll1_linux.cc", 0xf202_2b4a_06b5_fa3e),
    ("lib/iomgr/socket_mutator.h", 0xb068_4d54_be61_eddf),
    ("lib/iomgr/systemd_utils.cc", 0xaffa_27e5_ca71_9685),
    ("lib/iomgr/tcp_server.h", 0x1bca_2d9f_0548_f8a6),
    ("lib/iomgr/tcp_server_posix.cc", 0xa5fd_9e13_593d_533f),
    ("lib/iomgr/tcp_server_utils_posix_common.cc", 0x4a35_e95c_2190_4de2),
    ("lib/security/context/security_context.h", 0x3300_c6c6_ee7f_2bcf),
    ("lib/security/security_connector/insecure/insecure_security_connector.cc", 0x1278_6307_f63e_4add),
    ("lib/security/transport/server_auth_filter.cc", 0xb212_53be_8b1c_39da),
    ("lib/surface/channel_init.h", 0xd9e7_734a_e667_65f4),
    ("lib/transport/transport.h", 0x84d3_95af_6c1a_8b91),
];

fn compile_core_patches() {
    println!("cargo:rerun-if-changed={PATCHES}");
    println!("cargo:rerun-if-changed=Cargo.lock");
    println!("cargo:rerun-if-env-changed=GRPCIO_SYS_USE_PKG_CONFIG");
    // As grpcio-sys reads it.
    if env::var("GRPCIO_SYS_USE_PKG_CONFIG").is_ok_and(|value| value == "1") {
        panic!(
            "the system's gRPC can't be used: {PATCHES} needs the version that Cargo.lock names. Unset GRPCIO_SYS_USE_PKG_CONFIG"
        );
    }
    let grpc = grpc_source();
    check_source(&grpc);
    let is_linux = env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "linux");
    let mut build = cc::Build::new();
    build.cpp(true).warnings(true).cargo_metadata(false);
    build.file(format!("{PATCHES}/channel_stack.cc")).file(format!("{PATCHES}/accept.cc"));
    // The linkers of other systems can't replace functions.
    if is_linux {
        build.file(format!("{PATCHES}/transport.cc")).file(format!("{PATCHES}/inherited.cc"));
        WRAPPED.iter().for_each(|name| println!("cargo:rustc-link-arg=-Wl,--wrap={name}"));
    }
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
    println!("cargo:rustc-link-search=native={}", env::var("OUT_DIR").expect("cargo sets it"));
    // Whole, because every program contains the C core, whose calls the linker directs here, also if it uses no server.
    println!("cargo:rustc-link-lib=static:+whole-archive=hubbub_core_patches");
}

/// Fails if the C core is not the one that the patches were written for.
fn check_source(grpc: &Path) {
    for (name, expected) in RELIED_ON {
        let path = grpc.join("src/core").join(name);
        let source = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let hash = source
            .iter()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
        assert!(
            hash == *expected,
            "{} is not what {PATCHES} was written for (its hash is {hash:#018x}). If the version of grpcio-sys was changed on purpose, \
             check docs/core-patches.md against it and put the new hash into build.rs; the feature core-patches can be left out meanwhile",
            path.display()
        );
    }
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
