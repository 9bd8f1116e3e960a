//! Waits for a future on an ordinary thread, which parks until the future is ready, with or without a deadline.
//!
//! The gRPC library's calls are futures. Hubbub has no async runtime; a thread that needs a result waits for it here.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Instant;

/// Waits for the future, parked.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = unparker();
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            // A wake-up before the park makes the park return at once, so none is lost.
            Poll::Pending => thread::park(),
        }
    }
}

/// Waits for the future until the deadline. `None` means that the deadline passed; the future may be waited for again.
pub fn block_on_until<F: Future + Unpin>(future: &mut F, deadline: Instant) -> Option<F::Output> {
    let waker = unparker();
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = Pin::new(&mut *future).poll(&mut context) {
            return Some(output);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        thread::park_timeout(left);
    }
}

/// A waker that unparks the calling thread.
fn unparker() -> Waker {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    Waker::from(Arc::new(Unpark(thread::current())))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_value_from_another_thread_arrives() {
        let (sender, receiver) = futures_util::future::abortable(std::future::pending::<()>());
        let waiter = thread::spawn(move || block_on(sender));
        receiver.abort();
        assert!(waiter.join().unwrap().is_err());
    }

    #[test]
    fn a_deadline_ends_the_wait() {
        let mut never = std::future::pending::<()>();
        let deadline = Instant::now() + Duration::from_millis(5);
        assert_eq!(block_on_until(&mut never, deadline), None);
        assert!(Instant::now() >= deadline);
    }
}
