//! The text of a paste: line ends, and what terminals make of keys and colours in it.

/// The text as a body may have it, except for what only [`crate::names::Body`] refuses: line feeds for all line ends,
/// tabs, and no other control characters. Escape sequences are left out, and those that stand for keys become their
/// characters: tmux passes line breaks of a paste on as keys.
pub fn clean(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '\r' => {
                rest = rest.strip_prefix('\n').unwrap_or(rest);
                text.push('\n');
            }
            // Next line, and the separators of lines and paragraphs.
            '\n' | '\u{85}' | '\u{2028}' | '\u{2029}' => text.push('\n'),
            '\t' => text.push('\t'),
            '\u{1b}' => rest = escape(rest, &mut text),
            '\u{9b}' => rest = control(rest, &mut text).unwrap_or(rest),
            c if c.is_control() => {}
            c => text.push(c),
        }
    }
    text
}

/// Skips the sequence after an escape. Returns what follows.
fn escape<'a>(rest: &'a str, text: &mut String) -> &'a str {
    match rest.chars().next() {
        Some('[') => control(&rest[1..], text).unwrap_or(rest),
        // Titles, links and the like: up to their end, which has to be near.
        Some(']' | 'P' | 'X' | '^' | '_') => string(&rest[1..]).unwrap_or(rest),
        // The other bytes of a sequence of two are text as often as not: only the escape goes.
        _ => rest,
    }
}

/// The longest control sequence, in bytes. What is longer is text.
const SEQUENCE_BYTES_MAX: usize = 64;
const STRING_BYTES_MAX: usize = 4096;

/// Reads a control sequence, after its beginning. Returns what follows; `None`: it is none.
fn control<'a>(rest: &'a str, text: &mut String) -> Option<&'a str> {
    let is_parameter = |byte: &u8| matches!(byte, 0x20..=0x3f);
    let length = rest.bytes().take(SEQUENCE_BYTES_MAX).take_while(is_parameter).count();
    let Some(last @ 0x40..=0x7e) = rest.as_bytes().get(length) else { return None };
    let (parameters, after) = (&rest[..length], &rest[length + 1..]);
    text.extend(key(parameters, *last));
    // The line feed of a line end whose carriage return came as a key.
    let is_return = parameters.starts_with("13") && *last == b'u';
    Some(if is_return { after.strip_prefix('\n').unwrap_or(after) } else { after })
}

/// The character of a key that came as `CSI code;modifiers u`, or as `CSI 27;modifiers;code ~`.
fn key(parameters: &str, last: u8) -> Option<char> {
    let mut numbers =
        parameters.split(';').map(|number| number.split(':').next().unwrap_or(number).parse::<u32>().ok());
    let (code, modifiers) = match last {
        b'u' => {
            let code = numbers.next()??;
            (code, numbers.next().flatten().unwrap_or(1))
        }
        b'~' if numbers.next()? == Some(27) => {
            let modifiers = numbers.next()??;
            (numbers.next()??, modifiers)
        }
        _ => return None,
    };
    let control = 4;
    let has_control = modifiers.checked_sub(1)? & control != 0;
    match (char::from_u32(code)?, has_control) {
        // Enter, and Ctrl-J and Ctrl-M.
        ('\r' | '\n', _) | ('j' | 'm' | 'J' | 'M', true) => Some('\n'),
        ('\t', _) | ('i' | 'I', true) => Some('\t'),
        // Its private use stands for keys without characters.
        (c, false) if !c.is_control() && !('\u{e000}'..='\u{f8ff}').contains(&c) => Some(c),
        _ => None,
    }
}

/// The text after a string of a terminal, which ends with BEL or `ESC \`. `None`: it has no end nearby.
fn string(rest: &str) -> Option<&str> {
    let mut end = rest.len().min(STRING_BYTES_MAX);
    while !rest.is_char_boundary(end) {
        end -= 1;
    }
    let at = rest[..end].find(['\u{7}', '\u{1b}', '\u{9c}', '\n', '\r'])?;
    match rest[at..].chars().next()? {
        '\u{1b}' => rest[at + 1..].strip_prefix('\\'),
        '\n' | '\r' => None,
        end => Some(&rest[at + end.len_utf8()..]),
    }
}
