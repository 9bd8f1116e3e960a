//! Moving through rows that are made on demand. Pure arithmetic.
//!
//! The conversation is a sequence of slots (entries, and messages that are not stored yet), each with some rows. Only
//! the rows near the screen are ever made, however long the conversation is.

/// Slots whose rows are counted on demand.
pub trait Slots {
    fn len(&self) -> usize;
    /// At least 1.
    fn rows(&mut self, slot: usize) -> usize;
}

/// A row: its slot, and its number in the slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub slot: usize,
    pub row: usize,
}

/// The last row. `None` if there are no slots.
pub fn last(slots: &mut impl Slots) -> Option<Place> {
    let slot = slots.len().checked_sub(1)?;
    Some(Place { slot, row: slots.rows(slot) - 1 })
}

/// The row that is `rows` above, or the first one; and how many rows that is.
pub fn up(slots: &mut impl Slots, from: Place, rows: usize) -> (Place, usize) {
    let (mut place, mut left) = (from, rows);
    loop {
        if place.row >= left {
            return (Place { row: place.row - left, ..place }, rows);
        }
        left -= place.row;
        let Some(slot) = place.slot.checked_sub(1) else { return (Place { row: 0, ..place }, rows - left) };
        left -= 1;
        place = Place { slot, row: slots.rows(slot) - 1 };
    }
}

/// The row that is `rows` below, or the last one; and how many rows that is.
pub fn down(slots: &mut impl Slots, from: Place, rows: usize) -> (Place, usize) {
    let (mut place, mut left) = (from, rows);
    loop {
        let below = slots.rows(place.slot) - 1 - place.row;
        if below >= left {
            return (Place { row: place.row + left, ..place }, rows);
        }
        left -= below;
        if place.slot + 1 == slots.len() {
            return (Place { row: place.row + below, ..place }, rows - left);
        }
        left -= 1;
        place = Place { slot: place.slot + 1, row: 0 };
    }
}

/// The last row of a screen of that height that begins with this row. It may not be full at the end.
pub fn bottom_for_top(slots: &mut impl Slots, top: Place, height: usize) -> Place {
    down(slots, top, height.saturating_sub(1)).0
}

/// The bottom row after scrolling up: the screen stays full if there are enough rows.
pub fn scrolled_up(slots: &mut impl Slots, bottom: Place, rows: usize, height: usize) -> Place {
    let (moved, _) = up(slots, bottom, rows);
    let (top, above) = up(slots, moved, height.saturating_sub(1));
    if above < height.saturating_sub(1) { bottom_for_top(slots, top, height) } else { moved }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl Slots for Vec<usize> {
        fn len(&self) -> usize {
            Vec::len(self)
        }

        fn rows(&mut self, slot: usize) -> usize {
            self[slot]
        }
    }

    /// The number of a row, and back.
    fn number(slots: &[usize], place: Place) -> usize {
        slots[..place.slot].iter().sum::<usize>() + place.row
    }

    fn place(slots: &[usize], mut number: usize) -> Place {
        for (slot, rows) in slots.iter().enumerate() {
            if number < *rows {
                return Place { slot, row: number };
            }
            number -= rows;
        }
        panic!("no such row");
    }

    #[test]
    fn a_conversation_that_fits_does_not_scroll() {
        let mut slots = vec![1, 2, 3];
        let bottom = last(&mut slots).unwrap();
        assert_eq!(scrolled_up(&mut slots, bottom, 5, 10), bottom);
        assert_eq!(scrolled_up(&mut slots, bottom, 5, 5), Place { slot: 2, row: 1 });
        assert_eq!(last(&mut Vec::new()), None);
    }

    proptest! {
        #[test]
        fn moves_are_those_in_a_list_of_rows(
            mut slots in proptest::collection::vec(1..5usize, 1..20), from in any::<prop::sample::Index>(), by in 0..40usize, height in 0..12usize
        ) {
            let all: usize = slots.iter().sum();
            let at = from.index(all);
            let start = place(&slots, at);
            let (above, moved) = up(&mut slots, start, by);
            prop_assert_eq!((number(&slots, above), moved), (at - moved, by.min(at)));
            let (below, moved) = down(&mut slots, start, by);
            prop_assert_eq!((number(&slots, below), moved), (at + moved, by.min(all - 1 - at)));
            let bottom = scrolled_up(&mut slots, start, by, height);
            let least = height.max(1).min(all) - 1;
            prop_assert_eq!(number(&slots, bottom), at.saturating_sub(by).max(least));
        }
    }
}
