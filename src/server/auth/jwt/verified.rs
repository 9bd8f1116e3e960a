//! The tokens that were verified already: a program presents the same token with each of its calls, and checking a
//! signature takes up to 0.6 ms.

use std::collections::HashMap;
use std::time::SystemTime;

use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use crate::limits::JWT_VERIFIED_BYTES_MAX;
use crate::server::auth::principal::Principal;

/// The users of verified tokens, by the hash of each token. It belongs to the keys that verified them, and is dropped
/// with them.
#[derive(Default)]
pub struct Verified {
    // lock order: 3 (a leaf)
    users: Mutex<Users>,
}

#[derive(Default)]
struct Users {
    by_hash: HashMap<[u8; 32], Principal>,
    /// The length of their tokens, in bytes.
    bytes: usize,
}

impl Verified {
    /// The user of this token, if it was verified before and has not expired.
    pub fn find(&self, token: &str, now: SystemTime) -> Option<Principal> {
        let hash = hash(token);
        self.users.lock().by_hash.get(&hash).filter(|user| user.until.is_some_and(|until| now < until)).cloned()
    }

    /// Keeps the user of a verified token. When there are too many, the earlier ones are forgotten.
    pub fn keep(&self, token: &str, user: &Principal) {
        let (hash, user) = (hash(token), user.clone());
        let mut users = self.users.lock();
        let forgotten = if users.bytes + token.len() > JWT_VERIFIED_BYTES_MAX {
            std::mem::take(&mut *users)
        } else {
            Users::default()
        };
        if users.by_hash.insert(hash, user).is_none() {
            users.bytes += token.len();
        }
        drop(users);
        drop(forgotten);
    }
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_verified_tokens_is_bounded() {
        let verified = Verified::default();
        let token = |number: usize| format!("{number:01024}");
        let kept = JWT_VERIFIED_BYTES_MAX / 1024;
        for number in (0..kept).chain(0..kept) {
            verified.keep(&token(number), &Principal::open());
        }
        assert_eq!(verified.users.lock().by_hash.len(), kept);
        verified.keep(&token(kept), &Principal::open());
        let users = verified.users.lock();
        assert_eq!((users.by_hash.len(), users.bytes), (1, 1024));
    }
}
