//! Groups and real servers at run time: who is up, how busy, and whose turn it is.
//!
//! [`SharedGroup`] is read by everyone; [`WorkerGroup`] is one worker's view with its own place in the
//! rotation. [`WorkerGroup::choose`] hands out a [`Lease`], the only way to count work on a server:
//! it counts when made and uncounts when dropped, so the numbers cannot drift.
//! Work is counted per worker and summed where an algorithm needs the whole; only servers with a
//! limit pay for a shared counter, which makes the limit exact.

pub(crate) mod balance;

use std::cell::RefCell;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::{Group, RealServer};
use crate::counters::ServerCounters;
use crate::health::CheckReport;
use crate::service::http::ServerConnections;
use balance::Balancer;

/// Place of a server in its group, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ServerIndex(pub(crate) usize);

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
    pub(crate) servers: Vec<SharedServer>,
}

/// A real server as all threads see it.
#[derive(Debug)]
pub(crate) struct SharedServer {
    pub(crate) config: Arc<RealServer>,
    /// One block per worker.
    pub(crate) counters: Vec<ServerCounters>,
    up: AtomicBool,
    /// Leases over all workers; counted only if the server has a limit.
    claimed: AtomicU32,
    check: Mutex<CheckReport>,
}

impl SharedGroup {
    pub(crate) fn new(config: Arc<Group>, workers: usize) -> Self {
        let servers = config.servers.iter().map(|server| SharedServer::new(Arc::clone(server), workers)).collect();
        Self { config, servers }
    }
}

impl SharedServer {
    fn new(config: Arc<RealServer>, workers: usize) -> Self {
        Self {
            config,
            counters: (0..workers).map(|_| ServerCounters::default()).collect(),
            // A server that nobody has checked yet is up: waiting for the first check would refuse
            // clients that could have been served.
            up: AtomicBool::new(true),
            claimed: AtomicU32::new(0),
            check: Mutex::default(),
        }
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

    fn is_full(&self) -> bool {
        self.config.max_connections.is_some_and(|max| self.claimed.load(Relaxed) >= max.get())
    }

    fn claim(&self) -> bool {
        let Some(max) = self.config.max_connections else { return true };
        let below = |claimed: u32| (claimed < max.get()).then_some(claimed + 1);
        self.claimed.fetch_update(Relaxed, Relaxed, below).is_ok()
    }

    fn release(&self) {
        if self.config.max_connections.is_some() {
            self.claimed.fetch_sub(1, Relaxed);
        }
    }
}

/// A group as one worker sees it.
#[derive(Debug)]
pub(crate) struct WorkerGroup {
    shared: Arc<SharedGroup>,
    worker: usize,
    balancer: RefCell<Balancer>,
    /// The HTTP data path's own: this worker's idle server connections, by server.
    pub(crate) http: ServerConnections,
}

impl WorkerGroup {
    pub(crate) fn new(shared: Arc<SharedGroup>, worker: usize) -> Self {
        let balancer = RefCell::new(Balancer::new(&shared.config, worker));
        let http = ServerConnections::new(shared.servers.len());
        Self { shared, worker, balancer, http }
    }

    /// Chooses a server that is up, not full and not excluded, and counts the work it is given.
    ///
    /// # Errors
    /// [`NoServer`] when there is none.
    pub(crate) fn choose(self: &Rc<Self>, excluded: &[ServerIndex]) -> Result<Lease, NoServer> {
        let servers = &self.shared.servers;
        let usable = |at: usize| servers[at].is_up() && !excluded.contains(&ServerIndex(at));
        // Another worker may take a server's last place between the look and the claim; then the
        // next look finds that server full, so this ends.
        for _ in 0..=servers.len() {
            let eligible = |at: usize| usable(at) && !servers[at].is_full();
            let chosen = self.balancer.borrow_mut().choose(eligible, |at| servers[at].current());
            match chosen {
                Some(at) if servers[at].claim() => return Ok(Lease::new(Rc::clone(self), ServerIndex(at))),
                Some(_) => {}
                None => break,
            }
        }
        let takes_work = |at: usize| usable(at) && self.balancer.borrow().uses(at);
        if (0..servers.len()).any(takes_work) { Err(NoServer::AllFull) } else { Err(NoServer::AllDown) }
    }

    /// Whether a server is up: an idle connection to one that is not should be closed.
    pub(crate) fn is_up(&self, server: ServerIndex) -> bool {
        self.shared.servers[server.0].is_up()
    }
}

/// One connection (TCP) or request (HTTP) on a real server: counted while it lives.
#[derive(Debug)]
pub(crate) struct Lease {
    group: Rc<WorkerGroup>,
    server: ServerIndex,
}

impl Lease {
    fn new(group: Rc<WorkerGroup>, server: ServerIndex) -> Self {
        let lease = Self { group, server };
        lease.counters().current.add(1);
        lease.counters().chosen.add(1);
        lease
    }

    /// The server's place in its group.
    pub(crate) fn index(&self) -> ServerIndex {
        self.server
    }

    /// The server's configuration, to be kept longer than the lease (for the access log).
    pub(crate) fn server(&self) -> &Arc<RealServer> {
        &self.shared().config
    }

    /// This worker's counters of the server.
    pub(crate) fn counters(&self) -> &ServerCounters {
        &self.shared().counters[self.group.worker]
    }

    /// Books a connection that was made for this lease.
    pub(crate) fn connect_ok(&self) {
        self.counters().connections.add(1);
    }

    /// Books a connection that could not be made.
    pub(crate) fn connect_failed(&self) {
        self.counters().connect_failures.add(1);
    }

    fn shared(&self) -> &SharedServer {
        &self.group.shared.servers[self.server.0]
    }
}

impl Deref for Lease {
    type Target = RealServer;

    fn deref(&self) -> &RealServer {
        &self.shared().config
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.counters().current.sub(1);
        self.shared().release();
    }
}

#[cfg(test)]
mod tests;
