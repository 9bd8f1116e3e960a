//! A terminal emulator for the client's output. It supports the few sequences that the client sends and panics at every
//! other one, so a test fails if a sequence from a peer reaches the terminal.

use unicode_width::UnicodeWidthChar as _;

/// The cell after a wide character, which belongs to it.
const REST_OF_WIDE: char = '\0';

/// A screen of unlimited height: no row is scrolled off.
pub struct Emulator {
    columns: usize,
    rows: Vec<Row>,
    row: usize,
    column: usize,
    /// Bytes of a character or sequence that is not complete yet.
    pending: Vec<u8>,
    marks_pastes: bool,
    /// Whether rows are reflowed when the window's width changes, as most terminals do, or truncated.
    reflows: bool,
}

#[derive(Default)]
struct Row {
    cells: Vec<char>,
    /// The row continues in the next one, because the terminal wrapped it.
    wrapped: bool,
}

impl Emulator {
    pub fn new(columns: usize) -> Self {
        let rows = vec![Row::default()];
        Self { columns, rows, row: 0, column: 0, pending: vec![], marks_pastes: false, reflows: true }
    }

    /// Truncates rows when the window becomes narrower, as xterm does.
    pub fn cut_rows(&mut self) {
        self.reflows = false;
    }

    pub fn rows(&self) -> Vec<String> {
        let text = |row: &Row| row.cells.iter().filter(|&&cell| cell != REST_OF_WIDE).collect::<String>();
        self.rows.iter().map(|row| text(row).trim_end().to_owned()).collect()
    }

    /// The cursor's row and column.
    pub fn cursor(&self) -> (usize, usize) {
        (self.row, self.column)
    }

    /// Whether the client has turned on bracketed paste.
    pub fn marks_pastes(&self) -> bool {
        self.marks_pastes
    }

    pub fn resize(&mut self, columns: usize) {
        if self.reflows {
            self.reflow(columns);
        } else {
            self.rows.iter_mut().for_each(|row| row.cells.truncate(columns));
            self.column = self.column.min(columns - 1);
        }
        self.columns = columns;
    }

    /// Joins wrapped rows and wraps them at the new width. The cursor stays on its character.
    fn reflow(&mut self, columns: usize) {
        let mut broken: Vec<Row> = Vec::new();
        let mut cursor = (0, 0);
        let mut index = 0;
        while index < self.rows.len() {
            let mut line = Vec::new();
            let mut cursor_at = None;
            loop {
                if index == self.row {
                    cursor_at = Some(line.len() + self.column);
                }
                line.extend(&self.rows[index].cells);
                index += 1;
                if !self.rows[index - 1].wrapped {
                    break;
                }
            }
            broken.push(Row::default());
            for (at, cell) in line.iter().enumerate() {
                let width = if line.get(at + 1) == Some(&REST_OF_WIDE) { 2 } else { 1 };
                let row = broken.last_mut().expect("there is a row");
                if *cell != REST_OF_WIDE && row.cells.len() + width > columns {
                    row.wrapped = true;
                    broken.push(Row::default());
                }
                let place = (broken.len() - 1, broken[broken.len() - 1].cells.len());
                broken.last_mut().expect("there is a row").cells.push(*cell);
                if cursor_at == Some(at) {
                    cursor = place;
                }
            }
            if cursor_at.is_some_and(|at| at >= line.len()) {
                cursor = (broken.len() - 1, broken[broken.len() - 1].cells.len());
            }
        }
        (self.rows, self.row, self.column) = (broken, cursor.0, cursor.1);
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
        let count = |end: char| {
            let count = sequence.strip_prefix('[')?.strip_suffix(end)?;
            if count.is_empty() { Some(1) } else { count.parse::<usize>().ok() }
        };
        match sequence {
            "[?2004h" => self.marks_pastes = true,
            "[?2004l" => self.marks_pastes = false,
            "[K" => self.erase_row(),
            "[J" => {
                self.erase_row();
                self.rows.truncate(self.row + 1);
            }
            _ if count('C').is_some() => self.column += count('C').unwrap_or(0),
            _ if count('A').is_some() => self.row = self.row.saturating_sub(count('A').unwrap_or(0)),
            _ => panic!("the client sent the escape sequence {sequence:?}"),
        }
    }

    fn erase_row(&mut self) {
        self.rows[self.row].cells.truncate(self.column);
        self.rows[self.row].wrapped = false;
    }

    fn character(&mut self, c: char) {
        match c {
            '\r' => self.column = 0,
            '\n' => self.line_feed(),
            c if c.is_control() => panic!("the client sent the control character {c:?}"),
            c => {
                let width = c.width().unwrap_or(0);
                if self.column + width > self.columns {
                    self.rows[self.row].wrapped = true;
                    self.column = 0;
                    self.line_feed();
                }
                let cells = &mut self.rows[self.row].cells;
                cells.resize(cells.len().max(self.column + width), ' ');
                for (at, cell) in [c, REST_OF_WIDE].into_iter().take(width).enumerate() {
                    cells[self.column + at] = cell;
                }
                self.column += width;
            }
        }
    }

    fn line_feed(&mut self) {
        self.row += 1;
        if self.row == self.rows.len() {
            self.rows.push(Row::default());
        }
    }
}
