//! How long an answer may take, and how many frames one worker may have under way.

use std::time::Duration;

use crate::engine::Config;
use crate::measure::record::TrialLoad;
use crate::scenario::plan::UdpPlan;

/// How long a closed loop waits for an answer.
pub(super) const CLOSED_TIMEOUT: Duration = Duration::from_millis(100);
/// Shortest time for an answer where the drain leaves next to none.
const TIMEOUT_MIN: Duration = Duration::from_millis(100);
/// Fewest places of the window, so that answers which come very late still find what they answer.
const WINDOW_MIN: u32 = 1 << 16;
/// Most places of the window (64 MiB).
const WINDOW_MAX: u32 = 1 << 22;

/// How long an answer may take.
pub(in crate::engine) fn timeout(config: &Config) -> Duration {
    let open = config.response_timeout.min(config.drain.max(TIMEOUT_MIN));
    if matches!(config.load, TrialLoad::Closed(_)) { open.min(CLOSED_TIMEOUT) } else { open }
}

/// Workers that have a stream.
pub(in crate::engine) fn busy_workers(workers: u32, plan: &UdpPlan) -> u32 {
    workers.min(plan.streams.get().into())
}

/// Frames that one worker may have under way: as many as it sends until the first one is given up.
pub(in crate::engine) fn window(config: &Config, plan: &UdpPlan) -> u32 {
    let workers = f64::from(busy_workers(config.cores.len() as u32, plan));
    let wanted = match config.load {
        TrialLoad::Rate(rate) => rate / workers * timeout(config).as_secs_f64() * 1.25,
        TrialLoad::Closed(frames) | TrialLoad::Held(frames) => f64::from(frames) / workers,
    };
    (wanted.ceil() as u32).clamp(WINDOW_MIN, WINDOW_MAX)
}
