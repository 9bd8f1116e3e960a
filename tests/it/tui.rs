//! The full-screen client, on a pseudo-terminal, against a server.
//!
//! What breaks in other terminal clients, and the test that would find it here. A name is that of a test in this folder, or,
//! if it begins with `tui::`, of a unit test.
//!
//! | pitfall | tests |
//! | --- | --- |
//! | a terminal that hangs up makes a thread spin | `ends::a_terminal_that_goes_away_ends_the_client_and_costs_nothing` |
//! | a panic of a thread leaves a mess, and others draw over it | `ends::a_panic_of_any_thread_restores_the_terminal_once` |
//! | modes are restored in the wrong order, or not at all | `ends::the_terminal_is_restored_after_every_end`, `tui::guard::modes_are_restored_in_the_reverse_order` |
//! | Ctrl-Z is a key in raw mode, and a signal from outside | `ends::the_client_stops_and_continues` |
//! | the end of a paste never comes | `pastes::a_paste_without_an_end_is_taken`, `pastes::an_endless_paste_is_bounded`, `tui::decode::a_paste_is_bounded_and_its_rest_is_not_typed` |
//! | lines of a paste end in CR, LF or both | `pastes::a_paste_of_several_lines_is_one_message`, `tui::paste::lines_end_in_any_way` |
//! | tmux passes line breaks of a paste on as keys | `pastes::a_paste_of_several_lines_is_one_message`, `tui::paste::keys_within_a_paste_are_their_characters` |
//! | Enter right after a paste is taken for one of its lines | `pastes::enter_after_a_paste_sends_it`, `tui::paste::keys_at_once_after_a_paste_belong_to_it` |
//! | the escape key swallows the next one | `keys::the_escape_key_swallows_nothing_and_sequences_may_be_split`, `tui::decode::the_escape_key_is_alone_after_its_time` |
//! | emoji and other text are wider than expected | `hostile::text_of_uncertain_width_stays_in_its_row`, `tui::diff::hard_text_stays_in_its_row`, `tui::width::emoji_are_simplified_unless_the_user_wants_them` |
//! | a window that is dragged blanks the screen, or moves the text | `links::a_storm_of_sizes_keeps_the_place`, `links::a_storm_of_sizes_ends_with_the_last_one` |
//! | keys get slower as the history grows | `load::many_messages_slow_no_key`, `tui::room::a_long_room_makes_rows_for_the_screen_only` |
//! | the client waits for answers of the terminal | `links::no_question_is_waited_for`, `tui::pace::a_terminal_that_does_not_answer_is_taken_for_a_slow_one` |
//! | keys wait behind frames on a slow link | `links::on_a_slow_link_keys_come_first`, `tui::pace::on_a_slow_link_keys_are_drawn_in_time` |
//! | a client that takes the mouse takes the selection away | `keys::the_mouse_is_the_terminals_until_it_is_given` |
//! | a locale without UTF-8, or a terminal that can't do it | `starts::without_what_the_screen_needs_the_chat_is_in_lines` |
//! | text of others in notifications and titles is executed | `hostile::notifications_have_no_control_characters`, `tui::notify::texts_of_others_end_no_sequence`, `tui::notify::tmux_gets_notifications_wrapped` |
//! | a wrong difference between two screens stays | `soak::a_soak_loses_and_repeats_nothing`, `tui::diff::the_terminal_shows_the_last_screen` |

mod frames;
mod screen;
mod ends;
mod keys;
mod pastes;
mod reading;
mod gaps;
mod kept;
mod sending;
mod hostile;
mod links;
mod load;
mod starts;
mod soak;
mod real;
mod pictures;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use self::screen::Screen;
use crate::support::wait_for;
use crate::terminal::client_command;
use crate::terminal::model::Model;

/// The usual size.
const COLUMNS: u16 = 80;
const ROWS: u16 = 24;

/// The client's program. A variable names another build of it.
fn client() -> String {
    std::env::var("HUBBUB_TEST_CLIENT").unwrap_or(env!("CARGO_BIN_EXE_hubbub").to_owned())
}

/// The client's program as a user with that home starts it.
fn command(home: &Path, arguments: &[&str]) -> Command {
    program(&client(), home, arguments)
}

/// The same for another program that starts the client.
fn program(program: &str, home: &Path, arguments: &[&str]) -> Command {
    let mut command = client_command(program, arguments);
    for variable in ["HUBBUB_PLAIN", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "LC_ALL", "LC_CTYPE"] {
        command.env_remove(variable);
    }
    for variable in ["VISUAL", "EDITOR", "TERM_PROGRAM", "COLORFGBG"] {
        command.env_remove(variable);
    }
    command.env("HOME", home).env("LANG", "C.UTF-8").env("TERM", "xterm-256color").env("USER", "user");
    command
}

/// A user's home, and a model of a server.
struct Place {
    home: TempDir,
    model: Model,
}

impl Place {
    fn new() -> Self {
        Self { home: tempfile::tempdir().expect("a folder can be made"), model: Model::start() }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let all = [&["--server", self.model.target.as_str(), "--name", "ann"], arguments].concat();
        command(self.home.path(), &all)
    }

    /// A client that has joined the lobby, or the rooms of its arguments.
    fn start(&self, arguments: &[&str]) -> Screen {
        let screen = Screen::start(self.command(arguments), COLUMNS, ROWS);
        self.wait_for_join(&screen);
        screen
    }

    fn wait_for_join(&self, screen: &Screen) {
        screen.wait_until("the prompt of a joined room", |text| {
            let last = text.lines().last().unwrap_or_default();
            last.starts_with('[') && !text.contains("connecting")
        });
        wait_for("the join", || !self.model.world().joins.is_empty());
    }
}

/// Writes the config file of the user of that place.
fn config(place: &Place, text: &str) {
    let folder = place.home.path().join(".config/hubbub");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("config.toml"), text).expect("a file");
}

/// Longer than the client takes a letter for typing instead of an answer.
pub const READING_TIME: Duration = Duration::from_millis(700);

/// A short while, for what must not happen.
fn a_while() {
    std::thread::park_timeout(Duration::from_millis(300));
}

/// A table that names tests is wrong as soon as one of them is renamed.
#[test]
fn each_pitfall_has_its_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut names = 0;
    for row in include_str!("tui.rs").lines().filter_map(|line| line.strip_prefix("//! | ")) {
        let (pitfall, tests) = row.split_once(" | ").expect("a row has two columns");
        for name in tests.split('`').skip(1).step_by(2) {
            let (module, test) = name.rsplit_once("::").expect("a module and a test");
            let files = match module.strip_prefix("tui::") {
                Some(module) => ["", "/tests"].map(|tests| root.join(format!("src/tui/{module}{tests}.rs"))).to_vec(),
                None => vec![root.join(format!("tests/it/tui/{module}.rs"))],
            };
            let sources = files.iter().filter_map(|file| std::fs::read_to_string(file).ok());
            let is_there = sources.into_iter().any(|source| source.contains(&format!("fn {test}(")));
            assert!(is_there, "{pitfall}: {name}");
            names += 1;
        }
    }
    assert!(names > 30, "{names} names");
}
