//! How far a long command on a log's files is.

/// Gets to know how far a command is.
pub trait Progress {
    /// A step begins: what is done, with this many bytes; 0 if that is not known.
    fn begin(&mut self, what: &'static str, bytes: u64);

    /// So many of the step's bytes are done.
    fn at(&mut self, bytes: u64);
}

/// Nobody wants to know.
impl Progress for () {
    fn begin(&mut self, _what: &'static str, _bytes: u64) {}

    fn at(&mut self, _bytes: u64) {}
}
