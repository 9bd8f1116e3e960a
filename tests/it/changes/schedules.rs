//! Random schedules against the model: calls one by one and several at once, floods, clients that read nothing for a
//! while, resume, join again, and take pages in late; retention, and restarts of the server.
//!
//! Each schedule is drawn from its number. `HUBBUB_SCHEDULES` sets how many there are for each kind of server.

use super::world::{LOBBY, World, serve};
use crate::support::process::ServerProcess;

/// A server is used for so many schedules, each in a room of its own.
const ROOMS: u64 = 20;

fn schedules(default: u64) -> u64 {
    std::env::var("HUBBUB_SCHEDULES").map_or(default, |count| count.parse().expect("HUBBUB_SCHEDULES is a number"))
}

/// Runs these schedules. Returns how many gaps clients got.
fn run(schedules: std::ops::Range<u64>, kept: Option<u64>) -> usize {
    let (first, last) = (schedules.start, schedules.end);
    let mut gaps = 0;
    for start in (first..last).step_by(ROOMS as usize) {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let kept_now = kept.map(|kept| kept + start % 30);
        let retain = kept_now.map(|kept| kept.to_string());
        let arguments: Vec<&str> = retain.iter().flat_map(|kept| ["--retain-messages", kept]).collect();
        let mut server = serve(folder.path(), &arguments);
        for seed in start..last.min(start + ROOMS) {
            println!("schedule {seed}, of {kept_now:?} messages");
            let room = if seed == start { LOBBY.to_owned() } else { format!("room{seed}") };
            let mut world = World::new(seed, server.target(), &room, kept_now);
            for _ in 0..world.rng.usize(20..120) {
                match world.rng.u32(..100) {
                    0..40 => world.call(),
                    40..52 => world.burst(),
                    52..55 => world.flood(),
                    55..60 => world.say(),
                    60..66 => world.join(),
                    66..78 => world.read(),
                    78..83 => world.resume_one(),
                    83..88 => world.request_page(),
                    88..93 => world.take_page(),
                    93..98 => world.check_page(),
                    98 => {
                        world.trim();
                    }
                    _ if world.rng.u32(..3) == 0 => {
                        world.disconnect();
                        drain(server);
                        server = serve(folder.path(), &arguments);
                        world.moved(server.target());
                    }
                    _ => {}
                }
            }
            world.finish();
            gaps += world.gaps;
        }
        drain(server);
    }
    gaps
}

fn drain(mut server: ServerProcess) {
    server.signal(libc::SIGTERM);
    assert_eq!(server.wait().code(), Some(0), "{:#?}", server.rest_of_log());
}

#[test]
fn all_clients_end_with_the_model() {
    run(0..schedules(120), None);
}

#[test]
fn all_clients_end_with_the_model_while_retention_deletes_messages() {
    let gaps = run(0..schedules(120), Some(5));
    assert!(gaps > 0, "nothing was deleted before it was read");
}
