//! The ledger: which message the receivers got at each seq of the room. Pure logic, apart from its lock.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

use crate::names::MessageId;

/// How many seqs a page of the ledger has: 32 KiB.
const PAGE_SEQS: u64 = 4096;

/// A fingerprint of the message at each seq of the room, written by its first receiver. Eight bytes a message.
#[derive(Default)]
pub struct Ledger {
    pages: RwLock<HashMap<u64, Arc<LedgerPage>>>,
}

type LedgerPage = [AtomicU64; PAGE_SEQS as usize];

/// A receiver's position in the ledger: keeps the page, so that the lock is taken once a page.
#[derive(Default)]
pub struct LedgerCursor {
    page: Option<(u64, Arc<LedgerPage>)>,
}

/// A fingerprint of a message: of its id, its sender, and its body.
pub fn fingerprint(id: &MessageId, sender: &str, body: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(id.as_bytes());
    hasher.write(sender.as_bytes());
    // No valid text has this byte, so the split between the two is unambiguous.
    hasher.write_u8(0xff);
    hasher.write(body.as_bytes());
    // 0 means none.
    hasher.finish().max(1)
}

impl Ledger {
    fn page(&self, number: u64) -> Arc<LedgerPage> {
        if let Some(page) = self.pages.read().get(&number) {
            return Arc::clone(page);
        }
        let mut pages = self.pages.write();
        let page = pages.entry(number).or_insert_with(|| Arc::new(std::array::from_fn(|_| AtomicU64::new(0))));
        Arc::clone(page)
    }
}

impl LedgerCursor {
    /// Whether all receivers so far got the same message at this seq.
    pub fn agrees(&mut self, ledger: &Ledger, seq: u64, fingerprint: u64) -> bool {
        let number = seq / PAGE_SEQS;
        let page = match &mut self.page {
            Some((at, page)) if *at == number => page,
            page => &mut page.insert((number, ledger.page(number))).1,
        };
        let entry = &page[(seq % PAGE_SEQS) as usize];
        // Usually another receiver has written it before.
        let mut written = entry.load(Ordering::Relaxed);
        if written == 0 {
            written = match entry.compare_exchange(0, fingerprint, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => fingerprint,
                Err(other) => other,
            };
        }
        written == fingerprint
    }
}
