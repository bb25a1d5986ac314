//! Whether real servers work: probes, and a pure state machine that decides from their results.
//!
//! A server that has not been checked yet is up, because refusing clients until the first checks are
//! through would turn every start into an outage; a server that is dead from the start is taken out
//! after `fall` failed checks like any other. Each server is checked on its own beat; the beats of a
//! group are spread evenly over the interval by the place in the group, so nothing is random.

mod expect;
mod probe;
mod state;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::config::Health;
use crate::group::SharedGroup;
use probe::Problem;
use state::{HealthState, Verdict};

/// What the last health check of a server found, for the admin pages.
#[derive(Clone, Debug, Default)]
pub(crate) struct CheckReport {
    /// When the server last changed between up and down ([`host::clock::monotonic_ns`]); 0 is never.
    pub(crate) changed_ns: u64,
    /// What the last check found, for a person; empty before the first one.
    pub(crate) message: String,
    /// Checks done.
    pub(crate) checks: u64,
    /// Checks failed.
    pub(crate) failures: u64,
}

/// Starts checking the servers of a group, one task each; needs a local runtime.
pub(crate) fn watch(group: &Arc<SharedGroup>) {
    let Some(health) = &group.config.health else { return };
    for server in 0..group.servers.len() {
        let first = offset(health.interval, server, group.servers.len());
        tokio::task::spawn_local(watch_server(Arc::clone(group), health.clone(), server, first));
    }
}

/// When the first check of a server is due, after the start.
fn offset(interval: Duration, server: usize, servers: usize) -> Duration {
    interval.mul_f64(server as f64 / servers as f64)
}

async fn watch_server(group: Arc<SharedGroup>, health: Health, server: usize, first: Duration) {
    let mut beat = interval_at(Instant::now() + first, health.interval);
    // After a pause of the machine one check is enough.
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let server = &group.servers[server];
    let mut state = HealthState::new(health.rise, health.fall);
    loop {
        beat.tick().await;
        let (good, found) = match probe::run(server.config.address, &health).await {
            Ok(found) => (true, found),
            Err(Problem::Server(found)) => (false, found),
            // Taking servers out because we have no descriptor left would make a shortage an outage.
            Err(Problem::Local(found)) => {
                tracing::debug!(found, "health check");
                continue;
            }
        };
        let mut report = server.check();
        report.checks += 1;
        report.failures += u64::from(!good);
        report.message = found;
        let verdict = state.observe(good);
        let (group, name, found) = (&group.config.name, &server.config.name, &report.message);
        match verdict {
            Some(Verdict::Up) => tracing::warn!(group, server = name, found, "real server is up"),
            Some(Verdict::Down) => tracing::warn!(group, server = name, found, "real server is down"),
            None => {}
        }
        if verdict.is_some() {
            report.changed_ns = host::clock::monotonic_ns();
            server.set_up(verdict == Some(Verdict::Up));
        }
        server.set_check(report);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_checks_are_spread_evenly_over_the_interval() {
        let starts: Vec<_> = (0..4).map(|server| offset(Duration::from_secs(2), server, 4).as_millis()).collect();
        assert_eq!(starts, [0, 500, 1000, 1500]);
    }
}
