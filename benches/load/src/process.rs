//! The system's figures about the server's process, and about our own.

use std::fs;
use std::io;
use std::mem::MaybeUninit;

use anyhow::{Context, Result};

/// The largest process id of Linux.
pub const PID_MAX: u32 = 1 << 22;

/// The server's process.
pub struct Process {
    pid: u32,
    cpu_clock: libc::clockid_t,
}

/// The resources of a process at one moment.
#[derive(Clone, Copy)]
pub struct Footprint {
    pub rss_kib: u64,
    pub threads: u64,
}

impl Process {
    pub fn new(pid: u32) -> Result<Process> {
        let mut cpu_clock = 0;
        // SAFETY: `cpu_clock` is valid for the call.
        let result = unsafe { libc::clock_getcpuclockid(pid as libc::pid_t, &mut cpu_clock) };
        if result != 0 {
            let error = io::Error::from_raw_os_error(result);
            return Err(error).with_context(|| format!("process {pid} cannot be measured: choose another with --pid"));
        }
        Ok(Process { pid, cpu_clock })
    }

    /// The process's CPU time so far, user and system, in nanoseconds. It includes threads that have ended, and is not
    /// rounded to ticks of 10 ms as in /proc/PID/stat.
    pub fn cpu_ns(&self) -> Result<u64> {
        read_clock(self.cpu_clock).with_context(|| format!("process {} is gone", self.pid))
    }

    pub fn footprint(&self) -> Result<Footprint> {
        let path = format!("/proc/{}/status", self.pid);
        let status = fs::read_to_string(&path).with_context(|| format!("process {} is gone", self.pid))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
            number.with_context(|| format!("{path} has no {name}"))
        };
        Ok(Footprint { rss_kib: field("VmRSS:")?, threads: field("Threads:")? })
    }
}

/// Our own CPU time so far, in nanoseconds.
pub fn own_cpu_ns() -> Result<u64> {
    Ok(read_clock(libc::CLOCK_PROCESS_CPUTIME_ID)?)
}

/// Raises the limit of open files to the system's maximum: each connection is one.
pub fn raise_file_limit() -> io::Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is valid for both calls.
    let failed = unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) != 0 || {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit) != 0
        }
    };
    if failed { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn read_clock(clock: libc::clockid_t) -> io::Result<u64> {
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: the pointer is valid for the call, which fills it in if it succeeds.
    let time = unsafe {
        if libc::clock_gettime(clock, time.as_mut_ptr()) != 0 {
            return Err(io::Error::last_os_error());
        }
        time.assume_init()
    };
    Ok(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_can_be_measured() {
        let process = Process::new(std::process::id()).unwrap();
        let before = process.cpu_ns().unwrap();
        while process.cpu_ns().unwrap() < before + 1_000_000 {}
        assert!(own_cpu_ns().unwrap() > before);
        let footprint = process.footprint().unwrap();
        assert!(footprint.rss_kib > 100 && footprint.threads >= 1);
    }

    #[test]
    fn a_process_that_is_not_there_is_an_error() {
        assert!(Process::new(PID_MAX + 1).is_err());
    }
}
