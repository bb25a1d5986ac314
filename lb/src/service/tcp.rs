//! The TCP data path: bytes both ways between a client and one real server.
//!
//! Both directions run in one task. The end of one direction (FIN) is passed on and the other goes
//! on; a reset is passed on as a reset, also one that comes after the FIN. A buffer is held only
//! while it has bytes in it that the other side does not take yet; if these are lost by a timeout or
//! the end of the drain, both sides are reset.
//! One timer per connection: it looks at the time of the last byte when it fires, so a byte costs
//! no timer.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use super::buffers::Buffer;
use super::connect::{ConnectError, connect};
use super::socket::{poll_read, poll_write_first, reset_on_close, send_fin};
use super::{ServiceContext, buffers::BufferStock};
use crate::counters::Counter;
use crate::group::Lease;
use crate::operate::access_log::Entry;

/// Serves one client connection until it ends.
pub(crate) async fn serve(client: TcpStream, peer: SocketAddr, context: Rc<ServiceContext>) {
    let started = Instant::now();
    match connect(&context).await {
        Ok((server, lease)) => {
            let (end, bytes) = relay(&client, &server, &lease, &context, started).await;
            if end.passes_on_a_reset() {
                reset_on_close(&client);
                reset_on_close(&server);
            }
            book(end, &lease, &context);
            record(&context, peer, Some(&lease), end.word(), bytes, started);
        }
        Err(error) => {
            let end = match error {
                ConnectError::NoServer(_) => "no-server",
                ConnectError::TimedOut { .. } => "connect-timeout",
                ConnectError::Failed { .. } | ConnectError::Local { .. } => "connect-failed",
            };
            tracing::debug!(service = context.service.name, %peer, "{error}");
            record(&context, peer, None, end, (0, 0), started);
        }
    }
}

/// How a relay ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Both directions have ended with a FIN.
    Ok,
    ClientReset,
    ServerReset,
    Idle,
}

impl End {
    pub(crate) fn passes_on_a_reset(self) -> bool {
        matches!(self, Self::ClientReset | Self::ServerReset)
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ClientReset => "client-reset",
            Self::ServerReset => "server-reset",
            Self::Idle => "idle",
        }
    }
}

/// Runs both directions to their end; returns how they ended and the bytes from and to the client.
pub(crate) async fn relay(
    client: &TcpStream,
    server: &TcpStream,
    lease: &Lease,
    context: &ServiceContext,
    started: Instant,
) -> (End, (u64, u64)) {
    let (service, real) = (context.counters(), lease.counters());
    let mut up = Direction::new(client, server, [&service.bytes_in, &real.bytes_in], started);
    let mut down = Direction::new(server, client, [&service.bytes_out, &real.bytes_out], started);
    let idle_after = context.service.timeouts.tunnel;
    let mut timer = pin!(sleep(idle_after));
    let end = std::future::poll_fn(|cx| {
        let up_ended = match up.poll(cx, &context.buffers, down.has_ended()) {
            Poll::Ready(Ok(())) => true,
            Poll::Ready(Err(Broken::From)) => return Poll::Ready(End::ClientReset),
            Poll::Ready(Err(Broken::To)) => return Poll::Ready(End::ServerReset),
            Poll::Pending => false,
        };
        let down_ended = match down.poll(cx, &context.buffers, up.has_ended()) {
            Poll::Ready(Ok(())) => true,
            Poll::Ready(Err(Broken::From)) => return Poll::Ready(End::ServerReset),
            Poll::Ready(Err(Broken::To)) => return Poll::Ready(End::ClientReset),
            Poll::Pending => false,
        };
        if up_ended && down_ended {
            return Poll::Ready(End::Ok);
        }
        let last = up.last.max(down.last);
        poll_idle(timer.as_mut(), cx, last + idle_after).map(|()| End::Idle)
    })
    .await;
    (end, (up.bytes, down.bytes))
}

/// Ready once the deadline has passed; a timer that fired for an earlier deadline is set again.
fn poll_idle(mut timer: Pin<&mut Sleep>, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
    while timer.as_mut().poll(cx).is_ready() {
        if Instant::now() >= deadline {
            return Poll::Ready(());
        }
        timer.as_mut().reset(deadline);
    }
    Poll::Pending
}

/// Which end of a direction broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broken {
    From,
    To,
}

/// One direction of a relay.
struct Direction<'a> {
    from: &'a TcpStream,
    to: &'a TcpStream,
    counters: [&'a Counter; 2],
    state: State<'a>,
    /// The last write did not take all.
    blocked: bool,
    /// Bytes read so far.
    bytes: u64,
    /// When a byte was last read or written.
    last: Instant,
}

enum State<'a> {
    /// Waiting for bytes; no buffer is held.
    Reading,
    /// The bytes from `start` to `end` have to be written.
    Writing { buffer: Buffer, start: usize, end: usize },
    /// The FIN has been passed on. What is left to see is a reset, which is no longer read: made when
    /// it is first waited for, so a connection that closes cleanly never pays for it.
    Ended { reset: Option<Pin<Box<dyn Future<Output = ()> + 'a>>> },
}

impl<'a> Direction<'a> {
    fn new(from: &'a TcpStream, to: &'a TcpStream, counters: [&'a Counter; 2], now: Instant) -> Self {
        Self { from, to, counters, state: State::Reading, blocked: false, bytes: 0, last: now }
    }

    fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended { .. })
    }

    /// Moves bytes until a socket would block; ready when the direction has ended. `last` says that
    /// the other one has ended already.
    // Bounded per call: tokio's budget makes the readiness calls return pending after a while.
    fn poll(&mut self, cx: &mut Context<'_>, stock: &Rc<BufferStock>, last: bool) -> Poll<Result<(), Broken>> {
        loop {
            match &mut self.state {
                State::Reading => ready!(self.poll_fill(cx, stock, last)).map_err(|_| Broken::From)?,
                State::Writing { buffer, start, end } => {
                    *start += ready!(poll_write_first(self.to, cx, &buffer[*start..*end], &mut self.blocked))
                        .map_err(|_| Broken::To)?;
                    let written = start == end;
                    self.last = Instant::now();
                    if written {
                        self.state = State::Reading;
                    }
                }
                State::Ended { reset } => return poll_reset(self.from, reset, cx),
            }
        }
    }

    /// Waits for bytes, takes a buffer then, and reads.
    fn poll_fill(&mut self, cx: &mut Context<'_>, stock: &Rc<BufferStock>, last: bool) -> Poll<io::Result<()>> {
        ready!(self.from.poll_read_ready(cx))?;
        let mut buffer = stock.take();
        let end = ready!(poll_read(self.from, cx, &mut buffer))?;
        self.bytes += end as u64;
        self.counters.iter().for_each(|counter| counter.add(end as u64));
        self.state = if end > 0 {
            State::Writing { buffer, start: 0, end }
        } else {
            // After the last direction both sockets are closed at once, which sends the FIN as well.
            if !last {
                send_fin(self.to);
            }
            State::Ended { reset: None }
        };
        Poll::Ready(Ok(()))
    }
}

impl Drop for Direction<'_> {
    /// Bytes that were taken and not passed on are lost: after them a FIN would make what did arrive
    /// look whole to one side, and delivered to the other. It is so at the idle timeout and at the bound
    /// of the drain, when a side does not read.
    fn drop(&mut self) {
        if matches!(self.state, State::Writing { .. }) {
            reset_on_close(self.from);
            reset_on_close(self.to);
        }
    }
}

/// Whether a stream whose FIN has been read was reset since; not having been is its end.
fn poll_reset<'a>(
    from: &'a TcpStream,
    reset: &mut Option<Pin<Box<dyn Future<Output = ()> + 'a>>>,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Broken>> {
    let reset = reset.get_or_insert_with(|| {
        Box::pin(async move {
            // An error of the wait itself means that the runtime ends; then this never counts.
            let _ = from.ready(Interest::ERROR).await;
        })
    });
    Poll::Ready(if reset.as_mut().poll(cx).is_ready() { Err(Broken::From) } else { Ok(()) })
}

fn book(end: End, lease: &Lease, context: &ServiceContext) {
    match end {
        End::ServerReset => {
            context.counters().response_errors.add(1);
            lease.counters().response_errors.add(1);
        }
        End::Idle => context.counters().timeouts.add(1),
        End::Ok | End::ClientReset => {}
    }
}

fn record(
    context: &ServiceContext,
    peer: SocketAddr,
    lease: Option<&Lease>,
    end: &'static str,
    (bytes_in, bytes_out): (u64, u64),
    started: Instant,
) {
    let Some(log) = &context.log else { return };
    log.record(Entry {
        service: context.service.clone(),
        peer,
        server: lease.map(|lease| lease.server().clone()),
        request: None,
        status: 0,
        bytes_in,
        bytes_out,
        duration: started.elapsed(),
        end,
    });
}
