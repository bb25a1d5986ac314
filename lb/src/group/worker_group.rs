//! A group as one worker sees it, and the leases it hands out.
//!
//! Everything here belongs to one thread. A server keeps its slot while it stays in the group, whatever
//! becomes of the others, so idle connections are found by slot; a slot whose server was removed is
//! given to the next one that is added, so there are never more than the most servers at a time.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::balance::Balancer;
use super::{NoServer, ServerIndex, SharedGroup, SharedServer};
use crate::config::RealServer;
use crate::counters::ServerCounters;
use crate::service::http::ServerConnections;

/// A group as one worker sees it.
#[derive(Debug)]
pub(crate) struct WorkerGroup {
    worker: usize,
    view: RefCell<View>,
    /// The HTTP data path's own: this worker's idle server connections, by server.
    pub(crate) http: ServerConnections,
}

/// What another group replaces.
#[derive(Debug)]
struct View {
    shared: Arc<SharedGroup>,
    balancer: Balancer,
    /// In the order of the configuration, which is the balancer's.
    servers: Vec<Rc<WorkerServer>>,
    /// By slot; `None` is free.
    slots: Vec<Option<Rc<WorkerServer>>>,
    /// Servers seen so far, which numbers them.
    seen: u32,
}

/// A server as one worker sees it.
#[derive(Debug)]
struct WorkerServer {
    index: ServerIndex,
    worker: usize,
    shared: Arc<SharedServer>,
}

impl WorkerGroup {
    pub(crate) fn new(shared: Arc<SharedGroup>, worker: usize) -> Self {
        let balancer = Balancer::new(&shared.config, worker % shared.servers.len());
        let mut view = View { shared: Arc::clone(&shared), balancer, servers: Vec::new(), slots: Vec::new(), seen: 0 };
        view.servers = shared.servers.iter().map(|server| view.give_slot(server, worker)).collect();
        let http = ServerConnections::new(shared.servers.len());
        Self { worker, view: RefCell::new(view), http }
    }

    /// Chooses a server that is up, not full and not excluded, and counts the work it is given.
    ///
    /// # Errors
    /// [`NoServer`] when there is none.
    pub(crate) fn choose(&self, excluded: &[ServerIndex]) -> Result<Lease, NoServer> {
        let View { servers, balancer, .. } = &mut *self.view.borrow_mut();
        let usable = |at: usize| servers[at].shared.is_up() && !excluded.contains(&servers[at].index);
        // Another worker may take a server's last place between the look and the claim; then the
        // next look finds that server full, so this ends.
        for _ in 0..=servers.len() {
            let eligible = |at: usize| usable(at) && !servers[at].shared.is_full();
            let Some(at) = balancer.choose(eligible, |at| servers[at].shared.current()) else { break };
            if let Some(claimed) = servers[at].shared.claim() {
                return Ok(Lease::new(Rc::clone(&servers[at]), claimed));
            }
        }
        let takes_work = |at: usize| usable(at) && balancer.uses(at);
        if (0..servers.len()).any(takes_work) { Err(NoServer::AllFull) } else { Err(NoServer::AllDown) }
    }

    /// Whether a server is up: an idle connection to one that is not, or has been removed, should be closed.
    pub(crate) fn is_up(&self, server: ServerIndex) -> bool {
        self.view.borrow().at(server).is_some_and(|server| server.shared.is_up())
    }

    /// Whether the server that has a slot now is up.
    pub(crate) fn is_slot_up(&self, slot: usize) -> bool {
        self.view.borrow().slots.get(slot).is_some_and(|server| server.as_ref().is_some_and(|it| it.shared.is_up()))
    }

    /// Whether a server is still in the group.
    pub(crate) fn has(&self, server: ServerIndex) -> bool {
        self.view.borrow().at(server).is_some()
    }

    /// Takes on another group, and closes the idle connections to servers that are not in it; whether
    /// there are such servers.
    pub(crate) fn adopt(&self, shared: &Arc<SharedGroup>) -> bool {
        let mut view = self.view.borrow_mut();
        if Arc::ptr_eq(&view.shared, shared) {
            return false;
        }
        let removed = view.adopt(shared, self.worker);
        self.http.adopt(&removed, view.slots.len());
        !removed.is_empty()
    }
}

impl View {
    fn at(&self, index: ServerIndex) -> Option<&Rc<WorkerServer>> {
        self.slots.get(index.0)?.as_ref().filter(|server| server.index == index)
    }

    /// Returns the slots of the servers that were removed; some may have a new server already.
    fn adopt(&mut self, shared: &Arc<SharedGroup>, worker: usize) -> Vec<usize> {
        let next = self.balancer.next();
        let wanted: HashMap<_, _> = shared.servers.iter().map(|it| (it.config.name.as_str(), it)).collect();
        let stays = |old: &WorkerServer| {
            wanted.get(old.shared.config.name.as_str()).filter(|it| it.is_same(&old.shared)).map(|it| Arc::clone(it))
        };
        // The first that stays, from the one whose turn it is: that goes on.
        let turn = (0..self.servers.len()).find_map(|step| stays(&self.servers[(next + step) % self.servers.len()]));
        let mut removed = Vec::new();
        let mut kept = HashMap::new();
        for old in std::mem::take(&mut self.servers) {
            let slot = old.index.0;
            let Some(shared) = stays(&old) else {
                self.slots[slot] = None;
                removed.push(slot);
                continue;
            };
            let server = if Arc::ptr_eq(&shared, &old.shared) {
                old
            } else {
                Rc::new(WorkerServer { index: old.index, worker, shared: Arc::clone(&shared) })
            };
            self.slots[slot] = Some(Rc::clone(&server));
            kept.insert(Arc::as_ptr(&shared), server);
        }
        let mut servers = Vec::with_capacity(shared.servers.len());
        for server in &shared.servers {
            servers.push(kept.remove(&Arc::as_ptr(server)).unwrap_or_else(|| self.give_slot(server, worker)));
        }
        let start = turn.and_then(|turn| shared.servers.iter().position(|it| Arc::ptr_eq(it, &turn)));
        self.balancer = Balancer::new(&shared.config, start.unwrap_or(worker % shared.servers.len()));
        self.servers = servers;
        self.shared = Arc::clone(shared);
        removed
    }

    fn give_slot(&mut self, shared: &Arc<SharedServer>, worker: usize) -> Rc<WorkerServer> {
        let slot = self.slots.iter().position(Option::is_none).unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.seen = self.seen.wrapping_add(1);
        let index = ServerIndex(slot, self.seen);
        let server = Rc::new(WorkerServer { index, worker, shared: Arc::clone(shared) });
        self.slots[slot] = Some(Rc::clone(&server));
        server
    }
}

/// One connection (TCP) or request (HTTP) on a real server: counted while it lives.
#[derive(Debug)]
pub(crate) struct Lease {
    server: Rc<WorkerServer>,
    /// Whether it has one of the places of a server with a limit.
    claimed: bool,
}

impl Lease {
    fn new(server: Rc<WorkerServer>, claimed: bool) -> Self {
        let lease = Self { server, claimed };
        lease.counters().current.add(1);
        lease.counters().chosen.add(1);
        lease
    }

    /// Which server of its group it is.
    pub(crate) fn index(&self) -> ServerIndex {
        self.server.index
    }

    /// The server's configuration, to be kept longer than the lease (for the access log).
    pub(crate) fn server(&self) -> &Arc<RealServer> {
        &self.server.shared.config
    }

    /// Whether health checks let the server take new work.
    pub(crate) fn is_up(&self) -> bool {
        self.server.shared.is_up()
    }

    /// This worker's counters of the server.
    pub(crate) fn counters(&self) -> &ServerCounters {
        &self.server.shared.counters[self.server.worker]
    }

    /// Books a connection that was made for this lease.
    pub(crate) fn connect_ok(&self) {
        self.counters().connections.add(1);
    }

    /// Books a connection that could not be made.
    pub(crate) fn connect_failed(&self) {
        self.counters().connect_failures.add(1);
    }
}

impl Deref for Lease {
    type Target = RealServer;

    fn deref(&self) -> &RealServer {
        &self.server.shared.config
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.counters().current.sub(1);
        if self.claimed {
            self.server.shared.claimed.fetch_sub(1, Relaxed);
        }
    }
}
