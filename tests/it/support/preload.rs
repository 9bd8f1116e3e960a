//! Libraries that stand between a program and the system (`tests/power/*.c`): a disk that fails, a clock that is wrong.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles `tests/power/NAME.c` into this folder, for a program's LD_PRELOAD.
pub fn compile(name: &str, folder: &Path) -> PathBuf {
    let library = folder.join(name).with_extension("so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/power").join(name).with_extension("c");
    let mut compile = Command::new("cc");
    compile.args(["-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o"]).arg(&library).arg(source);
    assert!(compile.args(["-ldl", "-lpthread"]).status().expect("cc is there, as for the build").success());
    library
}
