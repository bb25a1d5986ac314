//! One worker: a pinned thread with its own runtime, its own listeners and its own connections.
//!
//! Workers share a port by `SO_REUSEPORT`, so the kernel spreads connections over them and none is
//! ever handed from one to another; the datagrams of a flow all come to one. A worker ends when it was told to drain and its last
//! connection has ended, or when the bound of the drain has passed: then what still runs is closed.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::config::Mode;
use crate::group::{SharedGroup, WorkerGroup};
use crate::listen::{Listener, Listeners};
use crate::operate::access_log::AccessLog;
use crate::service::buffers::BufferStock;
use crate::service::connect::is_local;
use crate::service::shortage::Shortage;
use crate::service::socket::hear_out;
use crate::service::udp::UdpService;
use crate::service::{Drain, ServiceContext, SharedService, http, tcp};

/// Most connections taken from an accept queue before running connections get their turn.
const ACCEPT_BATCH: u32 = 64;
/// Beat of [`keep_timers_quiet`]; shorter than the usual timeouts.
const TIMER_BEAT: Duration = Duration::from_millis(250);
/// How long accepting pauses when descriptors or memory have run out.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);
/// Most refused clients per worker and service that are heard out.
const LINGERING_MAX: u32 = 64;
/// How long a refused client is heard out.
const LINGER: Duration = Duration::from_secs(1);

/// What the workers are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Running,
    /// Stop accepting, finish what runs, within the bound of the configuration.
    Draining,
    /// Close everything now.
    Ended,
}

/// What all workers and the admin server see.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) services: Vec<Arc<SharedService>>,
    /// Replaced as a whole by a reload.
    pub(crate) groups: watch::Sender<Groups>,
    pub(crate) drain: Duration,
    pub(crate) workers: usize,
    pub(crate) log: Option<AccessLog>,
    pub(crate) shortage: Arc<Shortage>,
}

/// All groups, in the order of the configuration that the start was given.
pub(crate) type Groups = Arc<[Arc<SharedGroup>]>;

impl Shared {
    /// The groups as they are now.
    pub(crate) fn groups(&self) -> Groups {
        Arc::clone(&self.groups.borrow())
    }
}

/// What one worker is started with.
pub(crate) struct Worker {
    pub(crate) index: usize,
    /// One per virtual service, in their order.
    pub(crate) listeners: Listeners,
    pub(crate) shared: Arc<Shared>,
    pub(crate) phase: watch::Receiver<Phase>,
    /// Told whenever this worker has taken on other groups.
    pub(crate) adopted: mpsc::Sender<()>,
}

impl Worker {
    /// Runs until the drain is over; calls `ready` when it serves.
    ///
    /// # Errors
    /// The kernel's reason when the runtime or a listener cannot be set up.
    pub(crate) fn run(self, ready: impl FnOnce()) -> io::Result<()> {
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
        // Dropping the runtime drops the connections that are left, which closes them.
        runtime.block_on(self.serve(ready))
    }

    async fn serve(mut self, ready: impl FnOnce()) -> io::Result<()> {
        let drain = Drain::default();
        tokio::task::spawn_local(keep_timers_quiet());
        let mut accepting = Vec::new();
        let changes = self.shared.groups.subscribe();
        let groups: Rc<[_]> = changes.borrow().iter().map(|group| self.own_view(group)).collect();
        tokio::task::spawn_local(adopt_changes(changes, Rc::clone(&groups), drain.clone(), self.adopted.clone()));
        for (context, listener) in self.contexts(&groups, &drain).into_iter().zip(std::mem::take(&mut self.listeners)) {
            accepting.push(match listener {
                Listener::Stream(listener) => {
                    tokio::task::spawn_local(accept(TcpListener::from_std(listener)?, context))
                }
                Listener::Datagrams(socket) => tokio::task::spawn_local(UdpService::new(socket, context)?.serve()),
            });
        }
        ready();
        // A closed channel means that the owner is gone, which ends everything too.
        let draining = self.phase.wait_for(|phase| *phase != Phase::Running).await.is_ok_and(|p| *p == Phase::Draining);
        drain.begin();
        if draining {
            // They take what is left in the queues, which has to happen before anything is counted.
            for listener in accepting {
                // It fails only if that panicked, and then there is nothing left to wait for.
                let _ = listener.await;
            }
            tokio::select! {
                ended = timeout(self.shared.drain, drain.ended()) => if ended.is_err() {
                    let connections = drain.open();
                    tracing::warn!(connections, "the drain is over: what still runs is closed");
                },
                _ = self.phase.wait_for(|phase| *phase == Phase::Ended) => {}
            }
        }
        Ok(())
    }

    fn own_view(&self, group: &Arc<SharedGroup>) -> Rc<WorkerGroup> {
        Rc::new(WorkerGroup::new(Arc::clone(group), self.index))
    }

    fn contexts(&self, groups: &[Rc<WorkerGroup>], drain: &Drain) -> Vec<Rc<ServiceContext>> {
        let buffers = Rc::new(BufferStock::default());
        let context = |service: &Arc<SharedService>| {
            Rc::new(ServiceContext {
                service: Arc::clone(&service.config),
                group: Rc::clone(&groups[service.config.group]),
                drain: drain.clone(),
                buffers: Rc::clone(&buffers),
                log: self.shared.log.clone(),
                shared: Arc::clone(service),
                shortage: Arc::clone(&self.shared.shortage),
                worker: self.index,
                lingering: Cell::default(),
            })
        };
        self.shared.services.iter().map(context).collect()
    }
}

/// Takes on the groups of each reload.
async fn adopt_changes(
    mut changes: watch::Receiver<Groups>,
    own: Rc<[Rc<WorkerGroup>]>,
    drain: Drain,
    adopted: mpsc::Sender<()>,
) {
    while changes.changed().await.is_ok() {
        let groups = Arc::clone(&changes.borrow_and_update());
        let mut removed = false;
        for (own, group) in own.iter().zip(groups.iter()) {
            removed |= own.adopt(group);
        }
        if removed {
            drain.stir();
        }
        // Room for every worker once; it is full only if nobody waits for it any more.
        let _ = adopted.try_send(());
    }
}

/// Ticks for ever, so that there always is a timer due soon. tokio wakes its own event loop, by a
/// write to an eventfd, for each timer that is due before all others; behind this one, a connection's
/// timeouts never are, which saves that system call per connection.
async fn keep_timers_quiet() {
    let mut beat = tokio::time::interval(TIMER_BEAT);
    loop {
        beat.tick().await;
    }
}

/// Accepts until the drain begins, then takes what is left in the queue, so that nobody whose
/// connection the kernel has already completed is reset.
async fn accept(listener: TcpListener, context: Rc<ServiceContext>) {
    let accept_all = async {
        loop {
            for _ in 0..ACCEPT_BATCH {
                accept_one(&listener, &context).await;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        () = context.drain.begun() => {}
        () = accept_all => {}
    }
    // Without tokio, whose readiness may not know yet of those that came last.
    let Ok(listener) = listener.into_std() else { return };
    // A queue holds one more than the backlog; what came after those could know of the drain.
    for _ in 0..=host::socket::BACKLOG {
        let Ok((client, peer)) = listener.accept() else { return };
        if let Ok(client) = client.set_nonblocking(true).and_then(|()| TcpStream::from_std(client)) {
            admit(client, peer, &context);
        }
    }
}

async fn accept_one(listener: &TcpListener, context: &Rc<ServiceContext>) {
    match listener.accept().await {
        Ok((client, peer)) => admit(client, peer, context),
        Err(error) if is_local(&error) => {
            context.shortage.report(&context.service.name, &error);
            // A connection that ends meanwhile frees a descriptor; the waiting ones stay in the queue.
            tokio::time::sleep(EXHAUSTED_PAUSE).await;
        }
        // A connection that was gone before we took it: the next one is not affected.
        Err(error) => tracing::debug!(service = context.service.name, %error, "accept"),
    }
}

/// Starts the data path of one accepted connection, or closes it when the service is full.
fn admit(client: TcpStream, peer: SocketAddr, context: &Rc<ServiceContext>) {
    let Some(admission) = context.admit() else { return refuse(client, context) };
    let context = Rc::clone(context);
    // Two tasks of different size, so that a TCP connection does not pay for the state of an HTTP one.
    match context.service.mode {
        Mode::Tcp => drop(tokio::task::spawn_local(async move {
            tcp::serve(client, peer, context).await;
            drop(admission);
        })),
        Mode::Http => drop(tokio::task::spawn_local(async move {
            http::serve(client, peer, context).await;
            drop(admission);
        })),
        Mode::Udp => debug_assert!(false, "a UDP service accepts no connections"),
    }
}

/// What an HTTP client is told when its service is full.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nContent-Length: 67\r\n\
    Connection: close\r\n\r\n503: the virtual service has reached its limit of open connections\n";

/// Tells a client that is over the limit so, and closes. What it has sent so far is read, so that the
/// close is a FIN and not a RST.
fn refuse(client: TcpStream, context: &Rc<ServiceContext>) {
    let counters = context.counters();
    let mut scratch = [0; 4096];
    // Errors mean that the client is gone or slow; either way we are done with it.
    counters.bytes_in.add(rustix::io::read(&client, &mut scratch).unwrap_or(0) as u64);
    if context.service.mode != Mode::Http {
        return;
    }
    let Ok(written) = rustix::io::write(&client, FULL) else { return };
    counters.bytes_out.add(written as u64);
    counters.response(503);
    if let Some(lingering) = Lingering::begin(context) {
        tokio::task::spawn_local(linger(client, lingering));
    }
}

/// A refused client that is heard out, as counted: uncounted when dropped.
struct Lingering(Rc<ServiceContext>);

impl Lingering {
    /// `None` when there are [`LINGERING_MAX`].
    fn begin(context: &Rc<ServiceContext>) -> Option<Self> {
        let count = context.lingering.get();
        (count < LINGERING_MAX).then(|| {
            context.lingering.set(count + 1);
            Self(Rc::clone(context))
        })
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        self.0.lingering.set(self.0.lingering.get() - 1);
    }
}

/// Reads what a refused client still sends.
async fn linger(client: TcpStream, lingering: Lingering) {
    let context = &lingering.0;
    hear_out(&client, &context.buffers, LINGER, |count| context.counters().bytes_in.add(count as u64)).await;
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn the_answer_of_a_full_service_is_as_long_as_it_says() {
        let text = std::str::from_utf8(FULL).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{text}");
    }

    /// The only service of a worker that does not run.
    fn context(text: &str) -> Rc<ServiceContext> {
        let config = crate::config::Config::parse("test.toml", text).unwrap();
        let groups: Groups =
            config.groups.iter().map(|group| Arc::new(SharedGroup::new(Arc::clone(group), 1))).collect();
        let service = SharedService::new(Arc::clone(&config.services[0]), config.services[0].listen, 1);
        let shared = Shared {
            services: vec![Arc::new(service)],
            groups: watch::channel(groups).0,
            drain: config.drain,
            workers: 1,
            log: None,
            shortage: Arc::default(),
        };
        let phase = watch::channel(Phase::Running).1;
        let worker =
            Worker { index: 0, listeners: Vec::new(), shared: Arc::new(shared), phase, adopted: mpsc::channel(1).0 };
        let groups: Vec<_> = worker.shared.groups().iter().map(|group| worker.own_view(group)).collect();
        worker.contexts(&groups, &Drain::default()).remove(0)
    }

    #[test]
    fn no_more_refused_clients_are_heard_out_than_the_bound_says_and_all_their_bytes_are_counted() {
        const CLIENTS: u64 = LINGERING_MAX as u64 + 6;
        let context = context(
            "[[virtual_service]]\nname = 'web'\nlisten = '127.0.0.1:0'\nmode = 'http'\ngroup = 'g'\n\
             [[group]]\nname = 'g'\nreal_servers = [{ name = 'r1', address = '127.0.0.1:1' }]\n",
        );
        let counters = context.counters();
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap();
        runtime.block_on(async {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let mut clients = Vec::new();
            for _ in 0..CLIENTS {
                let mut client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
                client.write_all(b"first").unwrap();
                clients.push(client);
                let accepted = listener.accept().unwrap().0;
                accepted.set_nonblocking(true).unwrap();
                // Without a turn of the event loop between them, in which the tasks could run.
                refuse(TcpStream::from_std(accepted).unwrap(), &context);
            }
            assert_eq!(context.lingering.get(), LINGERING_MAX);
            assert_eq!((counters.bytes_in.get(), counters.bytes_out.get()), (5 * CLIENTS, CLIENTS * FULL.len() as u64));
            for client in &mut clients[..LINGERING_MAX as usize] {
                client.write_all(b"more").unwrap();
            }
            drop(clients);
            let ended = async {
                while context.lingering.get() > 0 {
                    tokio::task::yield_now().await;
                }
            };
            timeout(10 * LINGER, ended).await.unwrap();
            assert_eq!(counters.bytes_in.get(), 5 * CLIENTS + 4 * u64::from(LINGERING_MAX));
        });
    }
}
