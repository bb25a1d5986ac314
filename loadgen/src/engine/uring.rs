//! The transport over io_uring: the beginning of a connection is one chain of requests, and a turn of
//! the worker is one system call.
//!
//! Connections that are closed without a FIN of ours live on direct descriptors (SOCKET, BIND, CONNECT,
//! SEND, RECV, CLOSE without a system call of their own), the others on normal ones, because a FIN over
//! io_uring takes a kernel thread. What happened is read from completions of CONNECT, SEND and RECV, so
//! that the same outcomes and times are booked as over epoll.
//!
//! A request leaves with the next turn's system call and its answer is seen after one: times include that
//! wait, so they are never shorter than the truth. A worker whose ring breaks fails its operations as
//! `local_error`, never as the DUT's.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use host::clock::monotonic_ns;
use host::uring::{Event, Handle, Ring, Route, Support, Unavailable};
use rustix::io::Errno;

use super::connection;
use super::slot::Place;
use super::socket::{Context, EVENTS_PER_TURN, Worker};
use super::transport::Transport;
use super::{Config, WorkloadConfig};
use crate::measure::Outcome;
use crate::scenario::plan::CloseMode;
use crate::workload::{Step, Workload};

/// The transport of one worker.
pub(super) struct Uring {
    ring: Ring,
    /// Whether connections live on direct descriptors.
    direct: bool,
    /// Why connections live on normal descriptors although direct ones were to be had when it was probed.
    fallback: Option<Unavailable>,
    /// Why the ring cannot be used any more.
    broken: Option<Errno>,
}

impl Uring {
    /// A transport for the slots of one worker.
    ///
    /// # Errors
    /// [`Unavailable`] with the reason.
    pub(super) fn new(context: &Context, support: &Support) -> Result<Self, Unavailable> {
        let config = &context.config;
        let direct = support.direct.is_ok() && !sends_fin(config);
        Self::with_slots(config.slots, context.sources().ports(), direct)
    }

    fn with_slots(slots: u32, ports: Option<(u16, u16)>, direct: bool) -> Result<Self, Unavailable> {
        let ring = |direct| {
            let support = if direct { Support { direct: Ok(()) } } else { Support::normal() };
            Ok(Self { ring: Ring::new(slots, ports, &support)?, direct, fallback: None, broken: None })
        };
        // A table of direct descriptors is bounded by RLIMIT_NOFILE and by memory; without one nothing is
        // booked otherwise, but the run is not what its record says, which its reader has to know.
        ring(direct).or_else(|reason| match direct {
            true => Ok(Self { fallback: Some(reason), ..ring(false)? }),
            false => Err(reason),
        })
    }

    /// An event of a slot, and of its present connection: the ring tells nothing of closed ones.
    fn handle_one<W: Workload>(worker: &mut Worker<W, Self>, event: Event) {
        let now = monotonic_ns();
        match event {
            Event::Connected(number, Ok(())) => Self::connected(worker, number, now),
            Event::Connected(number, Err(error)) => {
                worker.fail(number, connection::handshake_outcome(error), now, || format!("handshake: {error}"));
            }
            Event::Sent(number, Ok(())) => worker.slots[number as usize].sending = false,
            Event::Sent(number, Err(error)) => {
                worker.fail(number, connection::later_outcome(error), now, || format!("send: {error}"));
            }
            Event::Received(number, Ok(0)) => worker.peer_ended(number, now),
            Event::Received(number, Ok(_)) => worker.bytes(number, now),
            Event::Received(number, Err(error)) => worker.broken(number, error, now),
        }
    }

    fn connected<W: Workload>(worker: &mut Worker<W, Self>, number: u32, now: u64) {
        worker.established(number, now);
        let slot = &mut worker.slots[number as usize];
        if slot.sending {
            // The request left with the handshake.
            return worker.set_deadline(number, now, Some(worker.context.config.response_timeout));
        }
        let step = worker.workload.start(&mut slot.user);
        worker.drive(number, step, now);
    }

    /// Without its ring the tester can do nothing: what is under way fails, by the tester's own fault.
    fn give_up<W: Workload>(worker: &mut Worker<W, Self>, error: Errno) {
        let now = monotonic_ns();
        for number in 0..worker.slots.len() as u32 {
            if worker.slots[number as usize].active {
                worker.fail(number, Outcome::LocalError, now, || format!("io_uring: {error}"));
            }
        }
    }
}

/// Whether connections are closed with a FIN of ours while the other direction is still open.
fn sends_fin(config: &Config) -> bool {
    let close = match &config.workload {
        WorkloadConfig::Tcp(close) => *close,
        WorkloadConfig::Http(http) => http.close,
        WorkloadConfig::Udp(_) => return false,
    };
    close == CloseMode::ClientFin
}

impl Transport for Uring {
    type Socket = Handle;

    fn settle_in(&mut self) -> Result<(), String> {
        self.ring.enable().map_err(|error| {
            self.broken = Some(Errno::from_io_error(&error).unwrap_or(Errno::IO));
            format!("a generator worker cannot use its io_uring ({error}); its operations fail as local_error")
        })?;
        match &self.fallback {
            Some(reason) => Err(format!("a generator worker had to use normal descriptors over io_uring: {reason}")),
            None => Ok(()),
        }
    }

    fn connect<W: Workload>(
        worker: &mut Worker<W, Self>,
        number: u32,
        service: SocketAddr,
        now: u64,
    ) -> Result<(), Errno> {
        let transport = &mut worker.transport;
        if let Some(error) = transport.broken {
            return Err(error);
        }
        let (from, _) = worker.sources.next(service);
        let slot = &mut worker.slots[number as usize];
        let step = worker.workload.start(&mut slot.user);
        slot.sending = step == Step::Send;
        let request = if slot.sending { worker.workload.request(&slot.user) } else { &[] };
        let route = Route { to: service, from, direct: transport.direct };
        slot.socket = Some(transport.ring.open(number, &route, request)?);
        worker.set_deadline(number, now, Some(worker.context.config.connect_timeout));
        Ok(())
    }

    fn send<W: Workload>(worker: &mut Worker<W, Self>, number: u32, now: u64) {
        worker.begin_sending(number, now);
        let slot = &mut worker.slots[number as usize];
        let request = worker.workload.request(&slot.user);
        let Some(socket) = &slot.socket else { return };
        match worker.transport.ring.send(socket, request) {
            Ok(()) => {
                slot.place = Place::Awaiting;
                worker.set_deadline(number, now, Some(worker.context.config.response_timeout));
            }
            Err(error) => worker.fail(number, connection::later_outcome(error), now, || format!("send: {error}")),
        }
    }

    fn wait(&mut self, timeout: Duration) -> bool {
        if self.broken.is_some() {
            thread::park_timeout(timeout);
            return false;
        }
        let waited = self.ring.wait(timeout);
        self.broken = waited.err().map(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO));
        // Events that are left for the next turn are few: a turn takes all but those of a burst.
        self.broken.is_none() && self.ring.ready() < EVENTS_PER_TURN
    }

    fn handle<W: Workload>(worker: &mut Worker<W, Self>) {
        if let Some(error) = worker.transport.broken {
            return Self::give_up(worker, error);
        }
        for _ in 0..EVENTS_PER_TURN {
            let Some(event) = worker.transport.ring.next_event() else { return };
            Self::handle_one(worker, event);
        }
    }

    fn data(&self) -> &[u8] {
        self.ring.data()
    }

    fn send_fin(&self, socket: &Handle) -> Result<(), Errno> {
        self.ring.send_fin(socket)
    }

    fn close(&mut self, socket: Handle, reset: bool) {
        self.ring.close(socket, reset);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_without_a_table_of_direct_descriptors_says_so() {
        if let Err(reason) = host::uring::probe() {
            assert!(std::env::var_os("NADARE_REQUIRE_ALL").is_none(), "io_uring is required: {reason}");
            println!("SKIPPED: {reason}");
            return;
        }
        // No kernel gives a table of more than 2^20.
        let mut transport = Uring::with_slots(1 << 20, None, true).unwrap();
        assert!(!transport.direct);
        let warning = transport.settle_in().unwrap_err();
        assert!(warning.contains("normal descriptors over io_uring: a table of 1049088 direct"), "{warning}");
        assert!(transport.broken.is_none(), "it can be used all the same");
        let mut asked = Uring::with_slots(1 << 20, None, false).unwrap();
        assert_eq!(asked.settle_in(), Ok(()));
    }
}
