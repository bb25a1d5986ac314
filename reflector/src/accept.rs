//! From the accept queue to a connection: cap, number, first read.
//!
//! A connection whose first request is already there, as it mostly is under load, is answered
//! before it is registered anywhere; if it then closes, it never costs a task or an epoll entry.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::Interest;

use crate::books::{ConnectionBooks, End};
use crate::cap::{Admission, Ticket};
use crate::config::{CapUnit, Kind};
use crate::server::Worker;
use crate::{http, tcp};

/// Connections taken in one turn, so that those already open are not kept waiting.
const ACCEPTS_PER_TURN: usize = 64;
/// Pause after `accept` failed for want of descriptors or memory; the queue keeps the connections.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(10);

/// Between two lines about the same want.
const EXHAUSTED_SILENCE_NS: u64 = 1_000_000_000;

/// A listener whose readiness the thread's event loop watches.
pub(crate) type Watched = tokio::net::TcpStream;

/// A connection that came in.
pub(crate) struct Arrival {
    pub(crate) stream: TcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) books: ConnectionBooks,
    pub(crate) now_ns: u64,
    /// What it has to wait for before the first answer.
    pub(crate) ticket: Option<Ticket>,
}

/// Accepts until the reflector stops, and then once more all that is in the queue.
pub(crate) async fn run(worker: Arc<Worker>, listener: Watched, kind: Kind) {
    let mut silent_until_ns = 0;
    let stopped = worker.shared.stopped();
    tokio::pin!(stopped);
    loop {
        let ready = tokio::select! {
            biased;
            ready = listener.readable() => ready,
            () = &mut stopped => break,
        };
        if ready.is_err() || worker.shared.is_stopping() {
            break;
        }
        match listener.try_io(Interest::READABLE, || turn(&worker, &listener, kind)) {
            Ok(()) => tokio::task::yield_now().await,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => {
                let now_ns = host::clock::monotonic_ns();
                if now_ns >= silent_until_ns {
                    silent_until_ns = now_ns + EXHAUSTED_SILENCE_NS;
                    tracing::warn!("cannot accept: {error}; it is tried again, and said once per second");
                }
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }
    // The peers in the queue have connected already; closing the listener would reset them. Only as
    // many as a queue holds: under overload it fills as fast as it is emptied, and never ends.
    for _ in 0..host::socket::BACKLOG as usize / ACCEPTS_PER_TURN {
        if turn(&worker, &listener, kind).is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
}

/// Registers a listener with the thread's event loop.
///
/// Not as tokio's own listener, which accepts one connection per call and registers each: here only
/// the readiness is wanted, and tokio's stream is the safe type that gives it for any socket.
pub(crate) fn watch(listener: TcpListener) -> io::Result<Watched> {
    Watched::from_std(OwnedFd::from(listener).into())
}

/// Takes up to [`ACCEPTS_PER_TURN`] connections; the error is the kernel's, `WouldBlock` included.
fn turn(worker: &Arc<Worker>, listener: &impl AsFd, kind: Kind) -> io::Result<()> {
    for _ in 0..ACCEPTS_PER_TURN {
        match host::socket::accept(listener) {
            Ok((stream, peer)) => admit(worker, stream, peer, kind),
            // The peer of this one connection is at fault, not the listener (accept(2)).
            Err(error) if is_transient(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn is_transient(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionReset, HostUnreachable, Interrupted, NetworkUnreachable, NotConnected,
    };
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | HostUnreachable | Interrupted | NetworkUnreachable | NotConnected
    )
}

fn admit(worker: &Arc<Worker>, stream: TcpStream, peer: SocketAddr, kind: Kind) {
    let shared = &worker.shared;
    let now_ns = host::clock::monotonic_ns();
    let Some(mut books) = worker.books.enter(&shared.library.gate, now_ns) else { return reset(stream) };
    let mut ticket = None;
    if let Some(cap) = shared.cap.as_ref().filter(|cap| cap.counts(CapUnit::Connections)) {
        match cap.admit(now_ns) {
            Admission::Now => {}
            Admission::Wait(wait) => ticket = Some(wait),
            Admission::Refused => {
                books.end(End::ResetByReflector);
                return reset(stream);
            }
        }
    }
    if shared.policy.resets_at_accept() {
        books.end(End::ResetByReflector);
        return reset(stream);
    }
    let arrival = Arrival { stream, peer, books, now_ns, ticket };
    match kind {
        Kind::Http => http::begin(worker, arrival),
        // Datagrams come without a connection, on threads of their own.
        Kind::Tcp | Kind::Udp | Kind::UdpSink => tcp::begin(worker, arrival),
    }
}

fn reset(stream: TcpStream) {
    // If the option is refused, the peer sees a FIN instead of a RST: still a refusal.
    let _ = host::socket::reset_on_close(&stream);
    drop(stream);
}
