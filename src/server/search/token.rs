//! Page tokens: where the next page of a search begins.
//!
//! The place is the id of an entry, which would show how many messages the server has, also in rooms that the client may
//! not read. So it is encrypted, with a key of the index: the id is combined with a hash of the key and a check, which is
//! itself a hash of the key and the id. A token of another index fails the check.

use sha2::{Digest as _, Sha256};

use super::index::KEY_BYTES;

/// The token for the entries before this id.
pub fn token(key: &[u8; KEY_BYTES], id: i64) -> String {
    let check = hash(key, b"check", id.cast_unsigned());
    format!("{check:016x}{:016x}", id.cast_unsigned() ^ hash(key, b"place", check))
}

/// The id in a token; `None` if it is not a token of this index.
pub fn id(key: &[u8; KEY_BYTES], token: &str) -> Option<i64> {
    if token.len() != 32 || !token.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let (check, place) = token.split_at(16);
    let (check, place) = (u64::from_str_radix(check, 16).ok()?, u64::from_str_radix(place, 16).ok()?);
    let id = place ^ hash(key, b"place", check);
    (hash(key, b"check", id) == check).then_some(id.cast_signed())
}

fn hash(key: &[u8; KEY_BYTES], purpose: &[u8; 5], number: u64) -> u64 {
    let hash = Sha256::new().chain_update(key).chain_update(purpose).chain_update(number.to_be_bytes()).finalize();
    hash.iter().take(8).fold(0, |bits, byte| bits << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_with_its_key_only() {
        let (key, other) = ([7; KEY_BYTES], [8; KEY_BYTES]);
        for place in [1, 2, 40_000_000, i64::MAX] {
            let token = token(&key, place);
            assert_eq!((id(&key, &token), id(&other, &token)), (Some(place), None));
            let last = if token.ends_with('0') { "1" } else { "0" };
            assert_eq!(id(&key, &format!("{}{last}", &token[..31])), None);
        }
        for wrong in ["", "7", "g", &"0".repeat(32), &"é".repeat(16), "+0000000000000000000000000000000"] {
            assert_eq!(id(&key, wrong), None, "{wrong}");
        }
    }
}
