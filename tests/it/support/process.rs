//! A server in a process of its own, as a user starts it.

use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::DEADLINE;

/// The threads of the gRPC library. The system keeps 15 bytes of a name.
pub const LIBRARY_THREADS: [&str; 5] =
    ["default-executo", "resolver-execut", "event_engine", "timer_manager", "grpc_global_tim"];

/// The thread of a server that writes to the disk.
pub struct LogWriter(PathBuf);

impl LogWriter {
    /// Whether it is writing to the disk, or waits for it. The check takes a few microseconds, a commit at least a
    /// hundred. A writer that has ended, as in a drain, does neither.
    pub fn is_writing(&self) -> bool {
        // The number of the thread's current system call, and its arguments; or "running".
        let call = match fs::read_to_string(self.0.join("syscall")) {
            Ok(call) => call,
            Err(_) if !self.0.exists() => return false,
            Err(error) => panic!("the kernel reports the calls of a child: {error}"),
        };
        let number = call.split(' ').next().and_then(|number| number.parse().ok());
        number.is_some_and(|number| [libc::SYS_fdatasync, libc::SYS_fsync, libc::SYS_pwrite64].contains(&number))
    }
}

/// The process. Killed when dropped.
pub struct ServerProcess {
    child: Child,
    target: String,
    log: Receiver<String>,
    /// Returns the first line that has a secret.
    log_reader: Option<JoinHandle<Option<String>>>,
}

impl ServerProcess {
    /// Starts a server on a free port and waits until it listens. It keeps its logs in memory, unless `--data` is
    /// given.
    pub fn start(arguments: &[&str]) -> Self {
        let storage = if arguments.contains(&"--data") { None } else { Some("--ephemeral") };
        let mut command = command();
        command.args(["--listen", "127.0.0.1:0"]).args(storage).args(arguments);
        Self::listening(command)
    }

    /// Starts a [`command`], and waits until the server listens.
    pub fn listening(command: Command) -> Self {
        let mut server = Self::spawn(command);
        server.wait_for_listening();
        server
    }

    /// Waits until it listens. Returns its address.
    pub fn wait_for_listening(&mut self) -> String {
        let line = self.wait_for_log("listening on ");
        let address = line.rsplit(' ').next().expect("an address ends the line");
        // In JSON, the line ends with it.
        self.target = address.trim_end_matches("\"}").to_owned();
        self.target.clone()
    }

    /// Starts a [`command`] without waiting.
    pub fn spawn(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("hubbub-server starts");
        let stderr = child.stderr.take().expect("standard error is piped");
        let (lines, log) = channel();
        let log_reader = thread::spawn(move || {
            let mut leak = None;
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if leak.is_none() && has_secret(&line) {
                    leak = Some(line.clone());
                }
                let _ = lines.send(line);
            }
            leak
        });
        Self { child, target: String::new(), log, log_reader: Some(log_reader) }
    }

    pub fn target(&self) -> &str {
        &self.target
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line of the server's log that contains this text.
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

    /// Whether it has a handler for this signal.
    pub fn handles(&self, signal: libc::c_int) -> bool {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the server runs");
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:\t")).expect("the kernel reports it");
        u64::from_str_radix(caught, 16).expect("a number in base 16") & (1 << (signal - 1)) != 0
    }

    /// Stops the process with SIGSTOP, and waits until all its threads have stopped, which is not immediate.
    pub fn freeze(&self) {
        self.signal(libc::SIGSTOP);
        let deadline = Instant::now() + DEADLINE;
        let is_stopped = |task: PathBuf| {
            let status = fs::read_to_string(task.join("status")).unwrap_or_default();
            status.lines().any(|line| line.starts_with("State:\tT"))
        };
        let tasks = || fs::read_dir(format!("/proc/{}/task", self.pid())).expect("the server is running").flatten();
        while !tasks().all(|task| is_stopped(task.path())) {
            assert!(Instant::now() < deadline, "the server does not stop");
            thread::park_timeout(Duration::from_millis(1));
        }
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

    /// The rest of its log. The server must have ended.
    pub fn rest_of_log(&mut self) -> Vec<String> {
        self.log.iter().collect()
    }

    /// Kills it with SIGKILL, like a crash.
    pub fn crash(mut self) {
        self.signal(libc::SIGKILL);
        let status = self.wait();
        assert_eq!(status.signal(), Some(libc::SIGKILL), "the server had ended before: {status}");
    }

    /// Its log writer.
    pub fn log_writer(&self) -> LogWriter {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid())).expect("the server runs").flatten();
        let is_writer = |task: &PathBuf| fs::read_to_string(task.join("comm")).is_ok_and(|name| name == "log-writer\n");
        LogWriter(tasks.map(|task| task.path()).find(is_writer).expect("a server that listens has a log writer"))
    }

    /// How many threads it runs.
    pub fn threads(&self) -> usize {
        fs::read_dir(format!("/proc/{}/task", self.pid())).expect("the server runs").count()
    }

    /// How many of its threads do not belong to the gRPC library, which starts threads on demand and keeps them.
    pub fn own_threads(&self) -> usize {
        self.thread_names().filter(|name| !LIBRARY_THREADS.contains(&name.trim_end())).count()
    }

    /// How many of its threads serve streams, at most two each, or are spare, by their names.
    pub fn client_threads(&self) -> usize {
        self.threads_named(&["recv-", "send-", "spare"])
    }

    /// How many of its threads have a name with one of these beginnings.
    pub fn threads_named(&self, beginnings: &[&str]) -> usize {
        self.thread_names().filter(|name| beginnings.iter().any(|beginning| name.starts_with(beginning))).count()
    }

    fn thread_names(&self) -> impl Iterator<Item = String> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid())).expect("the server runs").flatten();
        tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok())
    }

    /// How many files it has open.
    pub fn files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("the server runs").count()
    }

    /// How many of them are sockets.
    pub fn sockets(&self) -> usize {
        let files = fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("the server runs").flatten();
        let targets = files.filter_map(|file| fs::read_link(file.path()).ok());
        targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
    }

    /// How much memory it occupies, in KiB.
    pub fn rss_kib(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the server runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("the kernel reports VmRSS");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number of KiB")
    }

    /// The voluntary context switches of its threads, without the two timers of the gRPC library, which wake up once a
    /// second.
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
        if thread::panicking()
            && let Ok(Some(status)) = self.child.try_wait()
        {
            eprintln!("the server had ended before: {status}");
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        let leak = self.log_reader.take().and_then(|reader| reader.join().ok().flatten());
        if let Some(line) = leak
            && !thread::panicking()
        {
            panic!("a secret is in the log: {line}");
        }
    }
}

/// Whether a line has a token: one of ours, or a JSON web token. Every line that a server logs in a test is checked.
pub fn has_secret(line: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    line.split(|c| !is_part(c)).any(|word| {
        let is_ours = word.starts_with("hub_") && word.len() > 32;
        let is_jwt = word.starts_with("eyJ") && word.matches('.').count() == 2 && word.len() > 60;
        is_ours || is_jwt
    })
}

/// An address that a server can listen on again after it was killed: its port is outside of the ephemeral range, so it
/// is not used for a client's end of a connection.
pub fn lasting_address() -> String {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").expect("the kernel reports its ports");
    let first = range.split_whitespace().next().and_then(|port| port.parse::<u16>().ok()).expect("a range of ports");
    let mut addresses = (0..1000).map(|_| format!("127.0.0.1:{}", fastrand::u16(1024..first)));
    addresses.find(|address| TcpListener::bind(address).is_ok()).expect("a port is free")
}

/// The server's program, without settings from the environment of the tests. A variable names another build of it.
pub fn command() -> Command {
    let program = env::var("HUBBUB_TEST_SERVER").unwrap_or(env!("CARGO_BIN_EXE_hubbub-server").to_owned());
    let mut command = Command::new(program);
    for variable in ["PORT", "HUBBUB_LISTEN", "HUBBUB_DATA", "HUBBUB_SYNC", "HUBBUB_EPHEMERAL", "RUST_LOG"] {
        command.env_remove(variable);
    }
    // Tests run beside each other, and each default address is one.
    command.env("HUBBUB_HTTP", "none").env("HUBBUB_ADMIN", "none").stdin(Stdio::null());
    command
}
