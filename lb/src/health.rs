//! Whether real servers work: probes, and a pure state machine that decides from their results.
//!
//! A server that has not been checked yet is up, because refusing clients until the first checks are
//! through would turn every start into an outage; a server that is dead from the start is taken out
//! after `fall` failed checks like any other. One that a reload adds is checked at once and is down
//! until a check was good, because the others serve meanwhile; if that check could not be made from
//! here, it is up as at the start. Each server is checked on its own beat;
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

    /// Checks the servers that changed groups (as they run, as they shall be) have new, once and all
    /// together; from then on they are watched like the others. Servers that are no longer in a group
    /// are checked until [`Self::forget`].
    pub(crate) async fn add(&mut self, groups: impl Iterator<Item = (&SharedGroup, &SharedGroup)>) {
        let permits = Arc::new(Semaphore::new(FIRST_CHECKS_MAX));
        let mut first_checks = Vec::new();
        for (running, changed) in groups {
            self.add_to(running, changed, &permits, &mut first_checks);
        }
        for first_check in first_checks {
            // Each is bounded by the timeout of a check.
            let _ = first_check.await;
        }
    }

    fn add_to(
        &mut self,
        running: &SharedGroup,
        changed: &SharedGroup,
        permits: &Arc<Semaphore>,
        first_checks: &mut Vec<oneshot::Receiver<()>>,
    ) {
        let Some(health) = &changed.config.health else { return };
        for (at, server) in changed.servers.iter().enumerate() {
            if running.servers.iter().any(|old| old.is_same(server)) {
                continue;
            }
            let (done, first_check) = oneshot::channel();
            first_checks.push(first_check);
            let mut watch = Watch::new(changed, server, health, HealthState::unproven(health.rise, health.fall));
            let permits = Arc::clone(permits);
            // At least half an interval after the first one.
            let gap = (health.interval + offset(health.interval, at, changed.servers.len())) / 2;
            self.spawn(server, async move {
                let permit = permits.acquire().await;
                let found = probe::run(watch.server.config.address, &watch.health).await;
                drop(permit);
                watch.book_first(found);
                // Nobody waits any more when the reload was given up.
                let _ = done.send(());
                watch.run(Instant::now() + gap).await;
            });
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

    /// Books the first check of an added server.
    fn book_first(&mut self, found: Result<String, Problem>) {
        let name = self.server.config.name.clone();
        if let Err(Problem::Local(found)) = found {
            // Nothing is known of it, as at the start; and the others may be gone with this reload.
            self.state = HealthState::new(self.health.rise, self.health.fall);
            self.server.set_up(true);
            let group = &self.group;
            tracing::warn!(group, server = name, found, "real server was added and is up without a check");
            return;
        }
        self.book(found);
        if !self.server.is_up() {
            // It has not changed, so nothing else says it.
            let (group, found) = (&self.group, self.server.check().message);
            tracing::warn!(group, server = name, found, "real server was added and is down");
        }
    }

    async fn check(&mut self) {
        let found = probe::run(self.server.config.address, &self.health).await;
        self.book(found);
    }

    fn book(&mut self, found: Result<String, Problem>) {
        let server = &self.server;
        let (good, found) = match found {
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
    use crate::config::Config;

    #[test]
    fn first_checks_are_spread_evenly_over_the_interval() {
        let starts: Vec<_> = (0..4).map(|server| offset(Duration::from_secs(2), server, 4).as_millis()).collect();
        assert_eq!(starts, [0, 500, 1000, 1500]);
    }

    /// The watch of a server that was added, before its first check.
    fn added() -> Watch {
        let config = |servers: &str| {
            let text = format!(
                "[[virtual_service]]\nname = 'web'\nlisten = '127.0.0.1:0'\nmode = 'tcp'\ngroup = 'g'\n[[group]]\n\
                 name = 'g'\nhealth = {{ kind = 'tcp', rise = 3, fall = 2 }}\nreal_servers = [{servers}]\n"
            );
            Config::parse("test.toml", &text).unwrap().groups.remove(0)
        };
        let (a, b) = ("{ name = 'a', address = '127.0.0.1:1' }", "{ name = 'b', address = '127.0.0.1:2' }");
        let group = SharedGroup::new(config(a), 1).changed_to(config(&format!("{a}, {b}")), 1);
        let health = group.config.health.clone().unwrap();
        let watch = Watch::new(&group, &group.servers[1], &health, HealthState::unproven(health.rise, health.fall));
        assert!(!watch.server.is_up());
        watch
    }

    #[test]
    fn an_added_server_is_down_until_a_check_was_good_unless_none_could_be_made() {
        let failed = || Err(Problem::Server("refused".to_owned()));
        let mut watch = added();
        watch.book_first(Ok("connected".to_owned()));
        assert!(watch.server.is_up());
        let mut watch = added();
        watch.book_first(failed());
        assert!(!watch.server.is_up());
        let mut watch = added();
        watch.book_first(Err(Problem::Local("no descriptor".to_owned())));
        assert!(watch.server.is_up());
        assert_eq!(watch.server.check().checks, 0, "it was not checked");
        watch.book(failed());
        assert!(watch.server.is_up(), "as at the start");
        watch.book(failed());
        assert!(!watch.server.is_up());
    }
}
