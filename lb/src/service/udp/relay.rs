//! What becomes of each datagram: its flow, its server, its way back.

use std::net::UdpSocket;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use host::datagram::{Datagram, Receiver};
use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::SendFlags;

use super::answers::Answers;
use super::flow::{End, Flow, Key, connect};
use super::table::{FlowId, FlowTable};
use crate::counters::Dropped;
use crate::group::{Lease, ServerIndex};
use crate::operate::access_log::Entry;
use crate::service::connect::is_local;
use crate::service::{Admission, ServiceContext};

/// Most flows that are ended in one turn of the event loop because they were idle.
const EXPIRED_MAX: u32 = 256;
/// Most flows that are ended to make room for one: others may take the room on another worker.
const EVICTED_MAX: u32 = 4;

/// The flows of one worker and service.
#[derive(Debug)]
pub(super) struct Relay {
    context: Rc<ServiceContext>,
    flows: FlowTable<Key, Flow>,
    pub(super) answers: Answers,
    /// Tells which flows have something from their servers.
    epoll: Arc<OwnedFd>,
    /// The service listens on all addresses, so clients are answered from the one they have asked.
    is_wildcard: bool,
    /// No new flows.
    pub(super) is_draining: bool,
}

impl Relay {
    pub(super) fn new(context: Rc<ServiceContext>, answers: Answers, epoll: Arc<OwnedFd>) -> Self {
        let is_wildcard = context.shared.address.ip().is_unspecified();
        Self { context, flows: FlowTable::default(), answers, epoll, is_wildcard, is_draining: false }
    }

    /// Whether no flow is left.
    pub(super) fn is_empty(&self) -> bool {
        self.flows.count() == 0
    }

    /// Sends a client's datagram to the server of its flow, which may begin with it.
    pub(super) fn forward(&mut self, datagram: &Datagram<'_>, now_ns: u64) {
        let counters = self.context.counters();
        counters.datagrams_in.add(1);
        counters.bytes_in.add(datagram.payload.len() as u64);
        let key = Key { client: datagram.from, local: datagram.to.filter(|_| self.is_wildcard) };
        let result = self.flow_of(key, now_ns).and_then(|id| self.send(id, datagram.payload));
        if let Err(why) = result {
            self.context.counters().dropped(why, 1);
        }
    }

    fn flow_of(&mut self, key: Key, now_ns: u64) -> Result<FlowId, Dropped> {
        let Some(id) = self.flows.find(&key) else { return self.open(key, now_ns) };
        self.flows.touch(id, now_ns);
        if self.flows.at(id).is_some_and(|(_, flow)| !flow.lease.is_up()) {
            // If no other is up either, it stays: the checks may be wrong, and nothing is lost by trying.
            self.move_away(id, &[]);
        }
        Ok(id)
    }

    fn send(&mut self, id: FlowId, payload: &[u8]) -> Result<(), Dropped> {
        // Once more after what an earlier datagram has caused, which the kernel says only now: this one has
        // not been sent.
        for _ in 0..2 {
            let Some((_, flow)) = self.flows.at_mut(id) else { return Err(Dropped::ToServer) };
            match rustix::net::send(&flow.socket, payload, SendFlags::DONTWAIT) {
                Ok(_) => {
                    flow.sent(payload.len());
                    self.end_if_complete(id);
                    return Ok(());
                }
                Err(Errno::CONNREFUSED | Errno::HOSTUNREACH | Errno::NETUNREACH) => _ = self.refused(id),
                Err(_) => return Err(Dropped::ToServer),
            }
        }
        Err(Dropped::ToServer)
    }

    /// Takes what a flow's server has sent, at most one batch, and queues it for the client.
    pub(super) fn answer(&mut self, id: FlowId, servers: &mut Receiver, now_ns: u64) {
        // It may have ended since the event.
        let Some((key, flow)) = self.flows.at_mut(id) else { return };
        let mut received = servers.receive(&flow.socket);
        let is_refused = received.as_ref().is_err_and(|error| error.kind() != std::io::ErrorKind::WouldBlock);
        if is_refused {
            // An error comes before the datagrams that came before it.
            received = servers.receive(&flow.socket);
        }
        if received.is_ok() {
            let counters = self.context.counters();
            for datagram in servers.datagrams() {
                flow.received(datagram.payload.len());
                self.answers.queue(key, datagram.payload, counters);
            }
            self.flows.touch(id, now_ns);
            self.end_if_complete(id);
        }
        if is_refused && !self.refused(id) {
            self.end(id, End::Refused);
        }
    }

    /// Ends flows that nobody has used for the idle timeout; whether all of them.
    pub(super) fn expire(&mut self, now_ns: u64) -> bool {
        for _ in 0..EXPIRED_MAX {
            match self.next_expiry_ns() {
                Some((id, due_ns)) if due_ns <= now_ns => self.end(id, End::Idle),
                _ => return true,
            }
        }
        false
    }

    /// The flow that is the next to be idle for too long, and when.
    pub(super) fn next_expiry_ns(&self) -> Option<(FlowId, u64)> {
        let idle_ns = u64::try_from(self.context.service.timeouts.flow_idle.as_nanos()).unwrap_or(u64::MAX);
        self.flows.oldest().map(|(id, used_ns)| (id, used_ns.saturating_add(idle_ns)))
    }

    fn open(&mut self, key: Key, now_ns: u64) -> Result<FlowId, Dropped> {
        if self.is_draining {
            return Err(Dropped::Draining);
        }
        let (socket, lease) = self.reach(&[]).inspect_err(|_| self.context.counters().connection_errors.add(1))?;
        let admission = self.admit()?;
        let flow = Flow::new(socket, lease, admission, now_ns);
        let id = self.flows.insert(key, flow, now_ns);
        if let Err(why) = self.watch(id) {
            self.flows.remove(id);
            return Err(why);
        }
        Ok(id)
    }

    /// Chooses a server and makes a socket towards it; if there is no way to it, tries others, as often
    /// as the service allows.
    fn reach(&self, excluded: &[ServerIndex]) -> Result<(UdpSocket, Lease), Dropped> {
        let context = &self.context;
        // Allocates only when something has failed.
        let mut tried = excluded.to_vec();
        for attempt in 0..=context.service.retries {
            let lease = context.group.choose(&tried).map_err(|_| Dropped::NoServer)?;
            if attempt > 0 {
                context.counters().retries.add(1);
            }
            match connect(lease.address) {
                Ok(socket) => {
                    lease.connect_ok();
                    return Ok((socket, lease));
                }
                Err(error) if is_local(&error) || error.kind() == std::io::ErrorKind::WouldBlock => {
                    context.shortage.report(&context.service.name, &error);
                    return Err(Dropped::Shortage);
                }
                Err(error) => {
                    tracing::debug!(service = context.service.name, server = lease.name, %error, "no way");
                    lease.connect_failed();
                    tried.push(lease.index());
                }
            }
        }
        Err(Dropped::NoServer)
    }

    /// A place for another flow; if the service is full, that of the flow that was not used for longest.
    fn admit(&mut self) -> Result<Admission, Dropped> {
        for _ in 0..EVICTED_MAX {
            if let Some(admission) = self.context.try_admit() {
                return Ok(admission);
            }
            let Some((oldest, _)) = self.flows.oldest() else { break };
            self.end(oldest, End::Evicted);
        }
        self.context.try_admit().ok_or_else(|| {
            self.context.counters().denied.add(1);
            Dropped::Full
        })
    }

    fn watch(&self, id: FlowId) -> Result<(), Dropped> {
        let Some((_, flow)) = self.flows.at(id) else { return Ok(()) };
        let data = epoll::EventData::new_u64(id.to_bits());
        epoll::add(&*self.epoll, &flow.socket, data, epoll::EventFlags::IN).map_err(|errno| {
            self.context.shortage.report(&self.context.service.name, &errno.into());
            Dropped::Shortage
        })
    }

    /// Books that a flow's server could not be reached, and moves the flow to another one; whether it did.
    fn refused(&mut self, id: FlowId) -> bool {
        let Some((_, flow)) = self.flows.at_mut(id) else { return true };
        if flow.is_answered() {
            flow.lease.counters().response_errors.add(1);
            self.context.counters().response_errors.add(1);
        } else {
            flow.lease.connect_failed();
        }
        let refusing = flow.lease.index();
        flow.refusals += 1;
        let may_move = flow.refusals <= self.context.service.retries;
        may_move && self.move_away(id, &[refusing])
    }

    /// Gives a flow another server, if one can be had; the way to the old one is closed.
    fn move_away(&mut self, id: FlowId, excluded: &[ServerIndex]) -> bool {
        let Ok((socket, lease)) = self.reach(excluded) else { return false };
        let Some((_, flow)) = self.flows.at_mut(id) else { return false };
        let left = std::mem::replace(&mut flow.socket, socket);
        flow.lease = lease;
        self.context.counters().overflown.add(host::socket::drops(&left).unwrap_or(0).into());
        self.context.counters().moved.add(1);
        if self.watch(id).is_err() {
            self.end(id, End::Refused);
        }
        true
    }

    fn end_if_complete(&mut self, id: FlowId) {
        let Some((_, flow)) = self.flows.at(id) else { return };
        let service = &self.context.service;
        if flow.is_complete(service) {
            self.end(id, End::Ok);
        } else if flow.has_all_requests(service) {
            self.flows.release_key(id);
        }
    }

    /// Ends a flow: its server and its place are free again.
    fn end(&mut self, id: FlowId, end: End) {
        let Some((key, flow)) = self.flows.remove(id) else { return };
        let counters = self.context.counters();
        match end {
            End::Idle => {
                counters.expired.add(1);
                counters.timeouts.add(u64::from(flow.awaits_responses(&self.context.service)));
            }
            End::Evicted => counters.evicted.add(1),
            End::Ok | End::Refused => {}
        }
        counters.overflown.add(host::socket::drops(&flow.socket).unwrap_or(0).into());
        let Some(log) = &self.context.log else { return };
        log.record(Entry {
            service: self.context.service.clone(),
            peer: key.client,
            server: Some(flow.lease.server().clone()),
            request: None,
            status: 0,
            bytes_in: flow.bytes_in,
            bytes_out: flow.bytes_out,
            duration: Duration::from_nanos(host::clock::monotonic_ns().saturating_sub(flow.opened_ns)),
            end: end.word(),
        });
    }
}
