//! The state of the one stream on a connection: its windows, and the frames that are not its data.

use super::frames::{self, CANCEL, Head, INITIAL_WINDOW_BYTES, PREFACE, STREAM, WINDOW_BYTES_MAX, flag, kind, setting};
use super::parser::{FrameParser, Piece};
use super::request::write_request;
use crate::check::Fault;
use crate::connection::ConnectionError;
use crate::endpoint::Endpoint;
use crate::grpc::{PREFIX_BYTES, write_prefix};

/// When the server may send less than this, the window is increased by as much: the sum is below the largest window.
const TOP_UP_BYTES: u32 = 1 << 30;
/// How much of a server's final text is shown.
const SHOWN_BYTES_MAX: usize = 400;

/// A call of gRPC, and the connection's own state.
pub struct Stream {
    frames: FrameParser,
    /// DATA bytes that the server may have sent in all, by our windows.
    granted_bytes: u64,
    /// The windows are not increased.
    pub held: bool,
    limits: Limits,
}

/// The server's limits for what we send.
struct Limits {
    /// How much may still be sent on the connection and on the stream.
    connection_window: i64,
    stream_window: i64,
    /// The server's INITIAL_WINDOW_SIZE, the initial value of `stream_window`.
    initial_window: i64,
    /// The server's SETTINGS have arrived.
    greeted: bool,
}

impl Stream {
    /// Begins a connection, and a call of the method at `path`. If it is `held`, the windows stay at HTTP/2's initial
    /// values.
    pub fn begin(out: &mut Vec<u8>, server: &Endpoint, path: &str, held: bool) -> Stream {
        let window_bytes = if held { INITIAL_WINDOW_BYTES as u32 } else { WINDOW_BYTES_MAX };
        out.extend_from_slice(PREFACE);
        frames::write_settings(out, window_bytes);
        if !held {
            frames::write_window_update(out, 0, window_bytes - INITIAL_WINDOW_BYTES as u32);
        }
        write_request(out, server, path);
        let limits = Limits {
            connection_window: INITIAL_WINDOW_BYTES,
            stream_window: INITIAL_WINDOW_BYTES,
            initial_window: INITIAL_WINDOW_BYTES,
            greeted: false,
        };
        Stream { frames: FrameParser::default(), granted_bytes: window_bytes.into(), held, limits }
    }

    pub fn greeted(&self) -> bool {
        self.limits.greeted
    }

    /// Whether the server's windows allow a message of this many bytes.
    pub fn has_room(&self, message_bytes: usize) -> bool {
        let window = self.limits.connection_window.min(self.limits.stream_window);
        window >= (PREFIX_BYTES + message_bytes) as i64
    }

    /// Writes a message as one DATA frame.
    pub fn write(&mut self, out: &mut Vec<u8>, message: &[u8]) {
        let length = PREFIX_BYTES + message.len();
        Head { length, kind: kind::DATA, flags: 0, stream: STREAM }.write(out);
        write_prefix(out, message.len());
        out.extend_from_slice(message);
        self.limits.connection_window -= length as i64;
        self.limits.stream_window -= length as i64;
    }

    /// Passes on the data in received bytes, and answers the other frames.
    #[inline]
    pub fn take(
        &mut self,
        out: &mut Vec<u8>,
        mut input: &[u8],
        mut on_data: impl FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Result<(), ConnectionError> {
        while let Some(piece) = self.frames.next(&mut input)? {
            match piece {
                Piece::Data { stream, bytes, end } => {
                    if stream != STREAM {
                        return Err(ConnectionError::Protocol("DATA for a stream that we did not open"));
                    }
                    on_data(bytes)?;
                    if end {
                        return Err(ConnectionError::Ended("nothing, there are none".into()));
                    }
                }
                Piece::Frame { head, payload } => self.limits.heed(out, head, payload)?,
            }
        }
        Ok(())
    }

    /// Increases the windows if they are small.
    pub fn top_up(&mut self, out: &mut Vec<u8>) {
        let left = self.granted_bytes.saturating_sub(self.frames.data_bytes);
        if !self.held && left < TOP_UP_BYTES.into() {
            frames::write_window_update(out, 0, TOP_UP_BYTES);
            frames::write_window_update(out, STREAM, TOP_UP_BYTES);
            self.granted_bytes += u64::from(TOP_UP_BYTES);
        }
    }

    pub fn write_reset(out: &mut Vec<u8>) {
        frames::write_reset(out, STREAM, CANCEL);
    }
}

impl Limits {
    /// Handles a frame other than DATA. Irrelevant ones are ignored, as HTTP/2 requires.
    fn heed(&mut self, out: &mut Vec<u8>, head: Head, payload: &[u8]) -> Result<(), ConnectionError> {
        match head.kind {
            kind::SETTINGS if !head.has(flag::ACK) => {
                self.settings(payload)?;
                frames::write_frame(out, kind::SETTINGS, flag::ACK, 0, &[]);
            }
            kind::PING if !head.has(flag::ACK) => {
                frames::write_frame(out, kind::PING, flag::ACK, 0, payload);
            }
            kind::WINDOW_UPDATE => {
                let bytes = i64::from(number(payload, 0)? & WINDOW_BYTES_MAX);
                match head.stream {
                    0 => self.connection_window += bytes,
                    _ => self.stream_window += bytes,
                }
            }
            kind::HEADERS if head.has(flag::END_STREAM) => {
                return Err(ConnectionError::Ended(printable(payload)));
            }
            kind::RST_STREAM => return Err(ConnectionError::Reset(frames::error_name(number(payload, 0)?))),
            kind::GOAWAY => {
                let name = frames::error_name(number(payload, 4)?);
                return Err(ConnectionError::GoAway(name, printable(&payload[8..])));
            }
            _ => {}
        }
        Ok(())
    }

    fn settings(&mut self, payload: &[u8]) -> Result<(), ConnectionError> {
        for entry in payload.chunks(6) {
            let [i0, i1, ..] = *entry else { return Err(SHORT) };
            if u16::from_be_bytes([i0, i1]) == setting::INITIAL_WINDOW_SIZE {
                let window = i64::from(number(entry, 2)?);
                // It also changes the windows of streams that are open.
                self.stream_window += window - self.initial_window;
                self.initial_window = window;
            }
        }
        self.greeted = true;
        Ok(())
    }
}

const SHORT: ConnectionError = ConnectionError::Protocol("a frame ends too early");

fn number(payload: &[u8], at: usize) -> Result<u32, ConnectionError> {
    let bytes = payload.get(at..).and_then(|rest| rest.first_chunk()).ok_or(SHORT)?;
    Ok(u32::from_be_bytes(*bytes))
}

/// The readable text of a header block without decoding: enough to recognise a status message, if the server did not
/// compress it.
fn printable(payload: &[u8]) -> String {
    let is_text = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
    payload
        .split(|byte| !is_text(byte))
        .filter(|run| run.len() > 2)
        .map(|run| String::from_utf8_lossy(&run[..run.len().min(SHOWN_BYTES_MAX)]))
        .collect::<Vec<_>>()
        .join(" ")
}
