//! Libraries that intercept a program's system calls (`tests/power/*.c`): a failing disk, a wrong clock.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles `tests/power/NAME.c` into this folder, for `LD_PRELOAD`.
pub fn compile(name: &str, folder: &Path) -> PathBuf {
    let library = folder.join(name).with_extension("so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/power").join(name).with_extension("c");
    let mut compile = Command::new("cc");
    compile.args(["-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o"]).arg(&library).arg(source);
    assert!(compile.args(["-ldl", "-lpthread"]).status().expect("cc is installed, as for the build").success());
    library
}
