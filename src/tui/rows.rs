//! The rows of the entries near the screen. They are made once for an entry and a style: typing and scrolling wrap
//! nothing again.

use std::collections::HashMap;
use std::sync::Arc;

use super::entry::Key;
use super::message::RowStyle;
use super::wrap::Styled;

/// The rows of an entry.
pub type Rows = Arc<[Arc<Styled>]>;

/// How many entries have rows: more than any screen shows, with what is scrolled through around it.
const ENTRIES_MAX: usize = 1024;

/// The rows of some entries.
#[derive(Clone, Debug, Default)]
pub struct RowCache {
    style: Option<RowStyle>,
    entries: HashMap<Key, Rows>,
}

impl RowCache {
    /// The rows of an entry, which are made if they are not there.
    pub fn get(&mut self, key: Key, style: &RowStyle, make: impl FnOnce() -> Vec<Styled>) -> Rows {
        if self.style.as_ref() != Some(style) {
            self.entries.clear();
            self.style = Some(style.clone());
        }
        if let Some(rows) = self.entries.get(&key) {
            return Arc::clone(rows);
        }
        // To make them again is cheaper than to keep account of their age.
        if self.entries.len() >= ENTRIES_MAX {
            self.entries.clear();
        }
        let rows: Rows = make().into_iter().map(Arc::new).collect();
        self.entries.insert(key, Arc::clone(&rows));
        rows
    }

    /// How many entries have rows.
    #[cfg(test)]
    pub fn made(&self) -> usize {
        self.entries.len()
    }

    /// The entry has changed.
    pub fn forget(&mut self, key: Key) {
        self.entries.remove(&key);
    }

    /// Something has changed that many entries may show.
    pub fn clear(&mut self) {
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::super::color::Role;
    use super::*;

    #[test]
    fn rows_are_made_once_for_an_entry_and_a_style() {
        let mut cache = RowCache::default();
        let mut made = 0;
        let mut get = |cache: &mut RowCache, seq: u64, columns: u16| {
            cache.get(Key::event(seq), &RowStyle::new(columns, "ann"), || {
                made += 1;
                vec![Styled::new(&made.to_string(), Role::Text)]
            });
            made
        };
        assert_eq!([get(&mut cache, 1, 80), get(&mut cache, 1, 80), get(&mut cache, 2, 80)], [1, 1, 2]);
        assert_eq!([get(&mut cache, 1, 40), get(&mut cache, 1, 40)], [3, 3]);
        cache.forget(Key::event(1));
        assert_eq!(get(&mut cache, 1, 40), 4);
        for seq in 0..3 * ENTRIES_MAX as u64 {
            get(&mut cache, seq, 40);
            assert!(cache.entries.len() <= ENTRIES_MAX);
        }
    }
}
