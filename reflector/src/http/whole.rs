//! Everything that is not a plain GET, served by hyper: bodies, delays, chunked and large answers,
//! stalls, resets, requests that wait for a rate cap.
//!
//! hyper drives; [`io::Tap`] under it counts bytes and notes who closes, [`reply`] above it decides
//! what is answered. Both write into one [`State`], from which this file takes the deadlines.

mod body;
mod io;
mod reply;

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use tokio::net::TcpStream;

use super::head::{HEADERS_MAX, Refusal};
use super::plain::Next;
use super::{Connection, after};
use crate::books::{ConnectionBooks, End};
use crate::config::Limits;
use crate::server::Worker;
use crate::socket::{Socket, Wake, Watch};
use io::Tap;

/// What a connection is doing; it decides which deadline holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Between two requests.
    Idle,
    /// A head has begun.
    Head,
    /// The reflector has something to do: read a body, wait a delay, wait for its turn.
    Working,
    /// The answer is on its way and the peer has to take it.
    Sending,
}

/// What hyper's two neighbours and this file share of one connection. They run on one thread; the
/// lock is never contended and only satisfies the compiler.
struct State {
    books: ConnectionBooks,
    requests: u64,
    phase: Phase,
    /// When the phase began, or when a byte last went while sending.
    since_ns: u64,
    /// Answers that hyper has taken whole and not yet written out: status, health check.
    owed: Vec<(u16, bool)>,
    /// Reset the connection as soon as what hyper has taken is written out.
    reset: bool,
    /// A request was left unread, so that closing needs care.
    linger: bool,
    /// hyper's own refusal of a malformed request was held back, because it gives no reason.
    mute: bool,
}

type Shared = Arc<Mutex<State>>;

fn lock(state: &Shared) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.since_ns = host::clock::monotonic_ns();
    }

    /// When this connection has to be looked at again, and whether it is late by then.
    fn deadline_ns(&self, limits: &Limits) -> u64 {
        const NEVER: Duration = Duration::from_secs(86_400);
        match self.phase {
            Phase::Idle | Phase::Sending => after(self.since_ns, limits.idle_timeout),
            Phase::Head => after(self.since_ns, limits.head_timeout),
            // A delay, a turn and a body have bounds of their own.
            Phase::Working => after(self.since_ns, NEVER),
        }
    }
}

/// How hyper's part ended.
enum Ended {
    Done(Result<(), hyper::Error>),
    Late(Phase),
}

/// Serves a connection to its end, beginning with `replay`.
pub(super) async fn serve(connection: Connection, stream: TcpStream, replay: Vec<u8>) {
    let Connection { worker, books, peer, requests, .. } = connection;
    let state = Arc::new(Mutex::new(State {
        books,
        requests,
        phase: Phase::Head,
        since_ns: host::clock::monotonic_ns(),
        owed: Vec::new(),
        reset: false,
        linger: false,
        mute: false,
    }));
    let tap = Tap::new(stream, replay, Arc::clone(&state));
    let (ended, stream) = run(&worker, peer, &state, tap).await;
    let Some(state) = Arc::into_inner(state) else {
        // Only hyper and its neighbours had handles, and they are gone.
        return debug_assert!(false, "the state outlived its connection");
    };
    let state = state.into_inner().unwrap_or_else(PoisonError::into_inner);
    finish(worker, peer, state, ended, stream).await;
}

async fn run(worker: &Arc<Worker>, peer: SocketAddr, state: &Shared, tap: Tap) -> (Ended, TcpStream) {
    let config = &worker.shared.config;
    let service = service_fn(|request| {
        let reply = reply::reply(Arc::clone(worker), peer, Arc::clone(state), request);
        Box::pin(async { Ok::<_, std::convert::Infallible>(reply.await) })
    });
    let mut builder = http1::Builder::new();
    builder
        // Who waits in a queue and leaves must be noticed; else half-closing clients get their answer.
        .half_close(!worker.shared.cap.as_ref().is_some_and(|cap| cap.queues()))
        .max_headers(HEADERS_MAX)
        .max_header_size(config.limits.head_bytes)
        // hyper's own default is 400 KiB per connection.
        .max_buf_size(config.limits.head_bytes.max(64 * 1024))
        .header_read_timeout(None);
    let mut connection = builder.serve_connection(tap, service);
    let mut watch = Watch::new(&worker.shared);
    let mut told = false;
    let ended = std::future::poll_fn(|cx| {
        loop {
            // To the end and not without its shutdown, because only that waits for the last flush.
            if let Poll::Ready(result) = Pin::new(&mut connection).poll(cx) {
                return Poll::Ready(Ended::Done(result));
            }
            let (phase, deadline_ns) = {
                let state = lock(state);
                (state.phase, state.deadline_ns(&config.limits))
            };
            match watch.poll(cx, deadline_ns, !told) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Wake::Stop) => {
                    told = true;
                    Pin::new(&mut connection).graceful_shutdown();
                }
                Poll::Ready(_) => return Poll::Ready(Ended::Late(phase)),
            }
        }
    })
    .await;
    (ended, connection.into_parts().io.into_stream())
}

async fn finish(worker: Arc<Worker>, peer: SocketAddr, state: State, ended: Ended, stream: TcpStream) {
    let State { mut books, requests, reset, linger, mute, .. } = state;
    if reset {
        books.end(End::ResetByReflector);
        delivered(&stream).await;
        // Refused only when the peer has reset the connection already.
        let _ = host::socket::reset_on_close(&stream);
        return;
    }
    let refusal = match &ended {
        Ended::Late(Phase::Head) => {
            let timeout = worker.shared.config.limits.head_timeout;
            Some(Refusal::new(408, format!("the request's head was not complete after {timeout:?}")))
        }
        Ended::Done(Err(error)) if error.is_parse() => {
            let status = if error.is_parse_too_large() { 431 } else { 400 };
            if !mute {
                // hyper's refusal went out behind the answer before it.
                books.bad_request();
                books.response(status, false);
            }
            mute.then(|| Refusal::new(status, error.to_string()))
        }
        Ended::Done(_) | Ended::Late(_) => None,
    };
    if let Some(refusal) = refusal {
        return refuse(Connection::again(worker, books, peer, requests), stream, &refusal).await;
    }
    let mut end = End::ClosedByReflector;
    if linger || matches!(&ended, Ended::Done(Err(error)) if error.is_parse()) {
        end = super::linger(&stream, &mut books).await;
    }
    if end == End::ResetByReflector {
        // Refused only when the peer has reset the connection already.
        let _ = host::socket::reset_on_close(&stream);
    }
    books.end(end);
    // The books before the socket, as on the fast path.
    drop(books);
    drop(stream);
}

/// Refuses a request with its reason, as the fast path does, and closes.
async fn refuse(mut connection: Connection, stream: TcpStream, refusal: &Refusal) {
    let socket = Socket::Registered(stream);
    let end = match (connection.refuse(&socket, refusal), &socket) {
        (Next::Linger, Socket::Registered(stream)) => super::linger(stream, &mut connection.books).await,
        (Next::End(end), _) => end,
        _ => End::ClosedByReflector,
    };
    connection.finish(&socket, end);
}

/// Waits, within bounds, until the peer's kernel has what was sent: a reset throws away the rest.
async fn delivered(stream: &TcpStream) {
    const PATIENCE: Duration = Duration::from_secs(1);
    const LOOK_AGAIN: Duration = Duration::from_millis(1);
    let wait = async {
        while host::socket::unacknowledged(stream).is_ok_and(|bytes| bytes > 0) {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    // A peer that does not read gets its reset all the same.
    let _ = tokio::time::timeout(PATIENCE, wait).await;
}
