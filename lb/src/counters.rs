//! What is counted per worker, and summed only when somebody asks.
//!
//! A counter has one writing thread, so an addition is a plain load and store: no locked
//! instruction, no cache line moving between cores. Readers see values that are at most a moment
//! old. Blocks of counters are aligned, so that two workers never share a cache line.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A number that one thread changes and any thread may read.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Adds; only the thread that owns the counter may call it.
    pub(crate) fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Subtracts; only the thread that owns the counter may call it.
    pub(crate) fn sub(&self, n: u64) {
        debug_assert!(n <= self.get(), "a gauge never falls below 0");
        self.0.store(self.0.load(Relaxed).wrapping_sub(n), Relaxed);
    }

    /// The value as last written.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// What one worker counts for one virtual service.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct ServiceCounters {
    /// Client connections, or flows, open now.
    pub(crate) current: Counter,
    /// Client connections accepted, those denied left out; flows opened.
    pub(crate) connections: Counter,
    /// Client connections closed at once because of `max_connections`.
    pub(crate) denied: Counter,
    /// Requests whose head was read completely (HTTP).
    pub(crate) requests: Counter,
    /// Requests answered 4xx by the load balancer itself because they were wrong (HTTP).
    pub(crate) request_errors: Counter,
    /// Responses to clients by first digit of the status, own ones included: 1xx to 5xx at 0 to 4, anything else at 5.
    pub(crate) responses: [Counter; 6],
    /// Connections or requests for which no server connection could be had.
    pub(crate) connection_errors: Counter,
    /// Server connections that failed after they had been made: reset, cut short, not HTTP.
    pub(crate) response_errors: Counter,
    /// Failed connects that were followed by a try on another server.
    pub(crate) retries: Counter,
    /// Waits that ended by a timeout.
    pub(crate) timeouts: Counter,
    /// Bytes received from clients.
    pub(crate) bytes_in: Counter,
    /// Bytes sent to clients.
    pub(crate) bytes_out: Counter,
    /// Datagrams received from clients (UDP).
    pub(crate) datagrams_in: Counter,
    /// Datagrams sent to clients (UDP).
    pub(crate) datagrams_out: Counter,
    /// Flows that ended because they were idle (UDP).
    pub(crate) expired: Counter,
    /// Flows that were given another server, because theirs was down or refused (UDP).
    pub(crate) moved: Counter,
    /// Datagrams from servers that found the receive buffer of their flow full, once the flow has ended (UDP).
    pub(crate) overflown: Counter,
    /// Flows that ended to make room for another one (UDP).
    pub(crate) evicted: Counter,
    /// Datagrams that were received and not sent on, by [`Dropped`] (UDP).
    pub(crate) dropped: [Counter; Dropped::ALL.len()],
}

/// Why a datagram was received and not sent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dropped {
    /// The first of a flow, and no real server could be chosen or reached.
    NoServer,
    /// The first of a flow, and this machine has no descriptor, port or memory left.
    Shortage,
    /// The first of a flow, and the service has as many as it may, all on other workers.
    Full,
    /// The first of a flow, and the load balancer drains.
    Draining,
    /// For a server, and the kernel did not take it: its buffer is full, or there is no way.
    ToServer,
    /// For a client, and the kernel did not take it.
    ToClient,
}

impl Dropped {
    /// All reasons with their words in metrics, in the order of their numbers.
    pub(crate) const ALL: [(Self, &'static str); 6] = [
        (Self::NoServer, "no-server"),
        (Self::Shortage, "shortage"),
        (Self::Full, "full"),
        (Self::Draining, "draining"),
        (Self::ToServer, "to-server"),
        (Self::ToClient, "to-client"),
    ];
}

impl ServiceCounters {
    /// Counts datagrams that were received and not sent on.
    pub(crate) fn dropped(&self, why: Dropped, datagrams: u64) {
        self.dropped[why as usize].add(datagrams);
    }

    /// Counts a response by its status.
    pub(crate) fn response(&self, status: u16) {
        let class = usize::from(status / 100);
        let at = if (1..=5).contains(&class) { class - 1 } else { 5 };
        self.responses[at].add(1);
    }
}

/// What one worker counts for one real server of one group.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct ServerCounters {
    /// Leases held now: open connections (TCP), running requests (HTTP), flows (UDP).
    pub(crate) current: Counter,
    /// How often the server was chosen.
    pub(crate) chosen: Counter,
    /// Connections made.
    pub(crate) connections: Counter,
    /// Requests sent (HTTP).
    pub(crate) requests: Counter,
    /// Requests sent on a connection that had carried one before (HTTP).
    pub(crate) reuses: Counter,
    /// Connects that failed or timed out.
    pub(crate) connect_failures: Counter,
    /// Connections that failed after they had been made.
    pub(crate) response_errors: Counter,
    /// Bytes sent to the server.
    pub(crate) bytes_in: Counter,
    /// Bytes received from the server.
    pub(crate) bytes_out: Counter,
    /// Datagrams sent to the server (UDP).
    pub(crate) datagrams_in: Counter,
    /// Datagrams received from the server (UDP).
    pub(crate) datagrams_out: Counter,
}
