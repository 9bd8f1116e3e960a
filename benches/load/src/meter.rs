//! The counts of the measured window, and the resources of both processes.

use anyhow::Result;
use hdrhistogram::Histogram;

use crate::clock::Clock;
use crate::process::{Footprint, Process, own_cpu_ns};

/// Higher latencies count as this.
const LATENCY_NS_MAX: u64 = 60_000_000_000;
const SECOND_NS: u64 = 1_000_000_000;

/// Counts while its window is open.
pub struct Meter {
    server: Process,
    open: bool,
    start: Moment,
    /// Messages received, by all receivers together.
    pub deliveries: u64,
    /// From the time when a message was sent, or was due, to its read by a receiver, in nanoseconds.
    latency: Histogram<u64>,
    /// The same for the second that ends at `second_end_ns`, and the p99 of each earlier second of the window.
    second: Histogram<u64>,
    second_end_ns: u64,
    seconds_p99_ns: Vec<u64>,
}

/// The results of a window.
pub struct Measured {
    pub seconds: f64,
    pub deliveries: u64,
    /// `None` if nothing was delivered.
    pub latency: Option<LatencyUs>,
    /// User and system time of the server and of this program, in nanoseconds.
    pub server_cpu_ns: u64,
    pub own_cpu_ns: u64,
    /// Of the server, at the end of the window.
    pub footprint: Footprint,
}

/// Percentiles in microseconds.
#[derive(Clone, Copy)]
pub struct LatencyUs {
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
    /// The median of all seconds' p99, which a short disturbance of the machine hardly changes. `None` below one
    /// second.
    pub p99_of_seconds: Option<f64>,
}

struct Moment {
    at_ns: u64,
    server_cpu_ns: u64,
    own_cpu_ns: u64,
}

impl Meter {
    pub fn new(pid: u32) -> Result<Meter> {
        // Three digits: a thousandth is far below the variation between runs.
        let latency = Histogram::<u64>::new_with_bounds(1, LATENCY_NS_MAX, 3)?;
        Ok(Meter {
            server: Process::new(pid)?,
            open: false,
            start: Moment { at_ns: 0, server_cpu_ns: 0, own_cpu_ns: 0 },
            deliveries: 0,
            second: latency.clone(),
            latency,
            second_end_ns: 0,
            seconds_p99_ns: Vec::new(),
        })
    }

    pub fn footprint(&self) -> Result<Footprint> {
        self.server.footprint()
    }

    /// The server's CPU time so far.
    pub fn server_cpu_ns(&self) -> Result<u64> {
        self.server.cpu_ns()
    }

    /// Starts counting from zero.
    pub fn open(&mut self, clock: &Clock) -> Result<()> {
        self.deliveries = 0;
        self.latency.reset();
        self.second.reset();
        self.seconds_p99_ns.clear();
        self.start = self.moment(clock)?;
        self.second_end_ns = self.start.at_ns + SECOND_NS;
        self.open = true;
        Ok(())
    }

    /// Counts `count` messages with the latency from `sent_ns` to `now_ns`, if the window is open.
    #[inline]
    pub fn delivered(&mut self, sent_ns: u64, now_ns: u64, count: u64) {
        if self.open {
            self.deliveries += count;
            if now_ns >= self.second_end_ns {
                self.end_second(now_ns);
            }
            let latency_ns = now_ns.saturating_sub(sent_ns);
            self.latency.saturating_record_n(latency_ns, count);
            self.second.saturating_record_n(latency_ns, count);
        }
    }

    fn end_second(&mut self, now_ns: u64) {
        if !self.second.is_empty() {
            self.seconds_p99_ns.push(self.second.value_at_quantile(0.99));
            self.second.reset();
        }
        self.second_end_ns = now_ns + SECOND_NS;
    }

    /// Stops counting.
    pub fn close(&mut self, clock: &Clock) -> Result<Measured> {
        self.open = false;
        let end = self.moment(clock)?;
        let at = |quantile| self.latency.value_at_quantile(quantile) as f64 / 1e3;
        self.seconds_p99_ns.sort_unstable();
        let middle = self.seconds_p99_ns.get(self.seconds_p99_ns.len() / 2);
        let p99_of_seconds = middle.map(|&p99_ns| p99_ns as f64 / 1e3);
        let latency = LatencyUs { p50: at(0.5), p99: at(0.99), p999: at(0.999), p99_of_seconds };
        Ok(Measured {
            seconds: (end.at_ns - self.start.at_ns) as f64 / 1e9,
            deliveries: self.deliveries,
            latency: (!self.latency.is_empty()).then_some(latency),
            server_cpu_ns: end.server_cpu_ns - self.start.server_cpu_ns,
            own_cpu_ns: end.own_cpu_ns - self.start.own_cpu_ns,
            footprint: self.footprint()?,
        })
    }

    fn moment(&self, clock: &Clock) -> Result<Moment> {
        Ok(Moment { at_ns: clock.now_ns(), server_cpu_ns: self.server.cpu_ns()?, own_cpu_ns: own_cpu_ns()? })
    }
}

impl Measured {
    /// Processors that the server kept busy, in per cent of one.
    pub fn server_cpu_percent(&self) -> f64 {
        self.server_cpu_ns as f64 / self.seconds / 1e7
    }

    pub fn own_cpu_percent(&self) -> f64 {
        self.own_cpu_ns as f64 / self.seconds / 1e7
    }

    /// The server's CPU time for each of `count`, in microseconds.
    pub fn cpu_us_per(&self, count: u64) -> Option<f64> {
        (count > 0).then(|| self.server_cpu_ns as f64 / 1e3 / count as f64)
    }
}
