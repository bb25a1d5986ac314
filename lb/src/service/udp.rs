//! The UDP data path: flows of datagrams between clients and real servers.
//!
//! A flow is what one client address sends to one address of the service; its server is chosen for its
//! first datagram. It has a socket of its own, connected to the server, as in nginx and Envoy: what comes
//! there belongs to that client, whatever it says. So a flow costs a descriptor and a local port.
//!
//! All flows of a worker and service run in one task, which nothing ever blocks: what the kernel does not
//! take at once is dropped and counted. Their sockets are in an epoll instance that is itself watched by
//! the runtime, so that a flow needs no task and a turn costs the same for one flow or for many. A turn
//! takes a bounded number of datagrams from each side in turns; the clock is read once for each of those.
//! Every datagram stays one: no segmentation offload.

mod answers;
mod flow;
mod relay;
mod table;

use std::future::poll_fn;
use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use host::datagram::Receiver;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, Sleep, sleep};

use super::ServiceContext;
use answers::Answers;
use relay::Relay;
use table::FlowId;

/// Most datagrams taken from clients, or flows whose servers are heard, at a time.
const BATCH: usize = 64;
/// Most datagrams taken from the server of one flow at a time.
const SERVER_BATCH: usize = 16;
/// Most times that both sides are heard before other tasks of the worker have their turn.
const ROUNDS: u32 = 4;
/// Most batches that are taken from what waits when the drain begins.
const LAST_BATCHES: u32 = 256;
/// The longest payload: 65,535 bytes of UDP over IPv6 less its header (over IPv4 it is 65,507).
const PAYLOAD_MAX: usize = 65_527;

/// One virtual service on one worker.
pub(crate) struct UdpService {
    context: Rc<ServiceContext>,
    clients: ClientSide,
    servers: ServerSide,
    relay: Relay,
    timer: Pin<Box<Sleep>>,
    /// Whether the timer is set for a flow; it may have been used since.
    is_timed: bool,
}

#[derive(Debug)]
struct ClientSide {
    socket: AsyncFd<Arc<UdpSocket>>,
    receiver: Receiver,
}

struct ServerSide {
    epoll: AsyncFd<Arc<OwnedFd>>,
    events: Vec<epoll::Event>,
    receiver: Receiver,
}

impl UdpService {
    /// Takes the socket of a worker; needs the worker's runtime.
    ///
    /// # Errors
    /// The kernel's reason, for example when no descriptor is left.
    pub(crate) fn new(socket: Arc<UdpSocket>, context: Rc<ServiceContext>) -> io::Result<Self> {
        let epoll = Arc::new(epoll::create(epoll::CreateFlags::CLOEXEC)?);
        let answers = Answers::new(Arc::clone(&socket), PAYLOAD_MAX);
        let relay = Relay::new(Rc::clone(&context), answers, Arc::clone(&epoll));
        let clients = ClientSide { socket: readable(socket)?, receiver: Receiver::new(BATCH, PAYLOAD_MAX) };
        let servers = ServerSide {
            epoll: readable(epoll)?,
            events: Vec::with_capacity(BATCH),
            receiver: Receiver::new(SERVER_BATCH, PAYLOAD_MAX),
        };
        Ok(Self { context, clients, servers, relay, timer: Box::pin(sleep(Duration::ZERO)), is_timed: false })
    }

    /// Serves until the drain begins, takes what the kernel has by then, and leaves a task that goes on
    /// with the flows there are until they have ended.
    pub(crate) async fn serve(mut self) {
        let drain = self.context.drain.clone();
        tokio::select! {
            biased;
            () = drain.begun() => {}
            () = poll_fn(|cx| self.poll(cx)) => {}
        }
        // Without tokio, whose readiness may not know yet of those that came last.
        for _ in 0..LAST_BATCHES {
            if self.clients.receiver.receive(&**self.clients.socket.get_ref()).is_err() {
                break;
            }
            let now_ns = host::clock::monotonic_ns();
            self.clients.receiver.datagrams().for_each(|datagram| self.relay.forward(&datagram, now_ns));
        }
        self.relay.is_draining = true;
        tokio::task::spawn_local(async move { poll_fn(|cx| self.poll(cx)).await });
    }

    /// One turn; ready when it drains and no flow is left.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..ROUNDS {
            let now_ns = host::clock::monotonic_ns();
            let has_heard = self.clients.poll(cx, &mut self.relay, now_ns);
            let has_heard = self.servers.poll(cx, &mut self.relay, now_ns) || has_heard;
            self.relay.answers.flush(self.context.counters());
            if !has_heard {
                return self.poll_idle(cx);
            }
        }
        // The timer has its turn even if datagrams never cease.
        let ended = self.poll_idle(cx);
        cx.waker().wake_by_ref();
        ended
    }

    /// Ends flows that have been idle for too long, and sees to it that the next one is thought of.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.is_timed && self.timer.as_mut().poll(cx).is_pending() {
                break;
            }
            let now_ns = host::clock::monotonic_ns();
            if !self.relay.expire(now_ns) {
                self.is_timed = false;
                cx.waker().wake_by_ref();
                break;
            }
            let Some((_, due_ns)) = self.relay.next_expiry_ns() else {
                self.is_timed = false;
                break;
            };
            self.timer.as_mut().reset(Instant::now() + Duration::from_nanos(due_ns - now_ns));
            self.is_timed = true;
        }
        let is_over = self.relay.is_draining && self.relay.is_empty();
        if is_over { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// Lets the runtime watch a descriptor.
#[expect(deprecated, reason = "its successor has the caller prove that the descriptor stays open; here it is owned")]
fn readable<T: AsRawFd>(descriptor: Arc<T>) -> io::Result<AsyncFd<Arc<T>>> {
    AsyncFd::with_interest(descriptor, Interest::READABLE)
}

impl ClientSide {
    /// Takes one batch from clients; whether there may be more.
    fn poll(&mut self, cx: &mut Context<'_>, relay: &mut Relay, now_ns: u64) -> bool {
        // It fails only when the runtime ends.
        let Poll::Ready(Ok(mut ready)) = self.socket.poll_read_ready(cx) else { return false };
        match self.receiver.receive(&**self.socket.get_ref()) {
            Ok(count) => {
                self.receiver.datagrams().for_each(|datagram| relay.forward(&datagram, now_ns));
                // A batch that is not full has emptied the queue; what comes from now on says so itself. The
                // next round asks again, which leaves a waker behind.
                if count < BATCH {
                    ready.clear_ready();
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
            // One that was about something we had sent earlier; the next call goes on.
            Err(error) => tracing::debug!(%error, "from clients"),
        }
        true
    }
}

impl ServerSide {
    /// Takes one batch of each of some flows; whether there may be more.
    fn poll(&mut self, cx: &mut Context<'_>, relay: &mut Relay, now_ns: u64) -> bool {
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        loop {
            // Asked again after each clearing: only an answer of "not ready" leaves a waker behind.
            let Poll::Ready(Ok(mut ready)) = self.epoll.poll_read_ready(cx) else { return false };
            match epoll::wait(&**self.epoll.get_ref(), spare_capacity(&mut self.events), Some(&at_once)) {
                // The inner events are level-triggered: without one, nothing is left.
                Ok(0) => ready.clear_ready(),
                Ok(_) => break,
                // A signal; nothing is known, so the next round asks again.
                Err(_) => return true,
            }
        }
        for event in self.events.drain(..) {
            relay.answer(FlowId::from_bits(event.data.u64()), &mut self.receiver, now_ns);
        }
        true
    }
}
