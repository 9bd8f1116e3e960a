//! The start of the full-screen client: whether the terminal has what it needs, who the user is, and its threads.

use std::env;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::bounded;

use super::color::{Background, Depth, Palette};
use super::config::{self, Config, Profile};
use super::guard::Guard;
use super::inlet::{INCOMING_MAX, Kept, KeptRoom};
use super::input_thread::InputThread;
use super::model::{Model, Setup};
use super::notify::Wrapping;
use super::paint::paint;
use super::painter::Painter;
use super::remembered::Last;
use super::room::Me;
use super::run::{Parts, run};
use super::store::{Files, Restored, Store, state_folder};
use super::{network, signals};
use crate::address::Address;
use crate::client::{ConnectError, Contract, TlsProfile, config_folder, lines, own_name};
use crate::names::{RoomName, UserName};
use crate::terminal::format::escape_rows;
use crate::terminal::unsent::file::Owner;
use crate::terminal::{Chat, ChatOptions, Command, Options, Server, TerminalError, can_edit, read_name};

/// How many requests may wait for the network thread. More wait in the loop of the model.
const REQUESTS_MAX: usize = 64;

/// What a user sees at the first start.
const HINT: &str = "F1 or /help shows the keys and the commands, /quit leaves";

/// How long keeping text on the disk may take at the end.
const KEEP_TIME: Duration = Duration::from_secs(1);

/// Completes the options of a chat from the config file and from what was remembered. `--profile` is for all commands.
pub fn with_profile(mut options: Options) -> Result<Options, TerminalError> {
    let is_chat = matches!(options.command, None | Some(Command::Chat(_)));
    let chat = match &options.command {
        Some(Command::Chat(command)) => &command.chat,
        _ => &options.chat,
    };
    let is_full = is_chat && why_plain(chat).is_ok();
    if options.profile.is_none() && !is_full {
        return Ok(options);
    }
    let config = load()?;
    let profile = config.profile(options.profile.as_deref()).map_err(fault)?.clone();
    let Profile { server, name, rooms, tls, ca, cert, key, token_file, server_name } = profile;
    // The variable PORT names another server too.
    let is_named = options.profile.is_some() || server.is_some() || env::var_os("PORT").is_some();
    let remembered = if is_full && !is_named { last() } else { None };
    let is_own_server = options.server.is_none();
    if is_own_server {
        options.server = server.or_else(|| remembered.as_ref()?.server.parse().ok());
        options.tls.complete(TlsProfile { tls: remembered.is_some_and(|last| last.tls), ..TlsProfile::default() });
    }
    // A name for another server is not this one's.
    if is_own_server && options.name.is_none() {
        options.name = name.map(String::from);
    }
    options.tls.complete(TlsProfile { tls, ca, cert, key, server_name });
    options.login.token_file = options.login.token_file.take().or(token_file);
    let chat = match &mut options.command {
        Some(Command::Chat(command)) => &mut command.chat,
        _ => &mut options.chat,
    };
    let mut rooms = rooms.into_iter();
    if let Some(room) = rooms.next().filter(|_| !chat.names_rooms) {
        (chat.room, chat.others) = (room, rooms.collect());
    }
    Ok(options)
}

/// The full-screen chat, if it can be used. If the user did not choose the other one, the reason is shown.
pub fn face(options: &ChatOptions) -> Option<Chat> {
    match why_plain(options) {
        Ok(()) => Some(chat),
        Err(None) => None,
        Err(Some(reason)) => {
            let _ = writeln!(io::stderr(), "* no full screen: {reason}");
            None
        }
    }
}

/// Why a chat is in lines: for a reason that the user should know, or because that is wanted.
fn why_plain(options: &ChatOptions) -> Result<(), Option<&'static str>> {
    let is_terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
    if options.plain || !is_terminal || options.contract == Contract::Tutorial || options.no_reconnect {
        return Err(None);
    }
    if !can_edit() {
        return Err(Some("TERM is unset or dumb: set it to your terminal's name"));
    }
    let is_utf8 = |locale: &str| {
        let locale = locale.to_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    };
    let locale =
        ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| env::var(name).ok().filter(|set| !set.is_empty()));
    match locale {
        Some(locale) if is_utf8(&locale) => Ok(()),
        _ => Err(Some("the locale is not UTF-8: set LANG=C.UTF-8, or LC_ALL, or use --plain")),
    }
}

/// The file of the user's config, if there is a home for it.
fn config_path() -> Option<PathBuf> {
    config_folder().ok().map(|folder| folder.join(config::FILE_NAME))
}

fn load() -> Result<Config, TerminalError> {
    config_path().map_or_else(|| Ok(Config::default()), |path| Config::load(&path).map_err(fault))
}

fn fault(error: config::ConfigError) -> TerminalError {
    TerminalError::Config(error.to_string())
}

/// Chats on the full screen until the user leaves.
pub fn chat(server: Server, name: Option<String>, options: &ChatOptions) -> Result<(), TerminalError> {
    let config = load()?;
    let name = who(&server, name)?;
    let owner = Owner { server: server.address.to_string(), name: name.as_str().to_owned() };
    let (files, restored) = Files::open(owner, server.connector.has_tls(), config.input.history);
    let guard = Guard::new(config.screen.mouse);
    let palette = palette(&config);
    let setup = setup(&server, &name, options, config, restored, &guard);
    let ended = start(server, name, setup, files, &guard, palette)?;
    // The terminal may be gone.
    let _ = io::stderr().write_all(farewell(&ended).as_bytes());
    match ended.code {
        0 => Ok(()),
        code => process::exit(code),
    }
}

/// How the client ended.
struct Ended {
    code: i32,
    kept: Arc<Kept>,
    /// Why that may not be on the disk.
    fault: Option<String>,
}

/// What the user should know about what was entered and not stored. What can't be kept is shown, since it would be lost
/// otherwise.
fn farewell(ended: &Ended) -> String {
    let Kept { unsent, drafts, .. } = &*ended.kept;
    let Some(fault) = &ended.fault else {
        let count = unsent.len() as u64;
        let text = format!("* not known to be stored: {}; kept for the next start\n", lines(count));
        return if count == 0 { String::new() } else { text };
    };
    let sent = unsent.iter().map(|kept| (&kept.room, kept.line.body.as_str()));
    let texts = sent.chain(drafts.iter().map(|(room, text)| (room, text.as_str())));
    let shown: String =
        texts.map(|(room, text)| format!("  [{room}] {}\n", escape_rows(text).replace('\n', "\n    "))).collect();
    let what = if shown.is_empty() { "" } else { "; this is not stored:" };
    format!("* {fault}{what}\n{shown}")
}

/// Starts the threads, and runs the model.
fn start(
    server: Server,
    name: UserName,
    setup: Setup,
    files: Files,
    guard: &Arc<Guard>,
    palette: Palette,
) -> Result<Ended, TerminalError> {
    let (events, incoming) = bounded(INCOMING_MAX);
    let (requests, requested) = bounded(REQUESTS_MAX);
    let store = Store::start(files, events.clone()).map_err(TerminalError::Thread)?;
    let at_panic = store.clone();
    // In this order: a signal or a panic in between would leave the terminal in disorder.
    signals::restore_on_panic(Arc::clone(guard), move || _ = at_panic.flush(KEEP_TIME));
    signals::watch(events.clone(), Arc::clone(guard)).map_err(TerminalError::Thread)?;
    guard.enter().map_err(TerminalError::Terminal)?;
    let started = (|| {
        let draw = Box::new(move |view: &_, buffer: &mut _| paint(view, palette, buffer));
        let painter = Painter::start(Arc::clone(guard), draw)?;
        let answering = painter.clone();
        let input = InputThread::start(events.clone(), move || answering.answered())?;
        network::start(server, name, requested, events.clone())?;
        Ok(Parts { guard: Arc::clone(guard), painter, input, store: store.clone(), incoming, events, requests })
    })();
    let parts = match started {
        Ok(parts) => parts,
        Err(error) => {
            guard.leave();
            return Err(TerminalError::Thread(error));
        }
    };
    let mut model = Model::new(setup);
    let (code, parts) = run(&mut model, parts);
    parts.painter.finish();
    guard.leave();
    let fault = match store.finish(KEEP_TIME) {
        true => store.fault(),
        false => Some("the disk is slow: drafts and marks may not be kept".to_owned()),
    };
    Ok(Ended { code, kept: model.kept(), fault })
}

/// Who the user is: by the options, the login, an earlier chat, or the answer to a question. It is asked only when the
/// server has answered.
fn who(server: &Server, name: Option<String>) -> Result<UserName, TerminalError> {
    if let Some(name) = name {
        return UserName::new(name).map_err(TerminalError::Name);
    }
    if server.has_login {
        return Ok(own_name(&server.connector, &server.address, server.call_timeout())?);
    }
    if let Some(name) = last().filter(|last| last.server == server.address.to_string()) {
        return UserName::new(name.name).map_err(TerminalError::Name);
    }
    answers(server)?;
    let default = env::var("USER").ok().and_then(|user| UserName::new(user).ok());
    let _ = writeln!(io::stderr(), "* connected to {}", server.address);
    read_name(default)
}

/// The server and the name of the last chat.
fn last() -> Option<Last> {
    state_folder().and_then(|folder| Last::read(&folder))
}

/// Whether the server answers.
fn answers(server: &Server) -> Result<(), ConnectError> {
    let within = server.timeout.unwrap_or_default();
    server.connector.open_within(&server.address, within, |_| {}).map(drop)
}

fn palette(config: &Config) -> Palette {
    let palette = Palette::from_environment(|name| env::var(name).ok());
    let depth = match config.screen.colors {
        config::Colors::Auto => palette.depth,
        config::Colors::None => Depth::Mono,
        config::Colors::Sixteen => Depth::Sixteen,
        config::Colors::Many => Depth::Many,
    };
    let background = match config.screen.background {
        config::Background::Auto => palette.background,
        config::Background::Dark => Background::Dark,
        config::Background::Light => Background::Light,
    };
    Palette { depth, background }
}

/// What the model begins with: the rooms that the user named, and those that were open.
fn setup(
    server: &Server,
    name: &UserName,
    options: &ChatOptions,
    config: Config,
    restored: Restored,
    guard: &Guard,
) -> Setup {
    let Restored { remembered, drafts, unsent, history, faults } = restored;
    let named: Vec<RoomName> = [&options.room].into_iter().chain(&options.others).cloned().collect();
    let is_first = remembered.rooms.is_empty();
    let hint = is_first.then(|| HINT.to_owned());
    let muted = remembered.rooms.iter().filter(|room| room.is_muted).map(|room| room.name.clone()).collect();
    let mut rooms: Vec<_> = remembered.rooms.into_iter().map(|KeptRoom { name, read, .. }| (name, read)).collect();
    let mut current = remembered.current;
    if options.names_rooms || is_first {
        // They come first, in the order in which they were named.
        let mark = |name: RoomName| {
            let at = rooms.iter().position(|(known, _)| *known == name);
            at.map_or((name, None), |at| rooms.remove(at))
        };
        let first: Vec<_> = named.clone().into_iter().map(mark).collect();
        rooms.splice(..0, first);
        current = named.into_iter().next();
    }
    Setup {
        me: Me { name: name.as_str().to_owned(), authenticated: server.has_login, marks_claims: server.has_login },
        server: shown(&server.address),
        rooms,
        muted,
        current,
        look: remembered.look.unwrap_or_default(),
        drafts,
        unsent,
        history,
        notices: faults.into_iter().chain(hint).collect(),
        newest: options.last,
        config,
        config_place: config_path(),
        size: guard.size(),
        wrapping: Wrapping::new(|name| env::var(name).ok()),
    }
}

/// The server, without the port that everybody has.
fn shown(address: &Address) -> String {
    let text = address.to_string();
    text.strip_suffix(":5000").map_or(text.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Line, new_message_id};
    use crate::names::{Body, Kind};
    use crate::tui::inlet::KeptLine;

    fn ended(fault: Option<&str>, body: &str, draft: &str) -> Ended {
        let line = |body: &str| {
            let line = Line::new(new_message_id(), Body::new(body).unwrap(), Kind::Text);
            KeptLine { room: RoomName::lobby(), line, since_ms: 1 }
        };
        let texts = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty()).into_iter();
        let kept = Kept {
            unsent: texts(body).map(|body| line(&body)).collect(),
            drafts: texts(draft).map(|draft| (RoomName::lobby(), draft)).collect(),
            ..Kept::default()
        };
        Ended { code: 0, kept: Arc::new(kept), fault: fault.map(str::to_owned) }
    }

    #[test]
    fn the_last_words_are_about_what_is_not_stored() {
        assert_eq!(farewell(&ended(None, "", "a draft")), "");
        assert_eq!(farewell(&ended(None, "a line", "")), "* not known to be stored: 1 line; kept for the next start\n");
        assert_eq!(farewell(&ended(Some("no space"), "", "")), "* no space\n");
        // What can't be kept is shown, and acts on nothing.
        assert_eq!(
            farewell(&ended(Some("no space"), "one\ntwo", "\u{1b}[2J")),
            "* no space; this is not stored:\n  [lobby] one\n    two\n  [lobby] \\u{1b}[2J\n"
        );
    }
}
