//! Groups and real servers at run time: who is up, how busy, and whose turn it is.
//!
//! [`SharedGroup`] is read by everyone and never changes: a reload makes another one, in which the
//! servers that stay keep their [`ServerState`]. [`WorkerGroup`] is one worker's view, with its own
//! place in the rotation; it takes on another group between two turns of its worker's event loop, so
//! that the data path needs no lock for it. [`WorkerGroup::choose`] hands out a [`Lease`], the only way
//! to count work on a server: it counts when made and uncounts when dropped, so the numbers cannot
//! drift, and it keeps a server that has been removed until its work is done. One that is added again
//! is a new one: totals begin at 0, and what still runs on the old one does not count towards its limit.
//! Work is counted per worker and summed where an algorithm needs the whole; only servers with a
//! limit pay for a shared counter, which makes the limit exact.

pub(crate) mod balance;
mod worker_group;

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::{Group, RealServer};
use crate::counters::ServerCounters;
use crate::health::CheckReport;
pub(crate) use worker_group::{Lease, WorkerGroup};

/// A server of one worker's group: a slot, which another server may have after this one was removed,
/// and the number that tells those two apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ServerIndex(pub(crate) usize, u32);

/// Why no server could be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoServer {
    /// None is up, apart from those the caller excluded.
    #[error("no real server is up")]
    AllDown,
    /// All that are up have reached `max_connections`.
    #[error("every real server that is up has reached its max_connections")]
    AllFull,
}

/// A group as all threads see it.
#[derive(Debug)]
pub(crate) struct SharedGroup {
    pub(crate) config: Arc<Group>,
    /// In the order of the configuration.
    pub(crate) servers: Vec<Arc<SharedServer>>,
}

/// A real server as all threads see it.
#[derive(Debug)]
pub(crate) struct SharedServer {
    pub(crate) config: Arc<RealServer>,
    state: Arc<ServerState>,
}

/// What is known of a real server, however its weight and its limit change.
#[derive(Debug)]
pub(crate) struct ServerState {
    /// One block per worker.
    counters: Vec<ServerCounters>,
    up: AtomicBool,
    /// Leases over all workers; counted only while the server has a limit.
    claimed: AtomicU32,
    check: Mutex<CheckReport>,
}

impl SharedGroup {
    pub(crate) fn new(config: Arc<Group>, workers: usize) -> Self {
        // A server that nobody has checked yet is up: waiting for the first check would refuse
        // clients that could have been served.
        let servers = config.servers.iter().map(|server| SharedServer::fresh(server, workers, true)).collect();
        Self { config, servers }
    }

    /// The group as `wanted` says. Servers that stay keep their state; one that is new is up only
    /// if nothing will check it, because meanwhile the others serve.
    pub(crate) fn changed_to(&self, wanted: Arc<Group>, workers: usize) -> Self {
        let by_name: HashMap<_, _> = self.servers.iter().map(|it| (it.config.name.as_str(), it)).collect();
        let up = wanted.health.is_none();
        let server = |config: &Arc<RealServer>| match by_name.get(config.name.as_str()) {
            Some(kept) if kept.config == *config => Arc::clone(kept),
            Some(kept) if kept.config.address == config.address => {
                Arc::new(SharedServer { config: Arc::clone(config), state: Arc::clone(&kept.state) })
            }
            _ => SharedServer::fresh(config, workers, up),
        };
        let servers = wanted.servers.iter().map(server).collect();
        Self { config: wanted, servers }
    }
}

impl Deref for SharedServer {
    type Target = ServerState;

    fn deref(&self) -> &ServerState {
        &self.state
    }
}

impl SharedServer {
    fn fresh(config: &Arc<RealServer>, workers: usize, up: bool) -> Arc<Self> {
        let state = Arc::new(ServerState {
            counters: (0..workers).map(|_| ServerCounters::default()).collect(),
            up: AtomicBool::new(up),
            claimed: AtomicU32::new(0),
            check: Mutex::default(),
        });
        Arc::new(Self { config: Arc::clone(config), state })
    }

    /// Whether both are the same server, perhaps with another weight or limit.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }

    /// Equal for the same server only, while one of both lives.
    pub(crate) fn identity(&self) -> *const () {
        Arc::as_ptr(&self.state).cast()
    }

    fn is_full(&self) -> bool {
        self.config.max_connections.is_some_and(|max| self.claimed.load(Relaxed) >= max.get())
    }

    /// Takes one of the places of a server with a limit: `Some(true)` if it did, `None` if none is left.
    fn claim(&self) -> Option<bool> {
        let Some(max) = self.config.max_connections else { return Some(false) };
        let below = |claimed: u32| (claimed < max.get()).then_some(claimed + 1);
        self.claimed.fetch_update(Relaxed, Relaxed, below).is_ok().then_some(true)
    }
}

impl ServerState {
    /// What each worker counts.
    pub(crate) fn counters(&self) -> &[ServerCounters] {
        &self.counters
    }

    /// Whether health checks let the server take new work.
    pub(crate) fn is_up(&self) -> bool {
        self.up.load(Relaxed)
    }

    /// Sets the state that balancing obeys.
    pub(crate) fn set_up(&self, up: bool) {
        self.up.store(up, Relaxed);
    }

    /// What the last health check found.
    pub(crate) fn check(&self) -> CheckReport {
        self.check.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Books a health check.
    pub(crate) fn set_check(&self, report: CheckReport) {
        *self.check.lock().unwrap_or_else(PoisonError::into_inner) = report;
    }

    /// Connections (TCP) or requests (HTTP) running now, over all workers.
    pub(crate) fn current(&self) -> u64 {
        self.counters.iter().map(|counters| counters.current.get()).sum()
    }
}

#[cfg(test)]
mod tests;
