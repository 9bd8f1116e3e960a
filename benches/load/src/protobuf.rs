//! The parts of protobuf's wire format that the contracts need, without copying.

/// A field's value. Values of fixed size are skipped: only the room's epoch is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The tag of a field of bytes, text or a message, for fields below 16.
pub const fn bytes_tag(field: u8) -> u8 {
    field << 3 | 2
}

/// Calls `on_field` with each field's number and value. `None` if the bytes are not valid protobuf.
#[inline]
pub fn read<'a>(mut bytes: &'a [u8], mut on_field: impl FnMut(u64, Value<'a>)) -> Option<()> {
    while !bytes.is_empty() {
        let key = take_varint(&mut bytes)?;
        match key & 7 {
            0 => on_field(key >> 3, Value::Number(take_varint(&mut bytes)?)),
            1 => drop(take(&mut bytes, 8)?),
            2 => on_field(key >> 3, Value::Bytes(take_bytes(&mut bytes)?)),
            5 => drop(take(&mut bytes, 4)?),
            _ => return None,
        }
    }
    Some(())
}

/// Takes a length, and that many bytes, from the start.
#[inline]
pub fn take_bytes<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take_varint(bytes)?).ok()?;
    take(bytes, length)
}

#[inline]
fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[inline]
fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

pub fn write_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Writes a field of bytes, text or a message; the field's number is below 16.
pub fn write_bytes(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    out.push(bytes_tag(field));
    write_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(bytes: &[u8]) -> Option<Vec<(u64, Value<'_>)>> {
        let mut fields = Vec::new();
        read(bytes, |field, value| fields.push((field, value)))?;
        Some(fields)
    }

    #[test]
    fn fields_are_read_in_any_order_and_those_of_fixed_size_skipped() {
        let bytes = b"\x12\x01b\x18\x96\x01\x0a\x01a\x25....\x31........";
        let expected = [(2, Value::Bytes(b"b")), (3, Value::Number(150)), (1, Value::Bytes(b"a"))];
        assert_eq!(fields(bytes).unwrap(), expected);
    }

    #[test]
    fn what_is_written_reads_back() {
        for length in [0, 1, 127, 128, 16_383, 16_384] {
            let mut bytes = Vec::new();
            write_bytes(&mut bytes, 15, &vec![7; length]);
            assert_eq!(fields(&bytes).unwrap(), [(15, Value::Bytes(&vec![7; length]))]);
        }
    }

    #[test]
    fn what_is_cut_short_is_refused_and_nothing_panics() {
        let bytes = b"\x0a\x06load-1\x12\x04body\x18\x96\x01";
        for length in 0..bytes.len() {
            assert_eq!(fields(&bytes[..length]).is_some(), [0, 8, 14].contains(&length), "{length} bytes");
        }
        assert_eq!(fields(&[0xff; 20]), None);
        assert_eq!(fields(b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), None);
    }
}
