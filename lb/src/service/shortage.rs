//! This machine has run out of descriptors, ports or memory: counted always, logged once a second.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Shortest time between two log lines, in nanoseconds.
const QUIET_NS: u64 = 1_000_000_000;

/// One for all workers and services.
#[derive(Debug, Default)]
pub(crate) struct Shortage {
    count: AtomicU64,
    /// When it was last logged ([`host::clock::monotonic_ns`]); 0 is never.
    logged_ns: AtomicU64,
}

impl Shortage {
    /// Counts a system call that failed because something had run out, and logs it unless that
    /// happened less than a second ago.
    pub(crate) fn report(&self, service: &str, error: &io::Error) {
        self.count.fetch_add(1, Relaxed);
        if self.may_log(host::clock::monotonic_ns()) {
            tracing::warn!(service, %error, "this machine has run out of something: see ulimit -n, the local port range and the local addresses");
        }
    }

    /// How often it happened.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Relaxed)
    }

    fn may_log(&self, now: u64) -> bool {
        let last = self.logged_ns.load(Relaxed);
        let due = last == 0 || now.saturating_sub(last) >= QUIET_NS;
        // Whoever wins the exchange logs, so it is once over all workers.
        due && self.logged_ns.compare_exchange(last, now, Relaxed, Relaxed).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_logged_at_most_once_a_second() {
        let shortage = Shortage::default();
        let logged: Vec<_> =
            [5, 6, 1_000_000_004, 1_000_000_005, 1_000_000_006].map(|now| shortage.may_log(now)).into();
        assert_eq!(logged, [true, false, false, true, false]);
    }
}
