//! The unused bytes of a page of a SQLite database, and how to erase them.
//!
//! SQLite moves rows within a page and between neighbours, and leaves the old copies in the unused middle of the page.
//! They survive the deletion of the row: `secure_delete` overwrites a row where it is, and whole pages that become
//! free. The format of pages is documented with SQLite's.

/// The size of the database's pages, which is SQLite's default.
pub const PAGE_BYTES: usize = 4096;

/// Where the header of a page begins: the first page has the database's header before it.
pub fn header_at(offset: u64) -> usize {
    if offset == 0 { 100 } else { 0 }
}

/// Overwrites the unused bytes of a b-tree page with zeros. Does not change any other page, nor an inconsistent one.
/// Returns whether it was a page of a b-tree.
pub fn erase_unused(page: &mut [u8], header: usize) -> bool {
    let header_bytes = match page.get(header) {
        Some(2 | 5) => 12,
        Some(10 | 13) => 8,
        _ => return false,
    };
    if page.len() < header + header_bytes {
        return false;
    }
    let cells = number(page, header + 3);
    let unused = header + header_bytes + 2 * cells;
    let content = number(page, header + 5);
    let Some(free) = free_blocks(page, header, content) else { return false };
    if content > page.len() || unused > content {
        return false;
    }
    page[unused..content].fill(0);
    for (start, end) in free {
        // It is preceded by the position of the next one and its own length.
        page[start + 4..end].fill(0);
    }
    true
}

/// The free blocks between the rows of a page: where each begins and ends. `None` if they are not in order.
fn free_blocks(page: &[u8], header: usize, content: usize) -> Option<Vec<(usize, usize)>> {
    let (mut blocks, mut last_end) = (Vec::new(), content);
    let mut start = number(page, header + 1);
    while start != 0 {
        if start < last_end || start + 4 > page.len() {
            return None;
        }
        let end = start + number(page, start + 2);
        if end < start + 4 || end > page.len() {
            return None;
        }
        blocks.push((start, end));
        last_end = end;
        start = number(page, start);
    }
    Some(blocks)
}

fn number(page: &[u8], at: usize) -> usize {
    usize::from(u16::from_be_bytes([page[at], page[at + 1]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A leaf with two rows of four bytes at its end, and a free block between them.
    fn leaf() -> Vec<u8> {
        let mut page = vec![0xaa; 64];
        page[..8].copy_from_slice(&[10, 0, 52, 0, 2, 0, 48, 0]);
        page[8..12].copy_from_slice(&[0, 48, 0, 60]);
        page[52..56].copy_from_slice(&[0, 0, 0, 8]);
        page
    }

    #[test]
    fn unused_bytes_are_erased_and_no_others() {
        let before = leaf();
        let mut page = before.clone();
        assert!(erase_unused(&mut page, 0));
        for at in 0..64 {
            let is_unused = (12..48).contains(&at) || (56..60).contains(&at);
            assert_eq!(page[at], if is_unused { 0 } else { before[at] }, "{at}");
        }
    }

    #[test]
    fn a_page_that_is_not_consistent_is_left_alone() {
        let change = |at: usize, bytes: &[u8]| {
            let mut page = leaf();
            page[at..at + bytes.len()].copy_from_slice(bytes);
            page
        };
        let pages = [
            // Another kind of page, among them overflow pages, which begin with a page's number.
            change(0, &[0]),
            change(0, &[1]),
            // More rows than fit, and rows that begin beyond the page.
            change(3, &[0, 40]),
            change(5, &[1, 0]),
            // A free block before the rows, beyond the page, shorter than its own header, longer than the page, and a
            // loop.
            change(1, &[0, 40]),
            change(1, &[0, 62]),
            change(54, &[0, 3]),
            change(54, &[0, 13]),
            change(52, &[0, 52]),
            vec![10, 0],
            Vec::new(),
        ];
        for before in pages {
            let mut page = before.clone();
            assert!(!erase_unused(&mut page, 0), "{before:?}");
            assert_eq!(page, before);
        }
    }
}
