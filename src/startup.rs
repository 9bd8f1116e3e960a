//! Set-up before the C core starts: descriptors 0 to 2 are open, and the C core's log lines go to our log.

use std::ffi::CStr;
use std::io;
use std::mem;
use std::os::fd::AsRawFd as _;
use std::sync::Once;
use std::sync::atomic::{AtomicU8, Ordering};

use grpcio_sys::{gpr_log_func_args, gpr_log_severity, gpr_set_log_function, gpr_set_log_verbosity};
use log::{Level, LevelFilter, Record};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::fcntl_getfd;
use rustix::stdio::{stderr, stdin, stdout};

/// Which of the descriptors 0 to 2 the program was started without, a bit each.
static CLOSED: AtomicU8 = AtomicU8::new(0);

/// A static initialiser of the C core opens a descriptor. If standard input is closed, that descriptor is number 0, and
/// a program that reads its input then waits forever. Functions in this section run before any static initialiser.
#[cfg(target_os = "linux")]
#[used]
#[unsafe(link_section = ".preinit_array")]
static OPEN_STANDARD_DESCRIPTORS: extern "C" fn() = open_standard_descriptors;

/// Opens those of the descriptors 0 to 2 that are closed, so that no later file or socket gets their numbers.
///
/// Runs before the C library's own initialisers: it makes only system calls and allocates nothing.
extern "C" fn open_standard_descriptors() {
    let mut closed = 0;
    for descriptor in [stdin(), stdout(), stderr()] {
        if fcntl_getfd(descriptor).is_err() {
            // The lowest free number is this one, because those below it are open. It stays open until the program
            // ends.
            if let Ok(opened) = open(c"/dev/null", OFlags::RDWR, Mode::empty()) {
                mem::forget(opened);
            }
            closed |= 1 << descriptor.as_raw_fd();
        }
    }
    CLOSED.store(closed, Ordering::Relaxed);
}

/// Removes empty `HUBBUB_` variables, and an empty `PORT`: an empty variable counts as unset.
///
/// Call it first in `main`: no other thread may run, because the environment is not guarded.
pub fn forget_empty_variables() {
    for (variable, value) in std::env::vars_os() {
        let ours = variable.to_str().is_some_and(|variable| variable.starts_with("HUBBUB_") || variable == "PORT");
        if ours && value.is_empty() {
            // SAFETY: the program has one thread so far.
            unsafe { std::env::remove_var(variable) };
        }
    }
}

/// Fails if the program was started without standard input.
pub fn check_input() -> io::Result<()> {
    check(libc::STDIN_FILENO, "standard input is closed")
}

/// Fails if the program was started without standard output.
pub fn check_output() -> io::Result<()> {
    check(libc::STDOUT_FILENO, "standard output is closed")
}

fn check(descriptor: i32, fault: &'static str) -> io::Result<()> {
    let closed = CLOSED.load(Ordering::Relaxed) & (1 << descriptor) != 0;
    if closed { Err(io::Error::other(fault)) } else { Ok(()) }
}

/// Sends the C core's log lines to the `log` crate, under the target `grpcio`.
///
/// grpcio's own `redirect_log` removes the C core's log function if the filter is `off`. The C core then writes
/// directly to standard error, over the contents of the terminal. This function is always installed.
pub fn redirect_core_log() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let verbosity = match log::max_level() {
            LevelFilter::Off | LevelFilter::Error | LevelFilter::Warn => gpr_log_severity::GPR_LOG_SEVERITY_ERROR,
            LevelFilter::Info => gpr_log_severity::GPR_LOG_SEVERITY_INFO,
            LevelFilter::Debug | LevelFilter::Trace => gpr_log_severity::GPR_LOG_SEVERITY_DEBUG,
        };
        // SAFETY: the function is static, and does not unwind: it only formats and logs.
        unsafe {
            gpr_set_log_function(Some(log_line));
            gpr_set_log_verbosity(verbosity);
        }
    });
}

extern "C" fn log_line(args: *mut gpr_log_func_args) {
    // SAFETY: the C core passes one structure, whose message is a C string; both outlive the call.
    let (severity, message) = unsafe { ((*args).severity, CStr::from_ptr((*args).message)) };
    let level = match severity {
        gpr_log_severity::GPR_LOG_SEVERITY_DEBUG => Level::Debug,
        gpr_log_severity::GPR_LOG_SEVERITY_INFO => Level::Info,
        gpr_log_severity::GPR_LOG_SEVERITY_ERROR => Level::Error,
    };
    if level <= log::max_level() {
        let message = message.to_string_lossy();
        log::logger().log(&Record::builder().args(format_args!("{message}")).level(level).target("grpcio").build());
    }
}
