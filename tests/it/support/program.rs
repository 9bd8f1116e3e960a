//! A program of the folder `examples`, as its user starts it. Killed when dropped.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use super::foreign::{project, python};
use super::wait_for;

/// The program.
pub struct Program {
    child: Child,
    input: Option<ChildStdin>,
    printed: Lines,
    /// What it says on standard error.
    said: Lines,
}

/// The lines of a pipe so far.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    /// A thread reads the pipe to its end.
    fn of(pipe: impl Read + Send + 'static) -> Self {
        let lines = Self::default();
        let reading = lines.clone();
        thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                reading.0.lock().expect("no reader panics").push(line);
            }
        });
        lines
    }

    fn get(&self) -> Vec<String> {
        self.0.lock().expect("no reader panics").clone()
    }
}

/// A program in Python, whose file is named from the root of the repository. It connects directly and has no token,
/// whatever the environment of the tests says.
pub fn in_python(file: &str) -> Command {
    let mut command = python();
    command.arg(project(file)).env("PYTHONDONTWRITEBYTECODE", "1");
    let tokens = ["HUBBUB_TOKEN", "HUBBUB_TOKEN_FILE", "OTHER_HUBBUB_TOKEN", "OTHER_HUBBUB_TOKEN_FILE"];
    for variable in tokens.into_iter().chain(["http_proxy", "HTTP_PROXY", "grpc_proxy", "all_proxy", "ALL_PROXY"]) {
        command.env_remove(variable);
    }
    command
}

impl Program {
    pub fn start(mut command: Command) -> Self {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let printed = Lines::of(child.stdout.take().expect("standard output is piped"));
        let said = Lines::of(child.stderr.take().expect("standard error is piped"));
        Self { input: child.stdin.take(), child, printed, said }
    }

    pub fn write_line(&mut self, line: &str) {
        let input = self.input.as_mut().expect("it was not finished");
        writeln!(input, "{line}").unwrap_or_else(|error| panic!("it reads no more ({error}): {:?}", self.said.get()));
    }

    /// The lines that it has printed so far.
    pub fn printed(&self) -> Vec<String> {
        self.printed.get()
    }

    /// Waits until it has said this on standard error.
    pub fn wait_until_said(&self, text: &str) -> String {
        let find = || self.said.get().into_iter().find(|line| line.contains(text));
        wait_for(text, || find().is_some());
        find().expect("it was said")
    }

    /// Ends its input, and waits until it ends by itself.
    pub fn finish(mut self) -> ExitStatus {
        drop(self.input.take());
        self.wait()
    }

    /// Waits until it has ended by itself.
    pub fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        wait_for("the end of a program", || {
            status = self.child.try_wait().expect("it is our child");
            status.is_some()
        });
        status.expect("it has ended")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            self.said.get().iter().for_each(|line| eprintln!("the program: {line}"));
        }
    }
}
