//! The writer of log lines: adds what was dropped, skipped or lost to the lines, and notices when they can't be written.

use std::os::fd::AsFd;
use std::time::SystemTime;

use indicatif::HumanCount;
use log::Level;
use log::kv::Value;
use rustix::io::Errno;

use super::format::Style;
use super::limiter::{Description, Skipped};
use super::line::line;
use super::output::{Failed, write_all};
use super::queue::Batch;

/// The target of the lines about lines.
const TARGET: &str = "log";

pub struct Writer<F> {
    descriptor: F,
    style: Style,
    /// How many lines could not be written since the last one that could, and the last reason.
    lost: u64,
    reason: Option<Errno>,
    /// Whether the last write ended within a line: the disk was full.
    is_in_line: bool,
}

impl<F: AsFd> Writer<F> {
    pub fn new(descriptor: F, style: Style) -> Self {
        Self { descriptor, style, lost: 0, reason: None, is_in_line: false }
    }

    /// Writes a batch, and returns its memory. Blocks as long as the descriptor takes nothing.
    pub fn write(&mut self, batch: Batch) -> Vec<u8> {
        let Batch { lines: mut bytes, dropped, skipped } = batch;
        skipped.iter().for_each(|skipped| bytes.extend(self.skipped(skipped)));
        if dropped > 0 {
            bytes.extend(self.line_about(dropped, "dropped, because standard error took none", None));
        }
        let notice = self.notice();
        if notice.is_empty() {
            self.put(&bytes, 0);
        } else {
            self.put(&[notice.as_slice(), &bytes].concat(), notice.len());
        }
        bytes
    }

    /// What comes before the next lines: the end of a line that was cut, and how many lines are lost.
    fn notice(&self) -> Vec<u8> {
        let mut notice = Vec::new();
        if self.is_in_line {
            notice.push(b'\n');
        }
        if let (lost @ 1.., Some(reason)) = (self.lost, self.reason) {
            notice.extend(self.line_about(lost, "lost, because standard error could not be written", Some(reason)));
        }
        notice
    }

    /// Writes bytes of which the first ones are the notice.
    fn put(&mut self, bytes: &[u8], notice: usize) {
        match write_all(&self.descriptor, bytes) {
            Ok(()) => (self.lost, self.reason, self.is_in_line) = (0, None, false),
            Err(Failed { written, error }) => {
                if written >= notice && notice > 0 {
                    self.lost = 0;
                }
                self.lost += bytes[written.max(notice)..].iter().filter(|byte| **byte == b'\n').count() as u64;
                self.reason = Some(error);
                if let Some(last) = written.checked_sub(1) {
                    self.is_in_line = bytes[last] != b'\n';
                }
            }
        }
    }

    fn skipped(&self, Skipped { description, count, time }: &Skipped) -> Vec<u8> {
        let Description { level, target, message } = description;
        let seconds = time.as_secs_f64().round().max(1.0) as u64;
        let fields = [
            ("event", Value::from(message.as_str())),
            ("count", Value::from(*count)),
            ("seconds", Value::from(seconds)),
        ];
        let time = if seconds == 1 { "second".to_owned() } else { format!("{seconds} seconds") };
        let message = format_args!("and {} more in the last {time}", HumanCount(*count));
        line(self.style, SystemTime::now(), *level, target, message, &fields.as_slice())
    }

    fn line_about(&self, count: u64, what: &str, reason: Option<Errno>) -> Vec<u8> {
        let lines = if count == 1 { "line was" } else { "lines were" };
        let reason = reason.map(|reason| std::io::Error::from(reason).to_string());
        let reason_value = reason.as_deref().map_or(Value::null(), Value::from);
        let fields = [("count", Value::from(count)), ("reason", reason_value)];
        let message = format_args!("{} log {lines} {what}", HumanCount(count));
        line(self.style, SystemTime::now(), Level::Warn, TARGET, message, &fields.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read as _, pipe};
    use std::time::Duration;

    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

    use super::*;

    const TEXT: Style = Style::Text { in_color: false };

    fn batch(lines: &str) -> Batch {
        Batch { lines: lines.as_bytes().to_vec(), ..Batch::default() }
    }

    fn read(mut reader: impl std::io::Read) -> String {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn lines_are_followed_by_what_was_skipped_and_dropped() {
        let (reader, writer) = pipe().unwrap();
        let mut writer = Writer::new(writer, TEXT);
        let description =
            Description { level: Level::Info, target: "session".to_owned(), message: "session ended".to_owned() };
        let skipped = [(4_812, 1_000), (7, 2_100)].map(|(count, ms)| {
            let (description, time) = (description.clone(), Duration::from_millis(ms));
            Skipped { description, count, time }
        });
        writer.write(Batch { dropped: 12_345, skipped: skipped.to_vec(), ..batch("one\n") });
        drop(writer);
        let text = read(reader);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!((lines.len(), lines[0]), (4, "one"), "{text}");
        let second = "INFO  session] and 4,812 more in the last second event=\"session ended\" count=4812 seconds=1";
        assert!(lines[1].ends_with(second), "{text}");
        assert!(lines[2].contains("and 7 more in the last 2 seconds"), "{text}");
        assert!(
            lines[3].contains("WARN  log] 12,345 log lines were dropped") && lines[3].ends_with("count=12345"),
            "{text}"
        );
    }

    /// A file that can't be written, as on a full disk.
    #[test]
    fn lost_lines_are_counted() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut writer = Writer::new(full, TEXT);
        writer.write(batch("one\ntwo\n"));
        writer.write(batch("three\n"));
        assert_eq!((writer.lost, writer.is_in_line), (3, false));
        let (reader, end) = pipe().unwrap();
        let Writer { style, lost, reason, is_in_line, .. } = writer;
        let mut writer = Writer { descriptor: end, style, lost, reason, is_in_line };
        writer.write(batch("four\n"));
        writer.write(batch("five\n"));
        drop(writer);
        let text = read(reader);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!((lines.len(), lines[1], lines[2]), (3, "four", "five"), "{text}");
        assert!(lines[0].contains("3 log lines were lost") && lines[0].contains("No space left"), "{text}");
    }

    /// A disk that becomes full cuts a line; the next one that is written must not continue it.
    #[test]
    fn a_cut_line_is_ended() {
        let (reader, end) = pipe().unwrap();
        let mut writer = Writer { descriptor: end, style: TEXT, lost: 0, reason: None, is_in_line: false };
        let cut = write_all(&writer.descriptor, b"tw");
        assert!(cut.is_ok());
        (writer.lost, writer.reason, writer.is_in_line) = (1, Some(Errno::NOSPC), true);
        writer.write(batch("three\n"));
        drop(writer);
        let text = read(reader);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!((lines.len(), lines[0], lines[2]), (3, "tw", "three"), "{text}");
        assert!(lines[1].contains("1 log line was lost"), "{text}");
    }

    #[test]
    fn a_reader_that_has_left_is_no_fault() {
        let (reader, end) = pipe().unwrap();
        drop(reader);
        let mut writer = Writer::new(end, TEXT);
        (0..3).for_each(|_| drop(writer.write(batch("one\n"))));
        assert_eq!(writer.lost, 3);
    }

    /// Another program that shares standard error may have set it not to block.
    #[test]
    fn a_pipe_that_does_not_block_loses_nothing() {
        let (mut reader, end) = pipe().unwrap();
        fcntl_setfl(&end, fcntl_getfl(&end).unwrap() | OFlags::NONBLOCK).unwrap();
        let lines = "x".repeat(99) + "\n";
        let lines = lines.repeat(10_000);
        let expected = lines.len();
        std::thread::scope(|scope| {
            let reading = scope.spawn(move || {
                let mut bytes = Vec::new();
                reader.read_to_end(&mut bytes).unwrap();
                bytes.len()
            });
            let mut writer = Writer::new(end, TEXT);
            writer.write(batch(&lines));
            assert_eq!(writer.lost, 0);
            drop(writer);
            assert_eq!(reading.join().unwrap(), expected);
        });
    }
}
