//! The repeat client. What it does, `hubbub::repeat` says.

use std::io::{self, Write as _};
use std::process::ExitCode;

use env_logger::{Env, Target};
use hubbub::escape::escape;
use hubbub::names::RoomName;
use hubbub::repeat::{self, InvalidPlan, Options, Plan, Progress};

fn main() -> ExitCode {
    hubbub::startup::forget_empty_variables();
    let options = Options::from_program();
    let plan = match repeat::messages(&options).and_then(|messages| Plan::new(&options, messages)) {
        Ok(plan) => plan,
        Err(error @ InvalidPlan(_)) => return complain(&error.to_string(), 2),
    };
    let progress = Progress::new(options.quiet);
    // Of the gRPC library, only what went wrong.
    let level = if options.quiet { "error" } else { "error,hubbub=info" };
    env_logger::Builder::from_env(Env::default().default_filter_or(level))
        // A message may hold text from a server, or from the library about what a server sent.
        .format(|out, record| {
            let message = record.args().to_string();
            writeln!(out, "[{} {:<5}] {}", out.timestamp_millis(), record.level(), escape(&message))
        })
        .target(Target::Pipe(Box::new(progress.log_target())))
        .init();
    if plan.room == RoomName::lobby() {
        log::warn!(
            "these messages go to the room lobby, and a server that keeps its log keeps them for people to read"
        );
    }
    hubbub::descriptors::allow_many();
    let report = match repeat::run(plan, &progress) {
        Ok(report) => report,
        Err(error) => return complain(&escape(&error.to_string()), 1),
    };
    let result = if options.json { report.json() + "\n" } else { report.table() };
    // Nobody is left to tell that standard output is closed; the exit code still says how it went.
    let _ = io::stdout().write_all(result.as_bytes()).and_then(|()| io::stdout().flush());
    if report.is_faultless() { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

fn complain(error: &str, code: u8) -> ExitCode {
    let _ = writeln!(io::stderr(), "hubbub-repeat: {error}");
    ExitCode::from(code)
}
