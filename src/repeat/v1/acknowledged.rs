//! The messages of a sender that the server has acknowledged to it. Pure logic.

/// A set of the numbers of a sender's messages. A bit for each.
#[derive(Debug)]
pub struct Acknowledged {
    bits: Vec<u64>,
    count: u64,
}

impl Acknowledged {
    pub fn new(messages: u32) -> Self {
        Self { bits: vec![0; messages as usize / 64 + 1], count: 0 }
    }

    /// Records a message; repeated acknowledgements count once.
    pub fn insert(&mut self, number: u32) {
        if let Some(bits) = self.bits.get_mut(number as usize / 64) {
            let bit = 1 << (number % 64);
            self.count += u64::from(*bits & bit == 0);
            *bits |= bit;
        }
    }

    pub fn contains(&self, number: u32) -> bool {
        self.bits.get(number as usize / 64).is_some_and(|bits| bits & (1 << (number % 64)) != 0)
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    /// The highest number that fits, or slightly more.
    pub fn numbers(&self) -> u32 {
        (self.bits.len() * 64 - 1) as u32
    }
}
