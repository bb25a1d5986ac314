//! The data paths of a virtual service, and what both of them need.
//!
//! A worker calls [`tcp::serve`] or [`http::serve`] once per accepted connection, each in a task of its
//! own, and [`udp::UdpService::serve`] once for all flows. Everything a data path needs is in its [`ServiceContext`].

pub(crate) mod buffers;
pub(crate) mod connect;
pub(crate) mod http;
pub(crate) mod shortage;
pub(crate) mod socket;
pub(crate) mod tcp;
pub(crate) mod udp;

use std::cell::Cell;
use std::net::{SocketAddr, UdpSocket};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use tokio::sync::Notify;

use crate::config::VirtualService;
use crate::counters::ServiceCounters;
use crate::group::WorkerGroup;
use crate::operate::access_log::AccessLog;
use buffers::BufferStock;
use shortage::Shortage;

/// A virtual service as all threads see it.
#[derive(Debug)]
pub(crate) struct SharedService {
    pub(crate) config: Arc<VirtualService>,
    /// Where it listens, after the kernel has chosen the port.
    pub(crate) address: SocketAddr,
    /// One block per worker.
    pub(crate) counters: Vec<ServiceCounters>,
    /// The sockets of a UDP service by worker. They live until all workers have ended: the kernel spreads flows
    /// by how many there are, so closing one would hand flows of the others to who does not know them.
    pub(crate) sockets: Vec<Arc<UdpSocket>>,
    /// Client connections, or flows, over all workers, for the limit.
    open: AtomicU32,
}

impl SharedService {
    pub(crate) fn new(config: Arc<VirtualService>, address: SocketAddr, workers: usize) -> Self {
        let counters = (0..workers).map(|_| ServiceCounters::default()).collect();
        Self { config, address, counters, sockets: Vec::new(), open: AtomicU32::new(0) }
    }

    /// Datagrams that found the receive buffers of the service full; wraps around at 2^32 for each worker.
    pub(crate) fn overflown(&self) -> u64 {
        self.sockets.iter().map(|socket| u64::from(host::socket::drops(socket).unwrap_or(0))).sum()
    }
}

/// What a connection of one virtual service needs; one per worker and service.
#[derive(Debug)]
pub(crate) struct ServiceContext {
    /// The service as configured: timeouts, retries, reuse and so on.
    pub(crate) service: Arc<VirtualService>,
    /// This worker's view of the service's group.
    pub(crate) group: Rc<WorkerGroup>,
    /// Whether the worker is draining.
    pub(crate) drain: Drain,
    /// Buffers to take while there is something to put in.
    pub(crate) buffers: Rc<BufferStock>,
    /// The access log, if there is one; an entry is recorded per TCP connection, HTTP request and UDP flow.
    pub(crate) log: Option<AccessLog>,
    pub(crate) shared: Arc<SharedService>,
    pub(crate) shortage: Arc<Shortage>,
    pub(crate) worker: usize,
    /// Clients over the limit that are being heard out after their answer.
    pub(crate) lingering: Cell<u32>,
}

impl ServiceContext {
    /// This worker's counters of the service.
    pub(crate) fn counters(&self) -> &ServiceCounters {
        &self.shared.counters[self.worker]
    }

    /// Counts one more client connection, unless the service has reached its limit.
    pub(crate) fn admit(self: &Rc<Self>) -> Option<Admission> {
        let admission = self.try_admit();
        if admission.is_none() {
            self.counters().denied.add(1);
        }
        admission
    }

    /// As [`Self::admit`], for who may have another way than to refuse the client.
    pub(crate) fn try_admit(self: &Rc<Self>) -> Option<Admission> {
        let max = self.service.max_connections;
        let below = |open: u32| (open < max).then_some(open + 1);
        self.shared.open.fetch_update(Relaxed, Relaxed, below).ok()?;
        self.counters().connections.add(1);
        self.counters().current.add(1);
        self.drain.0.open.set(self.drain.0.open.get() + 1);
        Some(Admission(Rc::clone(self)))
    }
}

/// A client connection as counted: uncounted when dropped.
#[derive(Debug)]
pub(crate) struct Admission(Rc<ServiceContext>);

impl Drop for Admission {
    fn drop(&mut self) {
        self.0.shared.open.fetch_sub(1, Relaxed);
        self.0.counters().current.sub(1);
        let worker = &self.0.drain.0;
        worker.open.set(worker.open.get() - 1);
        if worker.open.get() == 0 && worker.draining.get() {
            worker.ended.notify_one();
        }
    }
}

/// One worker's drain: begun once, never taken back. Clones are the same drain.
#[derive(Clone, Debug, Default)]
pub(crate) struct Drain(Rc<DrainState>);

#[derive(Debug, Default)]
struct DrainState {
    draining: Cell<bool>,
    stirred: Notify,
    /// Client connections open on this worker, over all services.
    open: Cell<usize>,
    ended: Notify,
}

impl Drain {
    /// Whether running work should come to its end: no further request on this connection.
    pub(crate) fn is_draining(&self) -> bool {
        self.0.draining.get()
    }

    /// Ends when the drain begins, at once if it has.
    pub(crate) async fn begun(&self) {
        while !self.is_draining() {
            self.stirred().await;
        }
    }

    /// Ends when the drain begins or real servers are removed, at once if it is draining. For
    /// connections that wait idle.
    pub(crate) async fn stirred(&self) {
        let stirred = self.0.stirred.notified();
        if !self.0.draining.get() {
            stirred.await;
        }
    }

    /// Wakes the connections that wait idle, so that they see which servers were removed.
    pub(crate) fn stir(&self) {
        self.0.stirred.notify_waiters();
    }

    /// Begins the drain.
    pub(crate) fn begin(&self) {
        self.0.draining.set(true);
        self.stir();
    }

    /// Client connections open on this worker.
    pub(crate) fn open(&self) -> usize {
        self.0.open.get()
    }

    /// Ends when the last client connection of this worker has ended; the drain must have begun.
    pub(crate) async fn ended(&self) {
        while self.0.open.get() > 0 {
            self.0.ended.notified().await;
        }
    }
}
