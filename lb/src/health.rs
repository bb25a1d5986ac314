//! Whether real servers work: probes, and a pure state machine that decides from their results.
//!
//! A server that has not been checked yet is up, because refusing clients until the first checks are
//! through would turn every start into an outage; a server that is dead from the start is taken out
//! after `fall` failed checks like any other. One that a reload adds is checked at once and is down
//! until a check was good, because the others serve meanwhile. Each server is checked on its own beat;
//! the beats of a group are spread evenly over the interval by the place in the group, so nothing is
//! random. A server that stays through a reload keeps its beat.

mod expect;
mod probe;
mod state;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::config::Health;
use crate::group::{SharedGroup, SharedServer};
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

/// Most first checks of added servers that run at a time.
const FIRST_CHECKS_MAX: usize = 64;

/// The checks that run, one task for each server; needs a local runtime.
#[derive(Debug, Default)]
pub(crate) struct Checks(Vec<(Arc<SharedServer>, AbortHandle)>);

impl Checks {
    /// Starts checking the servers of a group.
    pub(crate) fn start(&mut self, group: &SharedGroup) {
        let Some(health) = &group.config.health else { return };
        for (at, server) in group.servers.iter().enumerate() {
            let first = Instant::now() + offset(health.interval, at, group.servers.len());
            let state = HealthState::new(health.rise, health.fall);
            let watch = Watch::new(group, server, health, state);
            self.spawn(server, watch.run(first));
        }
    }

    /// Checks the servers that a changed group has new, once; from then on they are watched like the
    /// others. Servers that are no longer in it are checked until [`Self::forget`].
    pub(crate) async fn add(&mut self, running: &SharedGroup, changed: &SharedGroup) {
        let Some(health) = &changed.config.health else { return };
        let permits = Arc::new(Semaphore::new(FIRST_CHECKS_MAX));
        let mut first_checks = Vec::new();
        for (at, server) in changed.servers.iter().enumerate() {
            if running.servers.iter().any(|old| old.is_same(server)) {
                continue;
            }
            let (done, first_check) = oneshot::channel();
            first_checks.push(first_check);
            let mut watch = Watch::new(changed, server, health, HealthState::unproven(health.rise, health.fall));
            let permits = Arc::clone(&permits);
            // At least half an interval after the first one.
            let gap = (health.interval + offset(health.interval, at, changed.servers.len())) / 2;
            self.spawn(server, async move {
                let permit = permits.acquire().await;
                watch.check().await;
                drop(permit);
                watch.tell_if_down();
                // Nobody waits any more when the reload was given up.
                let _ = done.send(());
                watch.run(Instant::now() + gap).await;
            });
        }
        for first_check in first_checks {
            // Each is bounded by the timeout of a check.
            let _ = first_check.await;
        }
    }

    /// Ends the checks of servers that are in none of the groups.
    pub(crate) fn forget(&mut self, groups: &[Arc<SharedGroup>]) {
        let stay: HashSet<_> = groups.iter().flat_map(|group| &group.servers).map(|it| it.identity()).collect();
        self.0.retain(|(server, task)| {
            let stays = stay.contains(&server.identity());
            if !stays {
                task.abort();
            }
            stays
        });
    }

    fn spawn(&mut self, server: &Arc<SharedServer>, task: impl Future<Output = ()> + 'static) {
        self.0.push((Arc::clone(server), tokio::task::spawn_local(task).abort_handle()));
    }
}

/// When the first check of a server is due, after the start.
fn offset(interval: Duration, server: usize, servers: usize) -> Duration {
    interval.mul_f64(server as f64 / servers as f64)
}

/// The checks of one server.
struct Watch {
    /// Name of its group, for the log.
    group: String,
    server: Arc<SharedServer>,
    health: Health,
    state: HealthState,
}

impl Watch {
    fn new(group: &SharedGroup, server: &Arc<SharedServer>, health: &Health, state: HealthState) -> Self {
        Self { group: group.config.name.clone(), server: Arc::clone(server), health: health.clone(), state }
    }

    async fn run(mut self, first: Instant) {
        let mut beat = interval_at(first, self.health.interval);
        // After a pause of the machine one check is enough.
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beat.tick().await;
            self.check().await;
        }
    }

    /// For a server whose first check was not good: it has not changed, so nothing else says it.
    fn tell_if_down(&self) {
        if !self.server.is_up() {
            let (group, name, found) = (&self.group, &self.server.config.name, self.server.check().message);
            tracing::warn!(group, server = name, found, "real server was added and is down");
        }
    }

    async fn check(&mut self) {
        let server = &self.server;
        let (good, found) = match probe::run(server.config.address, &self.health).await {
            Ok(found) => (true, found),
            Err(Problem::Server(found)) => (false, found),
            // Taking servers out because we have no descriptor left would make a shortage an outage.
            Err(Problem::Local(found)) => {
                tracing::debug!(found, "health check");
                return;
            }
        };
        let mut report = server.check();
        report.checks += 1;
        report.failures += u64::from(!good);
        report.message = found;
        let verdict = self.state.observe(good);
        let (group, name, found) = (&self.group, &server.config.name, &report.message);
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
