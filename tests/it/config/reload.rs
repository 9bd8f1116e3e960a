//! SIGHUP: what changes at once, what waits for a restart, and what changes nothing.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use super::{Key, Place, keys, printed};
use crate::support::chatter::environment;
use crate::support::process::ServerProcess;
use crate::support::talker::{Talker, post_message};
use crate::support::wait_for;

/// A server of this configuration, and its place.
fn start(config: &str) -> (Place, ServerProcess) {
    start_with(config, &[])
}

fn start_with(config: &str, arguments: &[&str]) -> (Place, ServerProcess) {
    let place = Place::new(config);
    let command = command(&place, arguments);
    (place, ServerProcess::listening(command))
}

fn command(place: &Place, arguments: &[&str]) -> Command {
    let mut command = place.command(&["--config", "hubbub.toml", "--listen", "127.0.0.1:0", "--http", "none"]);
    command.args(arguments);
    // Whoever runs the tests may ignore it, as nohup does.
    // SAFETY: signal may be called between fork and exec.
    unsafe {
        command.pre_exec(|| {
            libc::signal(libc::SIGHUP, libc::SIG_DFL);
            Ok(())
        });
    }
    command
}

/// Replaces the file, and waits for this line.
fn reload(place: &Place, server: &mut ServerProcess, config: &str, line: &str) -> String {
    place.write(config);
    server.signal(libc::SIGHUP);
    server.wait_for_log(line)
}

/// Stops it. Returns the rest of its log.
fn stop(mut server: ServerProcess) -> String {
    server.signal(libc::SIGTERM);
    assert_eq!(server.wait().code(), Some(0));
    server.rest_of_log().join("\n")
}

/// Posts as a client that just connected.
fn post(server: &ServerProcess, room: &str) -> Result<(), String> {
    let client = Talker::hello(&environment(), server.target(), "ann").client;
    post_message(&client, room, "ann", 0, "hello").map(drop).map_err(|end| end.message)
}

#[test]
fn every_key_that_is_said_to_change_does_and_all_others_wait() {
    const BASE: &str = "data = '{DIR}/data'\n";
    let (place, mut server) = start(BASE);
    let printed = printed();
    let (live, waiting): (Vec<Key>, Vec<Key>) = keys(&printed).into_iter().partition(|key| key.on_reload);
    assert!(live.len() > 8, "{live:?}");
    let other = |key: &Key| match key.value.as_str() {
        "true" | "false" => "true",
        value if value.starts_with('[') => "['10.1.0.0/16']",
        value if value.starts_with('"') => "'123MiB'",
        _ => "123",
    };
    let text: String = live.iter().map(|key| format!("{} = {}\n", key.name, other(key))).collect();
    place.write(&format!("{BASE}{text}"));
    server.signal(libc::SIGHUP);
    let changed = |line: String| {
        let (_, change) = line.split_once("the configuration: ").expect("it is a change");
        let (key, values) = change.split_once(" is now ").unwrap_or_else(|| panic!("not a change: {line}"));
        assert!(["123", "true", "10.1.0.0/16"].iter().any(|value| values.starts_with(value)), "{line}");
        key.to_owned()
    };
    let mut names: Vec<_> = (0..live.len()).map(|_| changed(server.wait_for_log("the configuration: "))).collect();
    names.sort_unstable();
    let mut expected: Vec<_> = live.iter().map(|key| key.name.clone()).collect();
    expected.sort_unstable();
    assert_eq!(names, expected);
    let all = format!("the configuration: read again, {} changes applied", live.len());
    server.wait_for_log(&all);

    // Of the others those that need no files and no other option.
    let text =
        "retain-for = '9d'\nclients-max = 100\nsearch = 'off'\npublic-address = 'chat.example.org'\nsync = 'os'\n";
    for line in text.lines() {
        assert!(waiting.iter().any(|key| line.starts_with(&format!("{} = ", key.name))), "{line}");
    }
    place.write(&format!("{BASE}{text}"));
    server.signal(libc::SIGHUP);
    let waits: Vec<_> = (0..5).map(|_| server.wait_for_log("until a restart")).collect();
    let line = waits.iter().find(|line| line.contains("retain-for")).expect("it is named");
    assert!(line.contains("retain-for stays the default until a restart, which would use 9d"), "{line}");
    server.wait_for_log(&format!("{all}, 5 after a restart"));
    // It is said again, as long as it is so.
    server.signal(libc::SIGHUP);
    server.wait_for_log("read again, 0 changes applied, 5 after a restart");
    // The values of the start are no change.
    reload(&place, &mut server, BASE, "read again, 0 changes applied");
    let rest = stop(server);
    assert!(!rest.contains("until a restart"), "{rest}");
}

#[test]
fn the_maximum_of_rooms_changes_while_clients_post() {
    let (place, mut server) = start("ephemeral = true\nrooms-max = 1\n");
    assert_eq!(post(&server, "a"), Ok(()));
    assert!(post(&server, "b").unwrap_err().contains("the server has 1 rooms, the maximum"));
    reload(&place, &mut server, "ephemeral = true\nrooms-max = 2\n", "rooms-max is now 2, before 1");
    assert_eq!(post(&server, "b"), Ok(()));
    assert!(post(&server, "c").unwrap_err().contains("the server has 2 rooms, the maximum"));
    // Fewer than there are: they stay usable.
    reload(&place, &mut server, "ephemeral = true\nrooms-max = 1\n", "rooms-max is now 1, before 2");
    assert_eq!((post(&server, "a"), post(&server, "b")), (Ok(()), Ok(())));
    assert!(post(&server, "c").is_err());
    stop(server);
}

/// An operator limits a flood, finds that all clients come through a proxy, and exempts that: without a restart.
#[test]
fn limits_of_addresses_change_for_clients_that_are_known() {
    let (place, mut server) = start("ephemeral = true\n");
    for room in ["a", "b", "c"] {
        assert_eq!(post(&server, room), Ok(()));
    }
    let limited = "ephemeral = true\nlimit-loopback = true\nrooms-per-address = 1\n";
    reload(&place, &mut server, limited, "read again, 2 changes applied");
    assert_eq!(post(&server, "d"), Ok(()));
    assert!(post(&server, "e").unwrap_err().contains("has created 1 rooms, the maximum"));
    let raised = "ephemeral = true\nlimit-loopback = true\nrooms-per-address = 2\n";
    reload(&place, &mut server, raised, "rooms-per-address is now 2, before 1");
    assert_eq!(post(&server, "e"), Ok(()));
    assert!(post(&server, "f").unwrap_err().contains("has created 2 rooms, the maximum"));
    reload(&place, &mut server, &format!("{raised}exempt = '127.0.0.0/8'\n"), "exempt is now 127.0.0.0/8");
    for room in ["f", "g", "h"] {
        assert_eq!(post(&server, room), Ok(()));
    }
    stop(server);
}

#[test]
fn the_disk_reserve_changes() {
    let (place, mut server) = start("data = '{DIR}/data'\ndisk-reserve = 0\n");
    assert_eq!(post(&server, "a"), Ok(()));
    // More than any disk has. The next check of the free space is a moment away.
    reload(
        &place,
        &mut server,
        "data = '{DIR}/data'\ndisk-reserve = '1000000TB'\n",
        "disk-reserve is now 1000000TB, before 0",
    );
    wait_for("the reserve", || post(&server, "a").is_err_and(|message| message.contains("reserved")));
    reload(&place, &mut server, "data = '{DIR}/data'\ndisk-reserve = '0'\n", "disk-reserve is now 0");
    wait_for("the end of the reserve", || post(&server, "a").is_ok());
    stop(server);
}

/// The story of other servers: a reload with a mistake applied half of the file, or ended the server.
#[test]
fn a_file_with_faults_changes_nothing_and_all_are_reported() {
    let good = "ephemeral = true\nrooms-max = 1\n";
    let (place, mut server) = start(good);
    assert_eq!(post(&server, "a"), Ok(()));
    place.write("ephemeral = true\nrooms-max = 5\nretain-for = 90\nroom_rate = 7\nroom-rate = 7\nsync = 'os'\n");
    server.signal(libc::SIGHUP);
    for expected in [
        "the configuration: hubbub.toml:3: retain-for: invalid value 90: missing unit",
        "the configuration: hubbub.toml:4: unknown key room_rate: did you mean room-rate?",
        "the configuration: hubbub.toml:6: sync can't be used with ephemeral (hubbub.toml:1)",
        "the configuration can't be reloaded, so the one before stays in use: 3 faults, in the lines above",
    ] {
        server.wait_for_log(expected);
    }
    assert!(post(&server, "b").is_err(), "rooms-max is what it was");
    // A file that is being written, that is gone, that is a folder, that is no text.
    place.write("");
    server.signal(libc::SIGHUP);
    server.wait_for_log("the file has become empty, as if it were just being written");
    place.write("# nothing\n");
    server.signal(libc::SIGHUP);
    server.wait_for_log("the file has become empty");
    fs::remove_file(place.path("hubbub.toml")).expect("a file is removed");
    server.signal(libc::SIGHUP);
    server.wait_for_log("the configuration: hubbub.toml: no such file");
    fs::create_dir(place.path("hubbub.toml")).expect("a folder is created");
    server.signal(libc::SIGHUP);
    server.wait_for_log("the configuration: hubbub.toml: this is a folder");
    fs::remove_dir(place.path("hubbub.toml")).expect("a folder is removed");
    fs::write(place.path("hubbub.toml"), b"rooms-max = 5 \xff").expect("a file is written");
    server.signal(libc::SIGHUP);
    server.wait_for_log("the configuration: hubbub.toml: line 1 is not UTF-8");
    assert!(post(&server, "b").is_err(), "rooms-max is what it was");
    // And then the good one again, with a change.
    reload(&place, &mut server, "ephemeral = true\nrooms-max = 2\n", "rooms-max is now 2, before 1");
    assert_eq!(post(&server, "b"), Ok(()));
    stop(server);
}

/// The story: an installer wrote the file and sent SIGHUP while the server was still opening its log. The file had been
/// read, the signal came too soon for anybody to act on it, and the server went on with the old file.
#[test]
fn a_signal_during_the_start_is_not_lost() {
    for _ in 0..5 {
        let place = Place::new("data = '{DIR}/data'\nrooms-max = 1\n");
        let mut server = ServerProcess::spawn(command(&place, &[]));
        wait_for("a handler", || server.handles(libc::SIGHUP));
        place.write("data = '{DIR}/data'\nrooms-max = 2\n");
        server.signal(libc::SIGHUP);
        server.wait_for_log("rooms-max is now 2, before 1");
        stop(server);
    }
}

/// What a flag or a variable sets is not the file's to change.
#[test]
fn a_flag_still_overrides_the_file() {
    let (place, mut server) = start_with("ephemeral = true\nrooms-max = 1\n", &["--rooms-max", "1"]);
    reload(&place, &mut server, "ephemeral = true\nrooms-max = 5\n", "read again, 0 changes applied");
    assert_eq!(post(&server, "a"), Ok(()));
    assert!(post(&server, "b").is_err());
    stop(server);
}

/// Signals that come faster than they are served: none is lost for good, and the stop is not delayed.
#[test]
fn many_signals_end_with_the_last_file() {
    let (place, mut server) = start("ephemeral = true\nrooms-max = 1\n");
    for rooms in 2..200 {
        place.write(&format!("ephemeral = true\nrooms-max = {rooms}\n"));
        server.signal(libc::SIGHUP);
    }
    server.wait_for_log("rooms-max is now 199");
    server.signal(libc::SIGHUP);
    stop(server);
}
