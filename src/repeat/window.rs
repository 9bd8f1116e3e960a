//! The window: how far the senders may be ahead of the slowest receiver.
//!
//! A message is in flight until every client has it. A sender takes a ticket for each message and waits until the
//! ticket falls into the window. Each client keeps a count of its received messages; the lowest count is the window's
//! floor. Reading a thousand counts for each message would cost more than the message, so a sender that must wait reads
//! them once, picks the client that is furthest behind, sets a mark at its count, and parks; that client's receive
//! thread wakes it when the count gets there. So a delivery costs its receiver one addition and one comparison in its
//! own cache line.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, Thread};

use parking_lot::{Condvar, Mutex, MutexGuard};

/// No mark.
const NEVER: u64 = u64::MAX;

/// The count of a client that is gone: it does not block others.
const GONE: u64 = u64::MAX / 2;

pub struct Window {
    limit: u64,
    tickets: AtomicU64,
    /// Tickets that were returned unused.
    void: AtomicU64,
    /// The floor as last calculated.
    floor: AtomicU64,
    clients: Vec<Client>,
    /// Whether a sender is reading the counts; the others wait until it has raised the floor. It must not hold the lock
    /// meanwhile: one of the others may enter long before it, and then all would wait for that one.
    raising: Mutex<bool>,
    raised: Condvar,
    waiter: Mutex<Option<Thread>>,
    closed: AtomicBool,
}

/// One client's count, in a cache line of its own.
#[repr(align(64))]
struct Client {
    count: AtomicU64,
    mark: AtomicU64,
}

impl Window {
    pub fn new(clients: usize, limit: u64) -> Self {
        let clients = (0..clients).map(|_| Client { count: AtomicU64::new(0), mark: AtomicU64::new(NEVER) }).collect();
        Self {
            limit: limit.max(1),
            tickets: AtomicU64::new(0),
            void: AtomicU64::new(0),
            floor: AtomicU64::new(0),
            clients,
            raising: Mutex::new(false),
            raised: Condvar::new(),
            waiter: Mutex::new(None),
            closed: AtomicBool::new(false),
        }
    }

    /// Waits until one more message may be sent. False means that the run is over.
    pub fn enter(&self) -> bool {
        let ticket = self.tickets.fetch_add(1, Ordering::Relaxed);
        if !self.admits(ticket) {
            self.wait(ticket);
        }
        !self.is_closed()
    }

    /// Gives a ticket back unused.
    pub fn give_back(&self) {
        self.void.fetch_add(1, Ordering::SeqCst);
        self.wake();
    }

    /// The client has this many more messages: received, missed, or its own.
    pub fn add(&self, client: usize, messages: u32) {
        let Client { count, mark } = &self.clients[client];
        // The pair of this store and load with the load and store in `raise_floor` must be ordered the same for both
        // sides, or each could miss the other's: hence SeqCst.
        let count = count.fetch_add(messages.into(), Ordering::SeqCst) + u64::from(messages);
        if count >= mark.load(Ordering::SeqCst) {
            mark.store(NEVER, Ordering::SeqCst);
            self.wake();
        }
    }

    /// The client is gone and does not block others.
    pub fn leave(&self, client: usize) {
        self.clients[client].count.store(GONE, Ordering::SeqCst);
        self.wake();
    }

    /// Closes the window.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.wake();
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    fn admits(&self, ticket: u64) -> bool {
        ticket < self.floor.load(Ordering::Relaxed) + self.limit
    }

    /// Waits until the ticket falls into the window, or the window is closed.
    fn wait(&self, ticket: u64) {
        let mut raising = self.raising.lock();
        while !self.admits(ticket) && !self.is_closed() {
            if *raising {
                self.raised.wait(&mut raising);
                continue;
            }
            *raising = true;
            MutexGuard::unlocked(&mut raising, || self.raise_floor());
            *raising = false;
            self.raised.notify_all();
        }
    }

    /// Raises the floor, waiting for the client that is furthest behind, unless the window is closed.
    fn raise_floor(&self) {
        *self.waiter.lock() = Some(thread::current());
        let before = self.floor.load(Ordering::Relaxed);
        while !self.is_closed() {
            let counts = self.clients.iter().map(|client| (client.count.load(Ordering::SeqCst), client));
            // Without clients nothing blocks.
            let Some((count, last)) = counts.min_by_key(|&(count, _)| count) else { break };
            let floor = count + self.void.load(Ordering::SeqCst);
            self.floor.store(floor, Ordering::Relaxed);
            if floor > before {
                break;
            }
            // Some more than one, so as not to wake up for each message. The tickets of a whole window above the floor
            // are assigned, or no sender would wait here, and their owners have entered; so the count does get there.
            let mark = count + (self.limit / 4).max(1);
            last.mark.store(mark, Ordering::SeqCst);
            if last.count.load(Ordering::SeqCst) < mark && !self.is_closed() {
                thread::park();
            }
            last.mark.store(NEVER, Ordering::SeqCst);
        }
        *self.waiter.lock() = None;
    }

    fn wake(&self) {
        if let Some(waiter) = &*self.waiter.lock() {
            waiter.unpark();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread::JoinHandle;

    use super::*;

    /// A sender of this many messages; its result is how many it could send.
    fn sender(window: &Arc<Window>, messages: u64) -> JoinHandle<u64> {
        let window = Arc::clone(window);
        thread::spawn(move || (0..messages).take_while(|_| window.enter()).count() as u64)
    }

    #[test]
    fn a_window_admits_its_limit_without_a_wait() {
        let window = Arc::new(Window::new(2, 5));
        assert_eq!(sender(&window, 5).join().unwrap(), 5);
    }

    #[test]
    fn the_slowest_client_sets_the_pace() {
        for (clients, limit, senders) in [(1, 1, 1), (3, 1, 2), (2, 1, 9), (3, 7, 3), (50, 16, 4)] {
            let window = Arc::new(Window::new(clients, limit));
            let total = 3_000 * senders;
            let senders: Vec<_> = (0..senders).map(|_| sender(&window, 3_000)).collect();
            let receivers: Vec<_> = (0..clients)
                .map(|client| {
                    let window = Arc::clone(&window);
                    thread::spawn(move || {
                        let mut got = 0;
                        while got < total {
                            // Receives at most the sent messages: the assigned tickets within the window.
                            let tickets = window.tickets.load(Ordering::SeqCst);
                            let sent = tickets.min(window.floor.load(Ordering::SeqCst) + limit);
                            assert!(sent <= got + limit || sent == total, "{sent} sent, {got} here");
                            if got < sent {
                                window.add(client, 1);
                                got += 1;
                            } else {
                                thread::yield_now();
                            }
                        }
                    })
                })
                .collect();
            receivers.into_iter().for_each(|receiver| receiver.join().unwrap());
            assert_eq!(senders.into_iter().map(|sender| sender.join().unwrap()).sum::<u64>(), total);
        }
    }

    #[test]
    fn departed_clients_and_returned_tickets_block_nobody() {
        let window = Arc::new(Window::new(2, 2));
        let waiting = sender(&window, 4);
        window.leave(0);
        window.give_back();
        window.add(1, 1);
        assert_eq!(waiting.join().unwrap(), 4);
    }

    #[test]
    fn closing_releases_all_senders() {
        let window = Arc::new(Window::new(1, 2));
        let waiting: Vec<_> = (0..3).map(|_| sender(&window, 10)).collect();
        window.close();
        assert!(waiting.into_iter().map(|sender| sender.join().unwrap()).sum::<u64>() <= 2);
    }
}
