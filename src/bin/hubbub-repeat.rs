//! The repeat client; see `hubbub::repeat`.

use std::io::{self, Write as _};
use std::process::ExitCode;

use env_logger::{Env, Target};
use hubbub::arguments::{self, EXIT_USAGE};
use hubbub::escape::escape;
use hubbub::names::RoomName;
use hubbub::repeat::{self, Interrupt, InvalidPlan, Options, Plan, Progress};

fn main() -> ExitCode {
    hubbub::startup::forget_empty_variables();
    let options: Options = arguments::from_program(option_env!("HUBBUB_COMMIT"));
    let progress = Progress::new(options.quiet);
    let plan = match repeat::messages(&options).and_then(|messages| Plan::new(&options, messages)) {
        Ok(plan) => plan,
        Err(error @ InvalidPlan(_)) => return complain(&progress, &error.to_string(), EXIT_USAGE),
    };
    // Only errors of the gRPC library.
    let level = if options.quiet { "error" } else { "error,hubbub=info" };
    env_logger::Builder::from_env(Env::default().default_filter_or(level))
        // A message may contain text from a server, or the library's text about a server's data.
        .format(|out, record| {
            let message = record.args().to_string();
            writeln!(out, "[{} {:<5}] {}", out.timestamp_millis(), record.level(), escape(&message))
        })
        .target(Target::Pipe(Box::new(progress.log_target())))
        .init();
    hubbub::threads::end_process_on_panic();
    if plan.room == RoomName::lobby() {
        log::warn!(
            "these messages are posted to the room lobby; a server with a stored log keeps them visible to its users"
        );
    }
    hubbub::descriptors::allow_many();
    let interrupt = match Interrupt::watch(progress.clone()) {
        Ok(interrupt) => interrupt,
        Err(error) => return complain(&progress, &format!("can't handle signals: {error}"), 1),
    };
    let report = match repeat::run(plan, &progress, &interrupt) {
        Ok(report) => report,
        Err(error) => return complain(&progress, &error.to_string(), 1),
    };
    let result = if options.json { report.json() + "\n" } else { report.table() };
    // If standard output is closed, the exit code still reports the result.
    let _ = io::stdout().write_all(result.as_bytes()).and_then(|()| io::stdout().flush());
    match interrupt.exit_code() {
        _ if !report.is_faultless() => ExitCode::FAILURE,
        Some(code) => ExitCode::from(code),
        None => ExitCode::SUCCESS,
    }
}

fn complain(progress: &Progress, error: &str, code: u8) -> ExitCode {
    progress.notice(error);
    ExitCode::from(code)
}
