//! When something may be answered: a rate cap, and windows in which nothing is.
//!
//! Pure arithmetic on nanoseconds that the caller read from the monotonic clock. [`Gcra`] is the
//! virtual scheduling algorithm of ITU-T I.371, annex A: it keeps one time and no bucket, so a cap
//! never drifts. It does not wait; see `cap.rs`.

use std::time::Duration;

/// What is granted at most in a row after idle time, unless something else is asked for: this long at
/// the capped rate.
pub(crate) const BURST: Duration = Duration::from_millis(20);
/// Slots that a busy queue may catch up on after its thread was held up; more are lost.
const CATCH_UP_PS: u128 = 1_000_000_000_000;

/// A rate cap that grants exactly its rate in the long run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gcra {
    /// Picoseconds, because a period in whole nanoseconds would be 0.1 % off at 3 M/s; wide, because
    /// 64 bits of them are over after 213 days of uptime. At most `u64::MAX`, so no sum overflows.
    period_ps: u128,
    tolerance_ps: u128,
    /// When the next event is due if events come evenly (I.371: theoretical arrival time).
    due_ps: u128,
}

impl Gcra {
    /// At most `burst` at the rate is granted in a row after idle time.
    pub(crate) fn new(events_per_second: f64, burst: Duration) -> Self {
        // The cast saturates: whatever the rate, the period is between 1 ps and 213 days.
        let period_ps = u128::from(((1e12 / events_per_second).round() as u64).max(1));
        // At least one period: otherwise events that come evenly at the cap would fail by jitter.
        Self { period_ps, tolerance_ps: (burst.as_nanos() * 1000).min(u128::from(u64::MAX)).max(period_ps), due_ps: 0 }
    }

    /// Grants an event at `now_ns` unless it comes too early.
    pub(crate) fn grant(&mut self, now_ns: u64) -> bool {
        let now_ps = u128::from(now_ns) * 1000;
        let granted = self.due_ps <= now_ps + self.tolerance_ps;
        if granted {
            self.due_ps = self.due_ps.max(now_ps) + self.period_ps;
        }
        granted
    }

    /// Grants the first of a queue that has not been empty since the last grant. Its slots are
    /// counted from each other, not from `now_ns`, so a late wake-up costs the queue nothing.
    pub(crate) fn grant_queued(&mut self, now_ns: u64) -> bool {
        let now_ps = u128::from(now_ns) * 1000;
        let granted = self.due_ps <= now_ps + self.tolerance_ps;
        if granted {
            self.due_ps = self.due_ps.max(now_ps.saturating_sub(CATCH_UP_PS)) + self.period_ps;
        }
        granted
    }

    /// From when on the next event will be granted, in nanoseconds of the same clock.
    pub(crate) fn opens_ns(&self) -> u64 {
        let opens_ns = self.due_ps.saturating_sub(self.tolerance_ps).div_ceil(1000);
        u64::try_from(opens_ns).unwrap_or(u64::MAX)
    }
}

/// Time in which nothing is answered, counted from the first measured request or connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stall {
    /// Start of the first window.
    pub at: Duration,
    /// Length of each window.
    pub length: Duration,
    /// Distance from the start of one window to the start of the next; `None` for a single window.
    pub every: Option<Duration>,
}

impl Stall {
    /// How much of a window remains `elapsed` after the first request; zero outside of windows.
    pub(crate) fn remaining(&self, elapsed: Duration) -> Duration {
        let Some(mut since) = elapsed.checked_sub(self.at) else { return Duration::ZERO };
        if let Some(every) = self.every.filter(|every| !every.is_zero()) {
            since = Duration::from_nanos((since.as_nanos() % every.as_nanos()) as u64);
        }
        self.length.saturating_sub(since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn the_long_run_rate_is_the_cap_however_much_is_asked() {
        for rate in [7.0, 333.0, 1500.0, 100_000.0] {
            let mut gcra = Gcra::new(rate, BURST);
            let step_ns = (1e9 / rate / 3.7) as u64;
            let seconds = 60;
            let asked = seconds * 1_000_000_000 / step_ns;
            let granted = (0..asked).filter(|n| gcra.grant(5_000_000_000 + n * step_ns)).count() as f64;
            let burst = (rate * 0.02).max(1.0) + 1.0;
            let expected = rate * seconds as f64;
            assert!((granted - expected).abs() <= burst + expected * 1e-6, "{granted} of {expected} at {rate}/s");
        }
    }

    #[test]
    fn events_that_come_evenly_at_the_cap_are_all_granted_in_spite_of_jitter() {
        let mut gcra = Gcra::new(1000.0, BURST);
        for n in 0..10_000_u64 {
            let jitter = if n % 2 == 0 { 9 * MS } else { 0 };
            assert!(gcra.grant(1_000 * MS + n * MS + jitter), "event {n}");
        }
    }

    #[test]
    fn a_queue_that_wakes_late_still_gets_every_slot() {
        let mut gcra = Gcra::new(1000.0, BURST);
        assert!(gcra.grant(0));
        let mut granted = 1;
        // Woken every 50 ms, more than the burst tolerance, for 10 s.
        for wake in 1..=200_u64 {
            while gcra.grant_queued(wake * 50 * MS) {
                granted += 1;
            }
        }
        assert!((10_000..=10_021).contains(&granted), "{granted}");
    }

    #[test]
    fn a_queue_opens_when_it_says() {
        let mut gcra = Gcra::new(100.0, BURST);
        while gcra.grant(1_000 * MS) {}
        let opens = gcra.opens_ns();
        assert!(!gcra.grant_queued(opens - 1));
        assert!(gcra.grant_queued(opens));
    }

    #[test]
    fn the_rate_holds_however_long_the_host_has_been_up() {
        let year_ns = 365 * 86_400 * 1000 * MS;
        for up_ns in [213 * 86_400 * 1000 * MS, year_ns, 100 * year_ns, u64::MAX - 20_000 * MS] {
            let mut gcra = Gcra::new(1000.0, BURST);
            // Ten thousand are asked for per second, for ten seconds.
            let granted = (0..100_000).filter(|n| gcra.grant(up_ns + n * MS / 10)).count();
            assert!((10_000..=10_021).contains(&granted), "{granted} at {up_ns} ns");
            while gcra.grant_queued(up_ns + 10_000 * MS) {}
            assert!(gcra.opens_ns() > up_ns + 10_000 * MS);
        }
    }

    #[test]
    fn a_tiny_rate_grants_no_more_than_two_and_then_makes_wait() {
        for rate in [0.001, 1e-6, 1e-12, f64::MIN_POSITIVE] {
            for now_ns in [1, 1_000 * MS, u64::MAX] {
                let mut gcra = Gcra::new(rate, BURST);
                let granted = (0..10).filter(|_| gcra.grant(now_ns) || gcra.grant_queued(now_ns)).count();
                assert!((1..=2).contains(&granted), "{granted} at {rate}/s and {now_ns} ns");
                assert!(gcra.opens_ns() > now_ns || now_ns == u64::MAX);
            }
        }
    }

    #[test]
    fn a_stall_covers_its_window_and_repeats_if_asked() {
        let ms = Duration::from_millis;
        let once = Stall { at: ms(3000), length: ms(1000), every: None };
        assert_eq!(once.remaining(ms(2999)), ms(0));
        assert_eq!(once.remaining(ms(3000)), ms(1000));
        assert_eq!(once.remaining(ms(3999)), ms(1));
        assert_eq!(once.remaining(ms(4000)), ms(0));
        let periodic = Stall { every: Some(ms(5000)), ..once };
        assert_eq!(periodic.remaining(ms(8200)), ms(800));
        assert_eq!(periodic.remaining(ms(9000)), ms(0));
    }
}
