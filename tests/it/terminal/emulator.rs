//! What a terminal makes of the client's output. It knows the few sequences that the client itself sends and panics at
//! every other, so that no test passes by which something from a peer gets through.

/// A screen of endless height: nothing is ever scrolled away.
pub struct Emulator {
    columns: usize,
    rows: Vec<Vec<char>>,
    row: usize,
    column: usize,
    /// Bytes of a character or sequence that is not complete yet.
    pending: Vec<u8>,
    marks_pastes: bool,
}

impl Emulator {
    pub fn new(columns: usize) -> Self {
        Self { columns, rows: vec![vec![]], row: 0, column: 0, pending: vec![], marks_pastes: false }
    }

    pub fn rows(&self) -> Vec<String> {
        self.rows.iter().map(|row| row.iter().collect::<String>().trim_end().to_owned()).collect()
    }

    /// The cursor's row and column.
    pub fn cursor(&self) -> (usize, usize) {
        (self.row, self.column)
    }

    /// Whether the client has asked for pastes to be marked.
    pub fn marks_pastes(&self) -> bool {
        self.marks_pastes
    }

    pub fn feed(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.pending.push(byte);
            let pending = std::mem::take(&mut self.pending);
            match std::str::from_utf8(&pending) {
                Ok(text) if text.starts_with('\x1b') => {
                    let complete = text.len() > 2 && text.ends_with(|c: char| ('@'..='~').contains(&c));
                    if complete { self.sequence(&text[1..]) } else { self.pending = pending }
                }
                Ok(text) => text.chars().for_each(|c| self.character(c)),
                Err(error) => {
                    assert!(error.error_len().is_none(), "the client writes valid text: {pending:?}");
                    self.pending = pending;
                }
            }
        }
    }

    fn sequence(&mut self, sequence: &str) {
        match (sequence, sequence.strip_prefix('[').and_then(|rest| rest.strip_suffix('C'))) {
            ("[?2004h", _) => self.marks_pastes = true,
            ("[?2004l", _) => self.marks_pastes = false,
            ("[K", _) => self.rows[self.row].truncate(self.column),
            (_, Some(count)) => self.column += count.parse::<usize>().expect("the cursor moves by a number"),
            _ => panic!("the client sent the escape sequence {sequence:?}"),
        }
    }

    fn character(&mut self, c: char) {
        match c {
            '\r' => self.column = 0,
            '\n' => self.line_feed(),
            c if c.is_control() => panic!("the client sent the control character {c:?}"),
            c => {
                if self.column == self.columns {
                    self.column = 0;
                    self.line_feed();
                }
                let row = &mut self.rows[self.row];
                row.resize(row.len().max(self.column + 1), ' ');
                row[self.column] = c;
                self.column += 1;
            }
        }
    }

    fn line_feed(&mut self) {
        self.row += 1;
        if self.row == self.rows.len() {
            self.rows.push(vec![]);
        }
    }
}
