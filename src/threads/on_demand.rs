//! Threads that are started when there is work for them.

/// A thread that has not started. Exactly one of the methods is called, once.
pub trait OnDemand: Send {
    /// Starts it: there is work. Never blocks. If the system has no thread, what needs the thread ends.
    fn begin(self: Box<Self>);

    /// There will never be work: releases everything that the thread would have held. Never blocks.
    fn forgo(self: Box<Self>);
}
