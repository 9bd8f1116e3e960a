//! Checks each byte that the client writes while it has the screen: what an emulator forgives is a fault here.
//!
//! A frame stays within the screen, nothing scrolls, the screen is only cleared where it is drawn again in the same
//! synchronized update, and the client asks the terminal nothing but whether it has taken a frame.

use unicode_width::UnicodeWidthStr as _;

/// How many faults are kept.
const FAULTS_MAX: usize = 10;

/// The longest sequence that the client writes, in bytes: a text for the clipboard.
const SEQUENCE_BYTES_MAX: usize = 200_000;

/// What was written, as far as it matters.
pub struct Frames {
    /// The sizes that a frame may have: after a change, the client may not know the new one yet.
    sizes: Vec<Size>,
    pending: Vec<u8>,
    /// The text since the last sequence.
    text: String,
    row: usize,
    column: usize,
    /// The client has the screen: the alternate one.
    is_on: bool,
    /// Inside a synchronized update.
    is_in_frame: bool,
    /// The terminal breaks long rows.
    breaks_rows: bool,
    /// The last row and column that the frame has written.
    extent: Size,
    /// The frame has cleared the screen, and how much it has written since.
    cleared: Option<usize>,
    /// How many frames have drawn everything.
    pub redraws: usize,
    faults: Vec<String>,
}

/// Columns and rows.
type Size = (usize, usize);

impl Frames {
    pub fn new(columns: u16, rows: u16) -> Self {
        Self {
            sizes: vec![(columns.into(), rows.into())],
            pending: Vec::new(),
            text: String::new(),
            row: 1,
            column: 1,
            is_on: false,
            is_in_frame: false,
            breaks_rows: true,
            extent: (0, 0),
            cleared: None,
            redraws: 0,
            faults: Vec::new(),
        }
    }

    pub fn resized(&mut self, columns: u16, rows: u16) {
        self.sizes.push((columns.into(), rows.into()));
    }

    /// From now on, only the current size is right.
    pub fn settled(&mut self) {
        self.sizes.drain(..self.sizes.len() - 1);
    }

    pub fn faults(&self) -> &[String] {
        &self.faults
    }

    pub fn feed(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            match (self.pending.is_empty(), byte) {
                (true, 0x1b) => {
                    self.end_text();
                    self.pending.push(byte);
                }
                (true, 0x07) => self.end_text(),
                (true, 0..0x20 | 0x7f) => {
                    self.end_text();
                    if self.is_on {
                        self.fault(&format!("the control character {byte:#x}"));
                    }
                }
                (true, 0x20..0x80) => self.text.push(byte.into()),
                (true, _) => self.pending.push(byte),
                (false, _) => {
                    self.pending.push(byte);
                    self.complete();
                }
            }
        }
    }

    /// Takes what is pending, if it is complete.
    fn complete(&mut self) {
        if self.pending[0] != 0x1b {
            match std::str::from_utf8(&self.pending) {
                Ok(text) => self.text.push_str(text),
                Err(error) if error.error_len().is_none() => return,
                Err(_) => self.fault("what is no text"),
            }
            self.pending.clear();
            return;
        }
        let is_complete = match self.pending[1] {
            b'[' => self.pending.len() > 2 && matches!(self.pending.last(), Some(0x40..=0x7e)),
            // Texts for the terminal end with BEL or ESC \, and those for tmux only with the latter.
            b']' => self.pending.ends_with(b"\x07") || self.pending.ends_with(b"\x1b\\"),
            b'P' => self.pending.ends_with(b"\x1b\\") && !self.pending.ends_with(b"\x1b\x1b\\"),
            _ => true,
        };
        if !is_complete {
            if self.pending.len() > SEQUENCE_BYTES_MAX {
                self.fault("a sequence without an end");
                self.pending.clear();
            }
            return;
        }
        let sequence = String::from_utf8_lossy(&std::mem::take(&mut self.pending)[1..]).into_owned();
        self.sequence(&sequence);
    }

    fn sequence(&mut self, sequence: &str) {
        match sequence {
            "[?1049h" => self.is_on = true,
            "[?1049l" => self.is_on = false,
            // The shell and other programs do what they want.
            _ if !self.is_on => {}
            "[?2026h" if self.is_in_frame => self.fault("a frame in a frame"),
            "[?2026h" => {
                self.is_in_frame = true;
                (self.extent, self.cleared) = ((0, 0), None);
            }
            "[?2026l" => self.end_frame(),
            "[?7l" => self.breaks_rows = false,
            "[?7h" => self.breaks_rows = true,
            "[2J" if !self.is_in_frame => self.fault("the screen is cleared outside of a frame"),
            "[2J" => self.cleared = Some(0),
            "[K" | "[2K" | "[?25h" | "[?25l" | "[5n" | "\\" => {}
            // The modes.
            "[?1007s" | "[?1007l" | "[?1007r" | "[?2004h" | "[?2004l" | "[?1004h" | "[?1004l" => {}
            "[>5u" | "[<u" | "[?1000h" | "[?1000l" | "[?1006h" | "[?1006l" => {}
            _ if is_text_for_the_terminal(sequence) => {}
            _ => self.with_numbers(sequence),
        }
    }

    fn with_numbers(&mut self, sequence: &str) {
        let numbers = |end: char| {
            let numbers = sequence.strip_prefix('[')?.strip_suffix(end)?;
            numbers.split(';').map(|number| number.parse::<usize>().ok()).collect::<Option<Vec<_>>>()
        };
        match (numbers('H').as_deref(), numbers('X').as_deref(), numbers('m')) {
            (Some(&[row, column]), ..) => {
                (self.row, self.column) = (row, column);
                self.reaches(column);
            }
            (_, Some(&[count]), _) => self.reaches(self.column + count - 1),
            (.., Some(_)) => {}
            _ => self.fault(&format!("the sequence {sequence:?}")),
        }
    }

    fn end_text(&mut self) {
        let text = std::mem::take(&mut self.text);
        if text.is_empty() || !self.is_on {
            return;
        }
        if !self.is_in_frame {
            self.fault(&format!("{text:?} outside of a frame"));
        }
        if self.breaks_rows {
            self.fault(&format!("{text:?}, and the terminal breaks rows"));
        }
        let width = text.width();
        self.column += width;
        self.reaches(self.column - 1);
        if let Some(written) = &mut self.cleared {
            *written += width;
        }
    }

    fn reaches(&mut self, column: usize) {
        self.extent = (self.extent.0.max(column), self.extent.1.max(self.row));
    }

    fn end_frame(&mut self) {
        if !self.is_in_frame {
            return;
        }
        self.is_in_frame = false;
        let (columns, rows) = self.extent;
        if !self.sizes.iter().any(|size| columns <= size.0 && rows <= size.1) {
            self.fault(&format!("a frame of {columns} × {rows}"));
        }
        match self.cleared.take() {
            // The smallest screens have no place for a prompt.
            Some(0) if self.sizes.iter().all(|size| size.0 >= 6) => self.fault("a screen that is only cleared"),
            Some(_) => self.redraws += 1,
            None => {}
        }
    }

    fn fault(&mut self, what: &str) {
        if self.faults.len() < FAULTS_MAX {
            let (row, column) = (self.row, self.column);
            self.faults.push(format!("{what}, at row {row}, column {column}, on a screen of {:?}", self.sizes));
        }
    }
}

/// A notification or a text for the clipboard, perhaps wrapped for tmux.
fn is_text_for_the_terminal(sequence: &str) -> bool {
    ["]52;", "]9;", "]777;", "]99;", "Ptmux;"].iter().any(|start| sequence.starts_with(start))
}

/// The checker itself must find what it is for.
#[test]
fn faults_are_found() {
    let faults = |bytes: &str| {
        let mut frames = Frames::new(10, 3);
        frames.feed(b"shell\n\x1b[?1049h");
        frames.feed(bytes.as_bytes());
        frames.faults().len()
    };
    let frame = |inner: &str| format!("\x1b[?2026h\x1b[?25l\x1b[?7l{inner}\x1b[?7h\x1b[?25h\x1b[?2026l");
    for right in [
        "\x1b[0m\x1b[2J\x1b[1;1Hhello",
        "\x1b[3;1H世世世世世",
        "\x1b[1;3H\x1b[8X",
        "\x1b[0;1;38;5;214mx",
        "\x1b]52;c;aGk=\x07",
    ] {
        assert_eq!(faults(&frame(right)), 0, "{right:?}");
    }
    for wrong in [
        "\x1b[4;1Hx",
        "\x1b[1;6H世世世",
        "\x1b[1;4H\x1b[8X",
        "\x1b[2J",
        "x\n",
        "\x1bM",
        "\x1b[1S",
        "\x1b[6n",
        "\x1b[1;2r",
        "\x1b]0;x\x07",
        "\x1b[L",
    ] {
        assert_eq!(faults(&frame(wrong)), 1, "{wrong:?}");
    }
    assert_eq!(faults("text"), 0, "text is taken when it ends");
    assert_eq!(faults("text\x1b[?7l"), 2, "outside of a frame, and with the terminal's row breaks");
    assert_eq!(faults("\x1b[2J"), 1);
    let mut frames = Frames::new(10, 3);
    frames.resized(20, 2);
    frames.feed(format!("\x1b[?1049h{}", frame("\x1b[3;10Hx\x1b[2;1Hx")).as_bytes());
    assert_eq!(frames.faults().len(), 0, "of the size before");
    frames.settled();
    frames.feed(frame("\x1b[3;10Hx").as_bytes());
    assert_eq!(frames.faults().len(), 1);
}
