//! Connections that send as fast as a pace allows, and begin again when the server closes them.

use std::io::{ErrorKind, Read as _, Result, Write as _};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::scene::{Scene, attack_time};
use crate::support::raw::{END_HEADERS, HEADERS, PREFACE, SETTINGS, connect_from, frame, headers};

/// How many bytes are sent at once.
const CHUNK_BYTES: usize = 16 * 1024;

pub type Opening<'a> = &'a (dyn Fn() -> Vec<u8> + Sync);

/// A flood of one kind.
pub struct Flood<'a> {
    pub connections: usize,
    /// Of all connections together.
    pub bytes_per_second: usize,
    /// Where the connections come from.
    pub source: Ipv4Addr,
    /// Whether the connections read what the server sends.
    pub reads: bool,
    /// What a connection sends after its preface and SETTINGS.
    pub opening: Opening<'a>,
    /// What it then repeats; the number counts from 0.
    pub unit: &'a (dyn Fn(u32) -> Vec<u8> + Sync),
}

const MB: usize = 1_000_000;

impl<'a> Flood<'a> {
    /// A flood of 10 MB/s on 4 connections of this machine, which read.
    pub fn of(unit: &'a (dyn Fn(u32) -> Vec<u8> + Sync)) -> Self {
        let opening: Opening<'_> = &Vec::new;
        Self { connections: 4, bytes_per_second: 10 * MB, source: Ipv4Addr::LOCALHOST, reads: true, opening, unit }
    }

    /// Floods a server, and checks its memory and the service of others.
    pub fn attack(&self, name: &'static str) {
        let scene = Scene::start(&[]);
        let report = scene.attack(name, |target| {
            let sent = self.run(target);
            assert!(sent.bytes > MB / 10, "the flood is one: {} bytes", sent.bytes);
        });
        report.assert_bounded();
        scene.recover(&report);
    }
}

/// The frame that opens a call, by the number of the stream on its connection.
pub fn open(path: &str, number: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, 2 * number + 1, &headers(path, None))
}

/// What a flood did.
pub struct Sent {
    pub bytes: usize,
    pub closed: usize,
}

/// What one of a flood's connections, and those before it, have sent since the flood began.
struct Pace {
    begun: Instant,
    sent: usize,
}

impl Flood<'_> {
    pub fn run(&self, target: &str) -> Sent {
        self.run_until(target, Instant::now() + attack_time())
    }

    pub fn run_until(&self, target: &str, until: Instant) -> Sent {
        let (bytes, closed) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..self.connections {
                scope.spawn(|| {
                    let mut pace = Pace { begun: Instant::now(), sent: 0 };
                    while Instant::now() < until {
                        if self.run_once(target, until, &mut pace, &bytes).is_err() {
                            closed.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        let sent = Sent { bytes: bytes.into_inner(), closed: closed.into_inner() };
        println!("sent {} MB; {} connections were closed", sent.bytes / 1_000_000, sent.closed);
        sent
    }

    /// Floods on one connection until the server closes it.
    fn run_once(&self, target: &str, until: Instant, pace: &mut Pace, bytes: &AtomicUsize) -> Result<()> {
        let mut connection = connect_from(self.source, target)?;
        connection.set_nonblocking(true)?;
        let mut unsent = [PREFACE, &frame(SETTINGS, 0, 0, &[]), &(self.opening)()].concat();
        let mut discarded = vec![0; 64 * 1024];
        let per_second = self.bytes_per_second / self.connections;
        let mut number = 0;
        while Instant::now() < until {
            while unsent.len() < CHUNK_BYTES {
                unsent.extend((self.unit)(number));
                number += 1;
            }
            let mut waits = true;
            if pace.sent as f64 <= pace.begun.elapsed().as_secs_f64() * per_second as f64 {
                match connection.write(&unsent) {
                    Ok(written) => {
                        unsent.drain(..written);
                        pace.sent += written;
                        bytes.fetch_add(written, Ordering::Relaxed);
                        waits = false;
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
            }
            match if self.reads { connection.read(&mut discarded) } else { Ok(1) } {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            if waits {
                thread::park_timeout(Duration::from_millis(1));
            }
        }
        Ok(())
    }
}
