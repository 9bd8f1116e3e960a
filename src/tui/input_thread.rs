//! The thread that reads the terminal. It also notices when the terminal is gone.
//!
//! It sleeps in `poll`, so a terminal that is gone wakes it, and it costs nothing otherwise. While another program has
//! the terminal, it reads nothing, but still waits for its end.

use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, read};
use rustix::stdio::stdin;

use super::decode::{Decoded, Decoder};
use super::inlet::{End, Incoming};
use crate::threads::spawn;

/// What the thread is asked for.
const PAUSE: u8 = b'p';
const RESUME: u8 = b'r';

/// How long one look at whether the thread has paused takes.
const PAUSE_TIME: Duration = Duration::from_millis(5);

/// Controls the thread.
pub struct InputThread {
    control: PipeWriter,
    paused: Receiver<()>,
}

/// The state of the thread.
struct Reader {
    control: PipeReader,
    paused: Sender<()>,
    incoming: Sender<Incoming>,
    decoder: Decoder,
}

/// What woke the thread.
enum Woken {
    Input,
    Control,
    TimeOut,
    Gone,
}

impl InputThread {
    /// Starts the thread. It ends when the terminal is gone or the model has ended. `answered` is called for each answer
    /// to [`super::pace::QUESTION`].
    pub fn start(incoming: Sender<Incoming>, answered: impl Fn() + Send + 'static) -> io::Result<Self> {
        let (reader, control) = io::pipe()?;
        let (paused, is_paused) = bounded(1);
        let reader = Reader { control: reader, paused, incoming, decoder: Decoder::default() };
        spawn("input", move || reader.run(&answered))?;
        Ok(Self { control, paused: is_paused })
    }

    /// Asks the thread to stop reading, until [`InputThread::resume`].
    pub fn pause(&mut self) {
        // An error means that the thread has ended, and reads nothing.
        let _ = self.control.write_all(&[PAUSE]);
    }

    /// Waits a little until the thread has stopped reading. The caller must take events meanwhile: the thread may wait
    /// for space in their channel.
    pub fn has_paused(&self) -> bool {
        !matches!(self.paused.recv_timeout(PAUSE_TIME), Err(RecvTimeoutError::Timeout))
    }

    pub fn resume(&mut self) {
        let _ = self.control.write_all(&[RESUME]);
    }
}

impl Reader {
    fn run(mut self, answered: &impl Fn()) {
        let mut is_paused = false;
        loop {
            match self.wait(is_paused) {
                Woken::Control => match self.asked() {
                    Some(PAUSE) => {
                        is_paused = true;
                        let _ = self.paused.send(());
                    }
                    Some(_) => is_paused = false,
                    // The owner is gone, so the model is too.
                    None => return,
                },
                Woken::TimeOut => {
                    let mut events = Vec::new();
                    self.decoder.time_out(&mut |decoded| events.push(decoded));
                    if !self.pass(events, answered) {
                        return;
                    }
                }
                Woken::Input => {
                    let mut bytes = [0; 4096];
                    let mut events = Vec::new();
                    match read(stdin(), &mut bytes) {
                        Ok(count @ 1..) => self.decode(&bytes[..count], &mut events),
                        Err(Errno::INTR | Errno::AGAIN) => {}
                        Ok(_) | Err(_) => return self.hung_up(),
                    }
                    if !self.pass(events, answered) {
                        return;
                    }
                }
                Woken::Gone => return self.hung_up(),
            }
        }
    }

    fn wait(&self, is_paused: bool) -> Woken {
        let (terminal, stdin) = (if is_paused { PollFlags::empty() } else { PollFlags::IN }, stdin());
        let timeout = self.decoder.timeout().filter(|_| !is_paused);
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let mut ready = [PollFd::new(&stdin, terminal), PollFd::new(&self.control, PollFlags::IN)];
        loop {
            match poll(&mut ready, timeout.as_ref()) {
                Ok(0) => return Woken::TimeOut,
                Ok(_) => break,
                Err(Errno::INTR) => {}
                Err(_) => return Woken::Gone,
            }
        }
        let (terminal, control) = (ready[0].revents(), ready[1].revents());
        if !control.is_empty() {
            Woken::Control
        } else if terminal.contains(PollFlags::IN) {
            Woken::Input
        } else {
            Woken::Gone
        }
    }

    fn asked(&mut self) -> Option<u8> {
        let mut byte = [0];
        self.control.read_exact(&mut byte).ok().map(|()| byte[0])
    }

    /// What the bytes of one read are: keys, or a paste that the terminal does not mark.
    fn decode(&mut self, bytes: &[u8], events: &mut Vec<Decoded>) {
        let end = unmarked_paste(bytes).filter(|_| self.decoder.is_idle());
        let (paste, keys) = bytes.split_at(end.unwrap_or_default());
        if !paste.is_empty() {
            events.push(Decoded::Paste(String::from_utf8_lossy(paste).into_owned()));
        }
        self.decoder.feed(keys, &mut |decoded| events.push(decoded));
    }

    /// False: the model has ended.
    fn pass(&self, events: Vec<Decoded>, answered: &impl Fn()) -> bool {
        events.into_iter().all(|decoded| {
            let event = match decoded {
                Decoded::Key(key) => Incoming::Key(key),
                Decoded::Mouse(mouse) => Incoming::Mouse(mouse),
                Decoded::Focus(has) => Incoming::Focus(has),
                Decoded::Paste(text) => Incoming::Paste(text),
                Decoded::Answered => {
                    answered();
                    return true;
                }
            };
            self.incoming.send(event).is_ok()
        })
    }

    fn hung_up(&self) {
        let _ = self.incoming.send(Incoming::End(End::HungUp));
    }
}

/// How many line breaks, each with text after it, make a paste. Two or three lines may have been typed while the client
/// or the link was stopped.
const PASTE_BREAKS: usize = 3;

/// Several lines at once are a paste, also where the terminal does not say so, as GNU screen and the console of Linux do
/// not. Otherwise each of its lines would be sent. Returns where it ends: a character may be cut off by the read.
fn unmarked_paste(bytes: &[u8]) -> Option<usize> {
    let is_break = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let is_text = |byte: &u8| is_break(byte) || *byte == b'\t' || (*byte >= 0x20 && *byte != 0x7f);
    let text = bytes.trim_ascii_end();
    let breaks = text.windows(2).filter(|pair| is_break(&pair[0]) && !is_break(&pair[1])).count();
    if breaks < PASTE_BREAKS || !bytes.iter().all(is_text) {
        return None;
    }
    match std::str::from_utf8(bytes) {
        Ok(_) => Some(bytes.len()),
        Err(error) if error.error_len().is_none() => Some(error.valid_up_to()),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_lines_at_once_are_a_paste() {
        assert_eq!(unmarked_paste(b"one\rtwo\rthree\rx"), Some(15));
        assert_eq!(unmarked_paste(b"one\rtwo\r\nthree\rx\r"), Some(17));
        let cut = "0\rein\rzwei\rdr\u{fc}".as_bytes();
        assert_eq!(unmarked_paste(&cut[..cut.len() - 1]), Some(cut.len() - 2));
        // What a person types ahead, or a program sends for them.
        for keys in
            [&b"x"[..], b"one\r", b"one\rtwo\rthree\r", b"one\r\r\r\r", b"\r\r\r", b"a\x1b[A\rb\rc", b"a\rb\r\x03c\rd"]
        {
            assert_eq!(unmarked_paste(keys), None, "{keys:?}");
        }
    }
}
