//! The time at which a message is due, with a rate.

use std::thread;
use std::time::{Duration, Instant};

use super::plan::Plan;

/// Waits until the message is due, with a rate. The senders take turns. False means that the run is over; the thread
/// that ends it unparks the senders.
pub fn pace(plan: &Plan, since: Instant, sender: u16, number: u32, is_over: impl Fn() -> bool) -> bool {
    let Some(rate) = plan.rate else { return !is_over() };
    let turn = u64::from(number - 1) * u64::from(plan.senders) + u64::from(sender);
    let due = since + Duration::from_secs_f64(turn as f64 / f64::from(rate));
    loop {
        let left = due.saturating_duration_since(Instant::now());
        if is_over() || left.is_zero() {
            return !is_over();
        }
        thread::park_timeout(left);
    }
}
