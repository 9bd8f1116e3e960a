//! Warnings in the log before a bound is reached.

use hubbub::wire::v1::ListRoomsRequest;
use hubbub::wire::{LIST_ROOMS, v1};

use super::support::chatter::environment;
use super::support::process::{ServerProcess, command};
use super::support::talker::{Talker, call, post_message};

fn lines(mut server: ServerProcess, text: &str) -> Vec<String> {
    server.signal(libc::SIGTERM);
    assert_eq!(server.wait().code(), Some(0));
    server.rest_of_log().into_iter().filter(|line| line.contains(text)).collect()
}

#[test]
fn the_log_warns_once_before_all_clients_are_connected() {
    let mut server = ServerProcess::start(&["--clients-max", "10"]);
    let environment = environment();
    let connect = |n: usize| Talker::hello(&environment, server.target(), &format!("c{n}"));
    let clients: Vec<_> = (0..7).map(connect).collect();
    let eighth = connect(8);
    let line = server.wait_for_log("possible clients");
    assert!(line.contains("8 of 10 possible clients are connected") && line.contains("--clients-max"), "{line}");
    let connect = |n: usize| Talker::hello(&environment, server.target(), &format!("c{n}"));
    let ninth = connect(9);
    drop((clients, eighth, ninth));
    assert_eq!(lines(server, "possible clients"), [""; 0]);
}

#[test]
fn the_log_warns_before_there_are_too_many_rooms() {
    let mut server = ServerProcess::start(&["--rooms-max", "5"]);
    let client = Talker::hello(&environment(), server.target(), "ann").client;
    for room in ["a", "b", "c"] {
        post_message(&client, room, "ann", 0, "hello").expect("it is stored");
    }
    let listed: v1::ListRoomsResponse =
        call(&client, &LIST_ROOMS, &ListRoomsRequest::default()).expect("they are listed");
    assert_eq!(listed.rooms.len(), 3);
    post_message(&client, "d", "ann", 0, "hello").expect("it is stored");
    let line = server.wait_for_log("possible rooms");
    assert!(line.contains("the log has 4 of 5 possible rooms") && line.contains("--rooms-max"), "{line}");
    post_message(&client, "e", "ann", 0, "hello").expect("it is stored");
    assert_eq!(lines(server, "possible rooms"), [""; 0]);
}

#[cfg(feature = "core-patches")]
#[test]
fn the_log_warns_before_all_connections_are_open() {
    let mut server = ServerProcess::start(&["--connections-max", "5"]);
    let environment = environment();
    let talkers: Vec<_> = (0..4).map(|n| Talker::hello(&environment, server.target(), &format!("c{n}"))).collect();
    let line = server.wait_for_log("possible connections");
    assert!(line.contains("4 of 5 possible connections are open") && line.contains("--connections-max"), "{line}");
    drop(talkers);
}

#[test]
fn the_log_warns_before_the_reserve_of_the_disk_is_reached() {
    let folder = tempfile::tempdir().expect("a folder");
    let space = rustix::fs::statvfs(folder.path()).expect("the file system says");
    let free = space.f_bavail * space.f_frsize;
    let data = folder.path().to_str().expect("a plain path");
    let reserve = (free / 10 * 9).to_string();
    let mut command = command();
    command.args(["--listen", "127.0.0.1:0", "--data", data, "--disk-reserve", &reserve]);
    // The server looks at the disk as it starts, so the line may come before that about its address.
    let mut server = ServerProcess::spawn(command);
    let line = server.wait_for_log("of the disk are free");
    assert!(line.contains("--disk-reserve") && line.contains("room delete"), "{line}");
    assert_eq!(lines(server, "of the disk are free"), [""; 0]);
}
