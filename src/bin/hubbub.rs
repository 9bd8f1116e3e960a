//! The terminal client; see `hubbub::terminal`.

use std::io::Write as _;
use std::process::ExitCode;

use hubbub::escape::escape;
use hubbub::terminal::{self, Options};
use hubbub::tui;

fn main() -> ExitCode {
    hubbub::startup::forget_empty_variables();
    let options = Options::from_program(option_env!("HUBBUB_COMMIT"));
    // Quiet unless RUST_LOG is set: log lines would disturb the terminal that the client draws on.
    env_logger::Builder::new()
        .parse_env(env_logger::Env::default().default_filter_or("off"))
        // A message may contain the library's text about a server's data.
        .format(|out, record| {
            let message = record.args().to_string();
            writeln!(out, "[{} {:<5} {}] {}", out.timestamp(), record.level(), record.target(), escape(&message))
        })
        .init();
    hubbub::threads::end_process_on_panic();
    options.panic_in.iter().cloned().for_each(hubbub::threads::ask_for_panic);
    match tui::with_profile(options).and_then(|options| terminal::run(options, tui::face)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let code = error.exit_code();
            terminal::complain(&error);
            ExitCode::from(code)
        }
    }
}
