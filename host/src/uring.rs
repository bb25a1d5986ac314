//! TCP connections over io_uring, as a safe API.
//!
//! A [`Ring`] belongs to one thread. [`Ring::open`] queues the whole beginning of a connection as one
//! chain of linked requests: SOCKET, BIND, CONNECT, SEND, RECV on a direct descriptor, or CONNECT, SEND,
//! RECV on a normal one. [`Ring::wait`] submits what is queued and waits, in one system call;
//! [`Ring::next_event`] tells what became of it. A response may come in several pieces, so CLOSE is not
//! part of the chain: the owner closes when it has judged what came.
//!
//! - `setup`: rings and what the kernel can do; `entry`: one connection.
//! - `buffers`, `address`: memory that the kernel uses; `ending`: how a ring gives it up.
//!
//! Invariants: memory that a request names lives until it has completed (a ring that is dropped while
//! the kernel does not let go leaks it instead). The index of a connection is used again only when all
//! its requests have completed, so no completion, cancellation or late request meets another one.
//! Everything queued is bounded by the connections a ring is made for.

mod address;
mod buffers;
mod ending;
mod entry;
mod requests;
mod setup;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

use io_uring::{IoUring, cqueue, types};
use rustix::io::Errno;
use rustix::net::Shutdown;

use self::address::Addresses;
use self::buffers::{Buffers, Taken};
use self::entry::{Entry, Home, Kind};
pub use self::setup::{Support, Unavailable, probe};

/// Connections that may be on their way out while the others are in use.
const RETIRING_MAX: u32 = 512;
/// Request buffers that are kept for the next request; more are freed.
const SPARE_MAX: usize = 1_024;

/// So many connections, and those that may be on their way out meanwhile.
fn with_retiring(connections: u32) -> u32 {
    connections.saturating_add(connections.min(RETIRING_MAX))
}

/// The largest ring (see [`Ring::new`]) that needs no more than so many descriptors of either kind, those
/// of connections on their way out included.
pub fn connections_within(descriptors: u64) -> u64 {
    descriptors.saturating_sub(u64::from(RETIRING_MAX)).max(descriptors / 2)
}

/// Where a connection goes and comes from.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// The peer.
    pub to: SocketAddr,
    /// The local address; the kernel's choice if `None`.
    pub from: Option<IpAddr>,
    /// On a direct descriptor; one that has to send a FIN before it is closed needs a normal one.
    pub direct: bool,
}

/// A connection of a ring; its owner gives it back with [`Ring::close`].
#[derive(Debug)]
#[must_use = "only `Ring::close` ends a connection"]
pub struct Handle(u32);

/// What became of a request. The number is the one its owner gave to [`Ring::open`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Event {
    /// The handshake is complete, or the connection cannot be had.
    Connected(u32, Result<(), Errno>),
    /// All that was to be sent has been handed to the kernel.
    Sent(u32, Result<(), Errno>),
    /// So many bytes have arrived, see [`Ring::data`]; 0 is the peer's FIN.
    Received(u32, Result<usize, Errno>),
}

/// A ring and its connections.
pub struct Ring {
    ring: IoUring,
    buffers: Option<Buffers>,
    entries: Vec<Entry>,
    free: Vec<u32>,
    /// Most connections, those on their way out included.
    most: u32,
    /// Connections whose next request on the way out could not be queued, or missed.
    late: Vec<u32>,
    addresses: Addresses,
    spare: Vec<Vec<u8>>,
    /// First and last port as `IP_LOCAL_PORT_RANGE` takes them; the kernel reads it while a connection is
    /// opened.
    ports: Option<Box<libc::c_int>>,
    current: Option<Taken>,
    enabled: bool,
    /// The kernel took only a part of what was queued, so a chain may have lost the link in its middle.
    split: bool,
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring").field("entries", &self.entries.len()).field("free", &self.free.len()).finish()
    }
}

impl Ring {
    /// A ring for so many connections at once, whose local ports are chosen from `ports` (first and last;
    /// the kernel's range if `None`). It may be made in one thread and used in another, which calls
    /// [`Ring::enable`] first.
    ///
    /// # Errors
    /// [`Unavailable`] with the reason.
    pub fn new(connections: u32, ports: Option<(u16, u16)>, support: &Support) -> Result<Self, Unavailable> {
        let most = with_retiring(connections);
        let (ring, buffers) = setup::make(support.direct.is_ok().then_some(most))?;
        let queue = ring.params().sq_entries() as usize;
        Ok(Self {
            ring,
            buffers: Some(buffers),
            entries: Vec::new(),
            free: Vec::new(),
            most,
            late: Vec::new(),
            addresses: Addresses::new(queue),
            spare: Vec::new(),
            ports: ports.map(|(first, last)| Box::new(i32::from(first) | (i32::from(last) << 16))),
            current: None,
            enabled: false,
            split: false,
        })
    }

    /// Binds the ring to the calling thread, the only one that may use it from now on.
    ///
    /// # Errors
    /// The kernel's reason.
    pub fn enable(&mut self) -> io::Result<()> {
        self.ring.submitter().register_enable_rings()?;
        self.enabled = true;
        Ok(())
    }

    /// Queues a connection: handshake, then `request` unless it is empty, then receiving until the peer
    /// ends. Events of it carry `owner`.
    ///
    /// # Errors
    /// The kernel's reason, as `socket` and `bind` give it; `EMFILE` when there are too many connections.
    pub fn open(&mut self, owner: u32, route: &Route, request: &[u8]) -> Result<Handle, Errno> {
        let home = if route.direct { Home::Direct } else { Home::Normal(self.socket(route)?) };
        self.reserve(requests::CHAIN_MAX)?;
        let index = self.vacancy()?;
        self.entries[index as usize] = Entry::new(home, owner);
        if route.direct {
            self.queue_socket(index, route);
        }
        self.queue_connect(index, route.to, request);
        Ok(Handle(index))
    }

    /// Queues bytes to be sent; at most one more piece than is being sent already.
    ///
    /// # Errors
    /// `ENOBUFS` when two pieces are on their way already, or nothing can be submitted.
    pub fn send(&mut self, handle: &Handle, bytes: &[u8]) -> Result<(), Errno> {
        self.reserve(1)?;
        let buffer = self.filled(bytes);
        let entry = &mut self.entries[handle.0 as usize];
        if entry.sending.is_none() {
            self.queue_send(handle.0, buffer, false);
            return Ok(());
        }
        if entry.next.is_some() {
            return Err(Errno::NOBUFS);
        }
        entry.next = Some(buffer);
        Ok(())
    }

    /// Sends our FIN.
    ///
    /// # Errors
    /// The kernel's reason; `EOPNOTSUPP` on a direct descriptor: the SHUTDOWN request is always handed to
    /// a kernel thread (`REQ_F_FORCE_ASYNC`), which would run on any core.
    pub fn send_fin(&self, handle: &Handle) -> Result<(), Errno> {
        match &self.entries[handle.0 as usize].home {
            Home::Normal(socket) => rustix::net::shutdown(socket, Shutdown::Write),
            Home::Direct | Home::None => Err(Errno::OPNOTSUPP),
        }
    }

    /// Closes a connection, with a RST if `reset`; what it was doing is cancelled and no event of it
    /// comes any more. A direct or busy one ends with the next [`Ring::wait`].
    pub fn close(&mut self, handle: Handle, reset: bool) {
        let entry = &mut self.entries[handle.0 as usize];
        entry.closing = true;
        if let (Home::Normal(socket), true) = (&entry.home, reset) {
            // If the option cannot be set, the close is a FIN.
            let _ = crate::socket::reset_on_close(socket);
        }
        if matches!(entry.home, Home::Direct) {
            self.queue_close(handle.0, reset);
        } else if entry.is_quiet() {
            self.retire(handle.0);
        } else {
            self.queue_cancel(handle.0);
        }
    }

    /// Submits what is queued and waits until something completes, at most `timeout`.
    ///
    /// # Errors
    /// The kernel's reason; an interruption, an elapsed timeout and a shortage before anything was
    /// submitted are none. `EAGAIN` when a shortage may have cut a chain in two: what it would do then
    /// is not what was asked for.
    pub fn wait(&mut self, timeout: Duration) -> io::Result<()> {
        self.give_back();
        for index in std::mem::take(&mut self.late) {
            // It may have come to its end, and even into use again, meanwhile.
            if self.entries[index as usize].closing {
                self.end(index);
            }
        }
        let timeout = types::Timespec::from(timeout);
        let arguments = types::SubmitArgs::new().timespec(&timeout);
        let submitted = self.ring.submitter().submit_with_args(1, &arguments);
        self.note_split(submitted.is_ok());
        match submitted {
            _ if self.split => Err(Errno::AGAIN.into()),
            Ok(_) => Ok(()),
            Err(error) => match error.raw_os_error() {
                Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN) => Ok(()),
                _ => Err(error),
            },
        }
    }

    /// What a submission has left behind: with success nothing, unless the kernel lacked memory midway.
    fn note_split(&mut self, submitted: bool) {
        self.split |= submitted && !self.ring.submission().is_empty();
    }

    /// How many completions have not been looked at; not all of them become events.
    pub fn ready(&mut self) -> usize {
        self.ring.completion().len()
    }

    /// The next thing that happened, without waiting.
    pub fn next_event(&mut self) -> Option<Event> {
        self.give_back();
        loop {
            let completion = self.ring.completion().next()?;
            let Some((index, kind)) = entry::of_token(completion.user_data()) else { continue };
            if index >= self.entries.len() {
                debug_assert!(false, "completions name connections that were opened");
                continue;
            }
            if let Some(event) = self.settle(index, kind, &completion) {
                return Some(event);
            }
        }
    }

    /// The bytes of the last [`Event::Received`]; nothing after any other event.
    pub fn data(&self) -> &[u8] {
        match (&self.buffers, &self.current) {
            (Some(buffers), Some(taken)) => buffers.bytes(taken),
            _ => &[],
        }
    }

    fn give_back(&mut self) {
        if let (Some(buffers), Some(taken)) = (&mut self.buffers, self.current.take()) {
            buffers.give_back(taken);
        }
    }

    /// Books a completion; an event is what the owner has to know of it.
    fn settle(&mut self, index: usize, kind: Kind, completion: &cqueue::Entry) -> Option<Event> {
        let result = completion.result();
        let last = !cqueue::more(completion.flags());
        if let (Some(number), Some(buffers)) = (cqueue::buffer_select(completion.flags()), &mut self.buffers) {
            let taken = buffers.take(number, usize::try_from(result).unwrap_or(0));
            if self.entries[index].closing || result <= 0 {
                buffers.give_back(taken);
            } else {
                self.current = Some(taken);
            }
        }
        let entry = &mut self.entries[index];
        if last {
            entry.completed(kind);
        }
        if kind == Kind::Close {
            entry.home = Home::None;
        }
        let whole = kind != Kind::Send || self.sent(index, result);
        if self.entries[index].closing {
            self.end(index as u32);
            return None;
        }
        let deaf = kind == Kind::Receive && last && !self.receive_again(index, result);
        if deaf {
            self.give_back();
        }
        let entry = &mut self.entries[index];
        let errno = || Errno::from_raw_os_error(-result);
        match kind {
            // Nothing more of the peer would ever be seen.
            Kind::Receive if deaf => Some(Event::Received(entry.owner, Err(Errno::NOBUFS))),
            // A broken chain has told its reason with the request that broke it.
            _ if result == -libc::ECANCELED => None,
            Kind::Connect if result >= 0 => {
                entry.connected = true;
                Some(Event::Connected(entry.owner, Ok(())))
            }
            Kind::Socket | Kind::Bind | Kind::Connect if result < 0 => {
                Some(Event::Connected(entry.owner, Err(errno())))
            }
            Kind::Send if result < 0 => Some(Event::Sent(entry.owner, Err(errno()))),
            Kind::Send if !whole => Some(Event::Sent(entry.owner, Err(Errno::NOBUFS))),
            Kind::Send if entry.sending.is_none() => Some(Event::Sent(entry.owner, Ok(()))),
            Kind::Receive if result >= 0 => Some(Event::Received(entry.owner, Ok(result as usize))),
            Kind::Receive if result != -libc::ENOBUFS => Some(Event::Received(entry.owner, Err(errno()))),
            _ => None,
        }
    }

    /// A connection on its way out: frees it if it is quiet, else gives it another push.
    fn end(&mut self, index: u32) {
        let entry = &self.entries[index as usize];
        match entry.home {
            Home::Direct if !entry.awaits(Kind::Close) => self.queue_close(index, false),
            Home::Normal(_) | Home::None if entry.is_quiet() => self.retire(index),
            _ if !entry.awaits(Kind::Cancel) => self.queue_cancel(index),
            _ => {}
        }
    }

    /// Frees the index of a connection that is closed and quiet.
    fn retire(&mut self, index: u32) {
        let entry = &mut self.entries[index as usize];
        debug_assert!(entry.is_quiet() && entry.closing, "an index is free when nothing refers to it");
        let unsent = [entry.sending.take().map(|(buffer, _)| buffer), entry.next.take()];
        *entry = Entry::default();
        unsent.into_iter().flatten().for_each(|buffer| self.keep(buffer));
        self.free.push(index);
    }

    /// A free index.
    fn vacancy(&mut self) -> Result<u32, Errno> {
        if let Some(index) = self.free.pop() {
            return Ok(index);
        }
        if self.entries.len() >= self.most as usize {
            return Err(Errno::MFILE);
        }
        self.entries.push(Entry::default());
        Ok(self.entries.len() as u32 - 1)
    }

    fn keep(&mut self, buffer: Vec<u8>) {
        if self.spare.len() < SPARE_MAX {
            self.spare.push(buffer);
        }
    }
}

/// The descriptor of a normal connection.
fn descriptor(entry: &Entry) -> Option<&OwnedFd> {
    match &entry.home {
        Home::Normal(socket) => Some(socket),
        Home::Direct | Home::None => None,
    }
}
