//! One flow: a client's address, the real server it was given, and a socket towards that server.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

use crate::config::VirtualService;
use crate::group::Lease;
use crate::service::Admission;

/// What the datagrams of one flow have in common.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct Key {
    pub(super) client: SocketAddr,
    /// Which of this machine's addresses the client uses; `None` where the service has only one.
    pub(super) local: Option<IpAddr>,
}

/// A flow while it lives.
#[derive(Debug)]
pub(super) struct Flow {
    /// Connected to the server, so that nobody else's datagrams come in, and the server's ICMP messages do.
    pub(super) socket: UdpSocket,
    pub(super) lease: Lease,
    pub(super) _admission: Admission,
    pub(super) opened_ns: u64,
    /// Datagrams sent to the server, and received from it.
    requests: u64,
    responses: u64,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    /// Servers that have refused it in a row.
    pub(super) refusals: u32,
}

impl Flow {
    pub(super) fn new(socket: UdpSocket, lease: Lease, admission: Admission, now_ns: u64) -> Self {
        Self {
            socket,
            lease,
            _admission: admission,
            opened_ns: now_ns,
            requests: 0,
            responses: 0,
            bytes_in: 0,
            bytes_out: 0,
            refusals: 0,
        }
    }

    /// Books a datagram that was sent to the server.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.requests += 1;
        self.bytes_in += bytes as u64;
        self.lease.counters().datagrams_in.add(1);
        self.lease.counters().bytes_in.add(bytes as u64);
    }

    /// Books a datagram that came from the server.
    pub(super) fn received(&mut self, bytes: usize) {
        self.responses += 1;
        self.refusals = 0;
        self.bytes_out += bytes as u64;
        self.lease.counters().datagrams_out.add(1);
        self.lease.counters().bytes_out.add(bytes as u64);
    }

    /// Whether the server has ever answered.
    pub(super) fn is_answered(&self) -> bool {
        self.responses > 0
    }

    /// Whether it has had all the client's datagrams that a flow of the service may have.
    pub(super) fn has_all_requests(&self, service: &VirtualService) -> bool {
        service.requests.is_some_and(|max| self.requests >= max.get().into())
    }

    /// Whether answers are missing, as far as it is known how many there should be.
    pub(super) fn awaits_responses(&self, service: &VirtualService) -> bool {
        service.responses.is_some_and(|each| self.responses < self.requests.saturating_mul(each.into()))
    }

    /// Whether nothing more is to come: the rule of nginx for `proxy_requests` and `proxy_responses`.
    pub(super) fn is_complete(&self, service: &VirtualService) -> bool {
        let no_more_requests = service.requests.is_none() || self.has_all_requests(service);
        service.responses.is_some() && no_more_requests && !self.awaits_responses(service)
    }
}

/// How a flow ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// All answers have come.
    Ok,
    /// Nothing came for the idle timeout.
    Idle,
    /// It made room for another one.
    Evicted,
    /// The server's host has said that nobody listens there, or could not be reached; and there was no other.
    Refused,
}

impl End {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Idle => "idle",
            Self::Evicted => "evicted",
            Self::Refused => "server-refused",
        }
    }
}

/// A socket towards a server.
///
/// # Errors
/// The kernel's reason; `WouldBlock` says that no local port is free, for any server.
pub(super) fn connect(address: SocketAddr) -> io::Result<UdpSocket> {
    let kind = Type::DGRAM.nonblocking().cloexec();
    let socket = Socket::new_raw(Domain::for_address(address), kind, Some(Protocol::UDP))?;
    socket.connect(&address.into())?;
    Ok(socket.into())
}
