//! The default transport: non-blocking sockets and epoll, one `epoll_ctl` in the life of a connection.
//!
//! The request is tried right after `connect`: on loopback the handshake is complete by then.

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use host::clock::monotonic_ns;
use rustix::event::epoll::EventFlags;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

use super::connection;
use super::slot::Place;
use super::socket::{EVENTS_PER_TURN, Worker};
use super::transport::Transport;
use crate::workload::{Step, Workload};

/// Bytes received at once; shared by all connections of a worker.
const RECEIVE_BUFFER: usize = 64 * 1024;
/// Flags after which the socket is read until it says "nothing now".
const LAST_WORDS: EventFlags = EventFlags::RDHUP.union(EventFlags::HUP).union(EventFlags::ERR);

/// The transport of one worker.
pub(super) struct Epoll {
    epoll: OwnedFd,
    /// Tokens and flags of the last wait.
    events: Vec<(u64, EventFlags)>,
    buffer: Vec<u8>,
    received: usize,
}

impl Epoll {
    /// A transport without connections.
    ///
    /// # Errors
    /// The kernel's reason when there is no descriptor to be had.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(EVENTS_PER_TURN),
            buffer: vec![0; RECEIVE_BUFFER],
            received: 0,
        })
    }

    /// An event of a connection.
    fn handle_one<W: Workload>(worker: &mut Worker<W, Self>, token: u64, flags: EventFlags) {
        let number = token as u32;
        let slot = &worker.slots[number as usize];
        if slot.socket.is_none() || slot.generation != (token >> 32) as u32 {
            // The connection it was about is gone.
            return;
        }
        if slot.place == Place::Connecting {
            Self::connecting(worker, number);
        } else if slot.sending && flags.contains(EventFlags::OUT) {
            worker.drive(number, Step::Send, monotonic_ns());
        }
        let readable = flags.intersects(EventFlags::IN | LAST_WORDS);
        if readable && !matches!(worker.slots[number as usize].place, Place::Free | Place::Connecting) {
            Self::read(worker, number, flags);
        }
    }

    fn connecting<W: Workload>(worker: &mut Worker<W, Self>, number: u32) {
        let now = monotonic_ns();
        let slot = &worker.slots[number as usize];
        if slot.sending {
            return worker.drive(number, Step::Send, now);
        }
        let Some(socket) = &slot.socket else { return };
        match connection::established(socket) {
            Ok(true) => {
                worker.established(number, now);
                let step = worker.workload.start(&mut worker.slots[number as usize].user);
                worker.drive(number, step, now);
            }
            Ok(false) => {}
            Err(error) => {
                worker.fail(number, connection::handshake_outcome(error), now, || format!("handshake: {error}"));
            }
        }
    }

    fn read<W: Workload>(worker: &mut Worker<W, Self>, number: u32, flags: EventFlags) {
        loop {
            let now = monotonic_ns();
            let Some(socket) = &worker.slots[number as usize].socket else { return };
            match connection::receive(socket, &mut worker.transport.buffer) {
                Ok(None) => return,
                Ok(Some(0)) => return worker.peer_ended(number, now),
                Ok(Some(received)) => {
                    worker.transport.received = received;
                    worker.bytes(number, now);
                    // With edge triggering a short read means empty, unless a FIN or RST came along.
                    if received < worker.transport.buffer.len() && !flags.intersects(LAST_WORDS) {
                        return;
                    }
                }
                Err(error) => return worker.broken(number, error, now),
            }
        }
    }
}

impl Transport for Epoll {
    type Socket = OwnedFd;

    fn settle_in(&mut self) -> Result<(), String> {
        Ok(())
    }

    fn connect<W: Workload>(
        worker: &mut Worker<W, Self>,
        number: u32,
        service: SocketAddr,
        now: u64,
    ) -> Result<(), Errno> {
        let source = worker.sources.next(service);
        let slot = &mut worker.slots[number as usize];
        slot.socket = Some(connection::open(&worker.transport.epoll, slot.token(number), service, source)?);
        let step = worker.workload.start(&mut slot.user);
        worker.set_deadline(number, now, Some(worker.context.config.connect_timeout));
        // On loopback the handshake is complete already, so the request can leave with the same turn;
        // elsewhere the kernel says "not yet" and an event follows. The clock is read again: the time in
        // `connect` is the handshake.
        if step == Step::Send {
            worker.drive(number, step, monotonic_ns());
        }
        Ok(())
    }

    fn send<W: Workload>(worker: &mut Worker<W, Self>, number: u32, now: u64) {
        if !worker.slots[number as usize].sending {
            worker.begin_sending(number, now);
        }
        let slot = &mut worker.slots[number as usize];
        let request = worker.workload.request(&slot.user);
        let Some(socket) = &slot.socket else { return };
        match connection::send_some(socket, &request[slot.sent..]) {
            Ok(None) => {}
            Ok(Some(sent)) => {
                slot.sent += sent;
                let complete = slot.sent == request.len();
                if complete {
                    slot.sending = false;
                }
                if slot.place == Place::Connecting {
                    worker.established(number, now);
                }
                worker.slots[number as usize].place = Place::Awaiting;
                worker.set_deadline(number, now, Some(worker.context.config.response_timeout));
            }
            Err(error) if slot.place == Place::Connecting => {
                worker.fail(number, connection::handshake_outcome(error), now, || format!("handshake: {error}"));
            }
            Err(error) => worker.fail(number, connection::later_outcome(error), now, || format!("send: {error}")),
        }
    }

    fn wait(&mut self, timeout: Duration) -> bool {
        let timeout = Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: i64::from(timeout.subsec_nanos()) };
        let mut events = [MaybeUninit::<epoll::Event>::uninit(); EVENTS_PER_TURN];
        self.events.clear();
        // An interrupted wait is an empty one.
        let Ok((ready, _)) = epoll::wait(&self.epoll, &mut events, Some(&timeout)) else { return false };
        self.events.extend(ready.iter().map(|event| (event.data.u64(), event.flags)));
        self.events.len() < EVENTS_PER_TURN
    }

    fn handle<W: Workload>(worker: &mut Worker<W, Self>) {
        for at in 0..worker.transport.events.len() {
            let (token, flags) = worker.transport.events[at];
            Self::handle_one(worker, token, flags);
        }
    }

    fn data(&self) -> &[u8] {
        &self.buffer[..self.received]
    }

    fn send_fin(&self, socket: &OwnedFd) -> Result<(), Errno> {
        connection::send_fin(socket)
    }

    fn close(&mut self, socket: OwnedFd, reset: bool) {
        if reset {
            // If the option cannot be set, the close is a FIN; the label then says more than was done.
            let _ = host::socket::reset_on_close(&socket);
        }
        // Closing the descriptor also takes it out of epoll.
        drop(socket);
    }
}
