//! A server in a process of its own, as a user starts it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use super::DEADLINE;

/// The process. Killed when dropped.
pub struct ServerProcess {
    child: Child,
    target: String,
    log: Receiver<String>,
    log_reader: Option<JoinHandle<()>>,
}

impl ServerProcess {
    /// Starts a server on a free port and waits until it listens.
    pub fn start(arguments: &[&str]) -> Self {
        let mut child = command()
            .args(["--listen", "127.0.0.1:0"])
            .args(arguments)
            .stderr(Stdio::piped())
            .spawn()
            .expect("hubbub-server starts");
        let stderr = child.stderr.take().expect("standard error is piped");
        let (lines, log) = channel();
        let log_reader = thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let _ = lines.send(line);
            }
        });
        let mut server = Self { child, target: String::new(), log, log_reader: Some(log_reader) };
        let line = server.wait_for_log("listening on ");
        server.target = line.rsplit(' ').next().expect("an address ends the line").to_owned();
        server
    }

    pub fn target(&self) -> &str {
        &self.target
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line of the server's log that holds this text.
    pub fn wait_for_log(&mut self, text: &str) -> String {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.log.recv_timeout(left) {
                Ok(line) if line.contains(text) => return line,
                Ok(_) => {}
                Err(_) => panic!("the server did not log {text:?} in time"),
            }
        }
    }

    pub fn signal(&self, signal: libc::c_int) {
        // SAFETY: the process is our child and was not waited for, so its id can't have passed to another.
        let result = unsafe { libc::kill(self.child.id() as libc::pid_t, signal) };
        assert_eq!(result, 0, "the server can be signalled");
    }

    /// Waits until the process has ended.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().expect("the server is our child") {
                return status;
            }
            assert!(Instant::now() < deadline, "the server did not end");
            thread::park_timeout(std::time::Duration::from_millis(2));
        }
    }

    /// How many threads it runs.
    pub fn threads(&self) -> usize {
        fs::read_dir(format!("/proc/{}/task", self.pid())).expect("the server runs").count()
    }

    /// How many files it holds open.
    pub fn files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("the server runs").count()
    }

    /// How much memory it occupies, in KiB.
    pub fn rss_kib(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the server runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("the kernel tells VmRSS");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number of KiB")
    }

    /// How often its threads have gone to sleep by themselves, but for the two timers of the gRPC library's, which look
    /// once a second whether there is something to do.
    pub fn voluntary_switches(&self) -> u64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid())).expect("the server runs").flatten();
        let statuses = tasks.filter_map(|task| fs::read_to_string(task.path().join("status")).ok());
        let timers = ["Name:\tgrpc_global_tim\n", "Name:\ttimer_manager\n"];
        let statuses = statuses.filter(|status| !timers.iter().any(|timer| status.starts_with(timer)));
        let switches = |status: String| {
            let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            line.and_then(|count| count.trim().parse::<u64>().ok()).expect("the kernel counts switches")
        };
        statuses.map(switches).sum()
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.log_reader.take() {
            let _ = reader.join();
        }
    }
}

/// The server's program, with no settings from the environment that the tests run in.
pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hubbub-server"));
    command.env_remove("PORT").env_remove("HUBBUB_LISTEN").env_remove("RUST_LOG").stdin(Stdio::null());
    command
}
