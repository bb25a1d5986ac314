//! The idle server connections of one worker and group, and how one is got for a request.
//!
//! At most [`IDLE_MAX`] per server, the one used last is used first, none older than [`IDLE_FOR`].
//! One that becomes readable is dropped: nothing was asked, so it is a close or a desynchronised
//! server. A sweep looks once a second while there are any, and so does each use; for a request that may
//! not be repeated the kernel is asked, for others the event loop, which saves a system call and knows
//! what had come when its turn began. What comes within that turn is missed, as in nginx and HAProxy: a
//! close makes the request be repeated, but bytes nobody asked for can be taken for its answer. No look
//! rules that out, because they may come just after it; asking the kernel only makes it rarer.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::RecvFlags;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::output::OutputStock;
use crate::group::{ServerIndex, WorkerGroup};

/// Most idle connections per worker and server.
pub(crate) const IDLE_MAX: usize = 64;
/// How long a connection stays idle. Servers close theirs after 5 s and more; a request that meets
/// such a close has to be repeated.
const IDLE_FOR: Duration = Duration::from_millis(4500);
/// From one sweep to the next.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// A connection to a real server.
#[derive(Debug)]
pub(crate) struct ServerStream {
    pub(crate) stream: TcpStream,
    /// Whether small writes are sent at once; set for the first request with content.
    pub(crate) nodelay: bool,
}

impl ServerStream {
    /// Prepares it for a request with content, whose last piece must not wait for an acknowledgement.
    pub(crate) fn ready_for(mut self, has_content: bool) -> Self {
        if has_content && !self.nodelay {
            // Fails only on a connection that is already gone, which the next read or write will show.
            let _ = self.stream.set_nodelay(true);
            self.nodelay = true;
        }
        self
    }
}

/// One worker's idle server connections of one group, by server.
#[derive(Debug)]
pub(crate) struct ServerConnections {
    /// Oldest first.
    idle: RefCell<Vec<Vec<Idle>>>,
    sweeping: Cell<bool>,
    pub(crate) outputs: Rc<OutputStock>,
}

#[derive(Debug)]
struct Idle {
    server: ServerStream,
    since: Instant,
}

impl ServerConnections {
    /// None yet, for so many servers.
    pub(crate) fn new(servers: usize) -> Self {
        let idle = RefCell::new((0..servers).map(|_| Vec::new()).collect());
        Self { idle, sweeping: Cell::new(false), outputs: Rc::default() }
    }

    /// A connection that nothing is known against, the one used last.
    ///
    /// With `certain` the kernel is asked. Without, it is enough for a request that may be repeated that
    /// the event loop, which is as old as its last turn, knows of nothing. What it does know of may have
    /// been read already, so then the kernel is asked too.
    pub(crate) fn take(&self, server: ServerIndex, certain: bool) -> Option<ServerStream> {
        let mut idle = self.idle.borrow_mut();
        while let Some(candidate) = idle[server.0].pop() {
            let stream = &candidate.server.stream;
            if !certain && seems_silent(stream) || is_silent(stream) {
                return Some(candidate.server);
            }
        }
        None
    }

    /// Whether one more connection would be kept.
    pub(crate) fn has_room(&self, server: ServerIndex) -> bool {
        self.idle.borrow()[server.0].len() < IDLE_MAX
    }

    /// Keeps a connection whose last exchange has left it clean, or closes it.
    pub(crate) fn park(group: &Rc<WorkerGroup>, server: ServerIndex, stream: ServerStream) {
        let this = &group.http;
        if !this.has_room(server) || !group.is_up(server) {
            return;
        }
        this.idle.borrow_mut()[server.0].push(Idle { server: stream, since: Instant::now() });
        if !this.sweeping.replace(true) {
            let group = Rc::clone(group);
            tokio::task::spawn_local(async move { sweep(&group).await });
        }
    }

    /// Closes what leads to servers that were removed, and makes room for so many slots.
    pub(crate) fn adopt(&self, removed: &[usize], slots: usize) {
        let mut idle = self.idle.borrow_mut();
        for &slot in removed {
            idle[slot] = Vec::new();
        }
        if idle.len() < slots {
            idle.resize_with(slots, Vec::new);
        }
    }

    /// Drops what is closed, old, or belongs to a server that is down; whether any are left.
    fn purge(&self, group: &WorkerGroup, now: Instant) -> bool {
        let mut left = false;
        for (slot, idle) in self.idle.borrow_mut().iter_mut().enumerate() {
            let up = group.is_slot_up(slot);
            idle.retain(|it| up && now.duration_since(it.since) < IDLE_FOR && is_silent(&it.server.stream));
            left |= !idle.is_empty();
        }
        left
    }
}

async fn sweep(group: &Rc<WorkerGroup>) {
    let mut ticks = interval(SWEEP_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick is now.
    ticks.tick().await;
    loop {
        let now = ticks.tick().await;
        if !group.http.purge(group, now) {
            group.http.sweeping.set(false);
            return;
        }
    }
}

/// Whether nothing had come since the last response when the event loop last looked. Costs no system
/// call: it relies on [`poll_read`](crate::service::socket::poll_read), which leaves a stream marked as
/// empty after a read that did not fill its buffer. False proves nothing: after one that did, or by an
/// event that came later than the read of its bytes, an empty stream is marked too.
fn seems_silent(stream: &TcpStream) -> bool {
    let unread = stream.try_io(Interest::READABLE, || Ok(()));
    matches!(unread, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// Whether nothing has come since the last response. It asks the kernel: what tokio knows is as old as
/// the last turn of the event loop, in which the server may have closed.
pub(crate) fn is_silent(stream: &TcpStream) -> bool {
    let peek = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    matches!(rustix::net::recv(stream, &mut [0_u8; 1], peek), Err(Errno::AGAIN))
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::Write as _;

    use tokio::time::timeout;

    use super::*;
    use crate::service::socket::poll_read;

    #[tokio::test]
    async fn a_byte_or_an_end_is_noticed_without_a_turn_of_the_event_loop() {
        for says in [b"x".as_slice(), b""] {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (mut server, _) = listener.accept().unwrap();
            // After this tokio believes that there is nothing to read.
            assert!(stream.try_read(&mut [0]).is_err());
            assert!(is_silent(&stream));
            server.write_all(says).unwrap();
            drop(server);
            assert!(!is_silent(&stream), "after {says:?}");
        }
    }

    #[tokio::test]
    async fn without_the_kernel_a_byte_or_an_end_is_noticed_after_a_turn_of_the_event_loop() {
        for says in [b"x".as_slice(), b""] {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (mut server, _) = listener.accept().unwrap();
            server.write_all(b"answer").unwrap();
            assert_eq!(poll_fn(|cx| poll_read(&stream, cx, &mut [0; 64])).await.unwrap(), 6);
            assert!(seems_silent(&stream), "after a read that left room in its buffer");
            server.write_all(says).unwrap();
            drop(server);
            assert!(seems_silent(&stream), "in the same turn nobody has looked: {says:?}");
            timeout(Duration::from_secs(10), stream.readable()).await.unwrap().unwrap();
            assert!(!seems_silent(&stream), "after {says:?}");
        }
    }
}
