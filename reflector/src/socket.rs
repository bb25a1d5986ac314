//! One accepted connection, before and after it is registered with the thread's event loop, and
//! the wait for it with a deadline.
//!
//! Reads and writes are single non-blocking system calls; all waiting is in [`Watch`].

use std::io::{self, IoSlice, Read, Write};
use std::net::TcpStream as Fresh;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use crate::server::Shared;

/// A connection that may not be registered yet.
pub(crate) enum Socket {
    Fresh(Fresh),
    Registered(TcpStream),
}

impl Socket {
    /// Reads once; `WouldBlock` when nothing is there.
    pub(crate) fn read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Fresh(stream) => (&*stream).read(bytes),
            Self::Registered(stream) => read(stream, bytes),
        }
    }

    /// Writes once; `WouldBlock` when nothing can be taken.
    pub(crate) fn write(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Fresh(stream) => (&*stream).write_vectored(pieces),
            Self::Registered(stream) => stream.try_write_vectored(pieces),
        }
    }

    /// Makes the coming close a reset.
    pub(crate) fn reset_on_close(&self) {
        // If the option is refused, the peer sees a FIN instead: the books still say what was meant.
        let _ = match self {
            Self::Fresh(stream) => host::socket::reset_on_close(stream),
            Self::Registered(stream) => host::socket::reset_on_close(stream),
        };
    }

    /// Registers the connection with the event loop of this thread.
    pub(crate) fn register(self) -> io::Result<TcpStream> {
        match self {
            Self::Fresh(stream) => TcpStream::from_std(stream),
            Self::Registered(stream) => Ok(stream),
        }
    }
}

/// Reads once from a registered connection.
pub(crate) fn read(stream: &TcpStream, bytes: &mut [u8]) -> io::Result<usize> {
    let read = stream.try_read(bytes)?;
    if 0 < read && read < bytes.len() {
        // A short read has emptied the socket, and epoll, being edge-triggered, will say when more
        // is there. Without this the next turn would begin with a read that finds nothing: one
        // system call in four on a kept connection.
        let _ = stream.try_io(Interest::READABLE, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
    }
    Ok(read)
}

/// What ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    Ready,
    /// The deadline has passed.
    Late,
    /// The reflector stops.
    Stop,
}

/// What a connection watches beside its socket: a deadline and the stop order.
///
/// Both are polled once and then only when they have fired, because a registered waker stays
/// registered: a task's waker does not change. So a request costs neither a timer nor a lock.
pub(crate) struct Watch {
    shared: Arc<Shared>,
    timer: Pin<Box<Sleep>>,
    stopped: Pin<Box<dyn Future<Output = ()> + Send>>,
    registered: bool,
    /// What the timer is set to.
    timer_ns: u64,
}

impl Watch {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        let stop = Arc::clone(shared);
        Self {
            shared: Arc::clone(shared),
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
            stopped: Box::pin(async move { stop.stopped().await }),
            registered: false,
            timer_ns: u64::MAX,
        }
    }

    /// Waits until `ready` is, the deadline passes or, if `heed_stop`, the reflector stops.
    pub(crate) async fn wait(
        &mut self,
        deadline_ns: u64,
        heed_stop: bool,
        mut ready: impl FnMut(&mut Context<'_>) -> Poll<()>,
    ) -> Wake {
        std::future::poll_fn(|cx| {
            if ready(cx).is_ready() {
                return Poll::Ready(Wake::Ready);
            }
            self.poll(cx, deadline_ns, heed_stop)
        })
        .await
    }

    /// The deadline and the stop order alone; pending while neither has come.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, deadline_ns: u64, heed_stop: bool) -> Poll<Wake> {
        if heed_stop && self.shared.is_stopping() {
            return Poll::Ready(Wake::Stop);
        }
        if !self.registered {
            self.registered = true;
            self.set_timer(deadline_ns);
            if self.stopped.as_mut().poll(cx).is_ready() && heed_stop {
                return Poll::Ready(Wake::Stop);
            }
        } else if !self.timer.is_elapsed() && !self.fires_after(deadline_ns) {
            return Poll::Pending;
        }
        while self.timer.as_mut().poll(cx).is_ready() || self.fires_after(deadline_ns) {
            if host::clock::monotonic_ns() >= deadline_ns {
                return Poll::Ready(Wake::Late);
            }
            self.set_timer(deadline_ns);
        }
        Poll::Pending
    }

    /// Whether the timer would come too late: the deadline has moved forward. The usual case is a
    /// timer that fires early and is then set anew.
    fn fires_after(&self, deadline_ns: u64) -> bool {
        deadline_ns < self.timer_ns
    }

    fn set_timer(&mut self, deadline_ns: u64) {
        self.timer_ns = deadline_ns;
        let wait = deadline_ns.saturating_sub(host::clock::monotonic_ns());
        self.timer.as_mut().reset(Instant::now() + Duration::from_nanos(wait));
    }
}
