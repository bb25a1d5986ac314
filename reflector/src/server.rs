//! Listeners, threads, start and stop.
//!
//! [`start`] binds everything before it starts a thread, so that a taken port is an error and not a
//! thread's death. Each thread is a tokio `current_thread` runtime with its own listeners
//! (`SO_REUSEPORT`) and connections; they share the gate, the cap and two counters that only capped
//! or random reflectors touch. Datagrams have threads of their own, in `udp`. It prints nothing.

mod bind;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::Notify;
use wire::ledger::Ledger;

use crate::accept;
use crate::behaviour::Policy;
use crate::books::{Books, Gate, Library};
use crate::cap::Cap;
use crate::config::{Config, Kind};
use crate::udp;
use bind::{Bound, bind};

/// Why a reflector cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be bound.
    #[error("cannot listen on {address}: {source}{hint}", hint = bind_hint(source))]
    Bind {
        /// The address as configured.
        address: SocketAddr,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The configuration has no listener.
    #[error("no address to listen on; expected at least one listener")]
    NoListener,
    /// A thread cannot be started.
    #[error("cannot start thread {thread} of {threads}: {source}; fewer threads may help")]
    Thread {
        /// Number of the thread, from 1.
        thread: usize,
        /// How many were asked for.
        threads: usize,
        /// The kernel's reason.
        source: io::Error,
    },
}

fn bind_hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "; another program listens there (`ss -ltunp` shows which): stop it, or choose another port or port 0"
        }
        io::ErrorKind::AddrNotAvailable => "; no interface of this host has that address (`ip address` lists them)",
        io::ErrorKind::PermissionDenied => "; ports below 1024 need privileges: choose a higher one",
        _ => "",
    }
}

/// What all threads of one reflector share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) policy: Policy,
    pub(crate) cap: Option<Cap>,
    pub(crate) library: Library,
    /// Numbers of requests; touched only when an answer depends on them.
    numbers: AtomicU64,
    /// When the first measured request or connection came; 0 before. Touched only for stalls.
    first_ns: AtomicU64,
    stopping: AtomicBool,
    stop: Notify,
}

impl Shared {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            policy: Policy::new(config.defaults, config.seed),
            cap: config.rate_cap.map(Cap::new),
            library: Library {
                instance: config.instance.clone(),
                gate: Arc::new(Gate::new(config.connection_cap)),
                threads: (0..config.threads.get()).map(|_| Arc::default()).collect(),
                started_ns: host::clock::monotonic_ns(),
            },
            config,
            numbers: AtomicU64::new(0),
            first_ns: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            stop: Notify::new(),
        }
    }

    /// The next request's number, from 1.
    pub(crate) fn draw_number(&self) -> u64 {
        self.numbers.fetch_add(1, Relaxed) + 1
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Relaxed)
    }

    /// Resolves when the reflector is told to stop, at once if it has been.
    pub(crate) async fn stopped(&self) {
        let stop = self.stop.notified();
        if !self.is_stopping() {
            stop.await;
        }
    }

    /// How long an answer at `now_ns` has to be held back; a measured event starts the clock.
    pub(crate) fn stall_remaining(&self, now_ns: u64, measured: bool) -> Duration {
        let Some(stall) = self.config.stall else { return Duration::ZERO };
        let first_ns = match self.first_ns.load(Relaxed) {
            0 if measured => self.first_ns.compare_exchange(0, now_ns, Relaxed, Relaxed).err().unwrap_or(now_ns),
            first_ns => first_ns,
        };
        if first_ns == 0 {
            return Duration::ZERO;
        }
        stall.remaining(Duration::from_nanos(now_ns.saturating_sub(first_ns)))
    }
}

/// What one thread's connections share.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) books: Arc<Books>,
    pub(crate) early: EarlyReads,
}

/// Whether it pays to read from a connection as soon as it is accepted.
///
/// Under a burst the request is mostly there already, and answering at once saves a task and an
/// epoll entry; under an even load it mostly is not, and the read is a system call for nothing. So
/// success is remembered, and failure is tried again now and then. Only this thread writes.
#[derive(Debug, Default)]
pub(crate) struct EarlyReads(AtomicU64);

impl EarlyReads {
    const TRIES_AFTER_SUCCESS: u64 = 8;
    const PAUSE_AFTER_FAILURES: u64 = 32;

    /// Whether to try with the connection that has just come.
    pub(crate) fn pays(&self) -> bool {
        let misses = self.0.load(Relaxed);
        if misses >= Self::TRIES_AFTER_SUCCESS + Self::PAUSE_AFTER_FAILURES {
            // The next miss starts another pause, a success a whole series.
            self.0.store(Self::TRIES_AFTER_SUCCESS - 1, Relaxed);
            return true;
        }
        if misses >= Self::TRIES_AFTER_SUCCESS {
            self.0.store(misses + 1, Relaxed);
            return false;
        }
        true
    }

    /// Remembers how the try ended.
    pub(crate) fn tried(&self, found: bool) {
        self.0.store(if found { 0 } else { self.0.load(Relaxed) + 1 }, Relaxed);
    }
}

/// A running reflector. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct Reflector {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    addresses: Vec<SocketAddr>,
    warnings: Vec<String>,
    /// Second handles of all listeners, to read the kernel's drops.
    listeners: Mutex<Vec<TcpListener>>,
    /// Those who answer datagrams, if there are any.
    udp: Option<udp::Service>,
}

impl Reflector {
    /// The addresses it listens on, in the order of the configuration, with the real ports.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What went wrong without being an error: for example that a thread could not be pinned.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The books until now, over all threads; `reset_peak` starts the peak again from what is open.
    pub fn ledger(&self, reset_peak: bool) -> Ledger {
        self.merge(reset_peak, false)
    }

    /// Stops accepting, lets what is under way finish within `drain`, closes the rest, and returns
    /// the final books.
    pub fn stop(mut self) -> Ledger {
        let drops = self.drops();
        self.order_stop();
        for thread in self.threads.drain(..) {
            // A thread that panicked has written its books until then.
            let _ = thread.join();
        }
        if let Some(udp) = &mut self.udp {
            udp.join();
        }
        Ledger { accept_queue_drops: drops, ..self.merge(false, true) }
    }

    fn order_stop(&self) {
        self.shared.stopping.store(true, Relaxed);
        self.shared.stop.notify_waiters();
        // The threads' own handles are now the last ones: closing them frees the ports.
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).clear();
        if let Some(udp) = &self.udp {
            udp.order_stop();
        }
    }

    fn merge(&self, reset_peak: bool, closing: bool) -> Ledger {
        let ledger = self.shared.library.merge(host::clock::monotonic_ns(), reset_peak, closing);
        let udp = self.udp.as_ref().map(udp::Service::ledger).unwrap_or_default();
        Ledger { accept_queue_drops: self.drops(), udp, ..ledger }
    }

    fn drops(&self) -> u64 {
        let listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        // A kernel without SO_MEMINFO leaves the drops unknown, which the books cannot say but as 0.
        listeners.iter().filter_map(|listener| host::socket::drops(listener).ok()).map(u64::from).sum()
    }
}

impl Drop for Reflector {
    fn drop(&mut self) {
        self.order_stop();
    }
}

/// Binds all listeners, then starts the threads and waits until each serves.
///
/// # Errors
/// [`StartError`] when an address cannot be bound or a thread cannot be started.
pub fn start(config: Config) -> Result<Reflector, StartError> {
    if config.listeners.is_empty() {
        return Err(StartError::NoListener);
    }
    let threads = config.threads.get();
    let Bound { addresses, listeners: bound, datagrams } = bind(&config)?;
    let second_handles =
        bound.iter().flatten().map(|(listener, _)| listener.try_clone()).collect::<io::Result<Vec<_>>>();
    let listeners = second_handles.map_err(|source| StartError::Bind { address: addresses[0], source })?;
    let shared = Arc::new(Shared::new(config));
    let mut reflector = Reflector {
        shared: Arc::clone(&shared),
        threads: Vec::new(),
        addresses,
        warnings: Vec::new(),
        listeners: Mutex::new(listeners),
        udp: None,
    };
    if datagrams.iter().any(|sockets| !sockets.is_empty()) {
        let failed = |source| StartError::Thread { thread: 1, threads, source };
        let (service, warnings) = udp::start(&shared, datagrams).map_err(failed)?;
        reflector.udp = Some(service);
        reflector.warnings.extend(warnings);
    }
    let (ready, started) = mpsc::sync_channel(threads);
    for (index, listeners) in bound.into_iter().enumerate().filter(|(_, listeners)| !listeners.is_empty()) {
        let failed = |source| StartError::Thread { thread: index + 1, threads, source };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let worker = Arc::new(Worker {
            shared: Arc::clone(&shared),
            books: Arc::clone(&shared.library.threads[index]),
            early: EarlyReads::default(),
        });
        let ready = ready.clone();
        let name = format!("reflector-{index}");
        let body = move || run_thread(index, &runtime, &worker, listeners, ready);
        reflector.threads.push(std::thread::Builder::new().name(name).spawn(body).map_err(failed)?);
    }
    drop(ready);
    // Ends when every thread has reported, also if one died: then its sender is gone.
    for (index, report) in started {
        let warning = report.map_err(|source| StartError::Thread { thread: index + 1, threads, source })?;
        reflector.warnings.extend(warning);
    }
    Ok(reflector)
}

/// Number of a thread from 0, and its warning or why it cannot serve.
type Report = (usize, io::Result<Option<String>>);

fn run_thread(
    index: usize,
    runtime: &Runtime,
    worker: &Arc<Worker>,
    listeners: Vec<(TcpListener, Kind)>,
    ready: mpsc::SyncSender<Report>,
) {
    let warning = pin(index, &worker.shared.config.cores);
    runtime.block_on(async {
        let watched = listeners.into_iter().map(|(listener, kind)| Ok((accept::watch(listener)?, kind)));
        let watched = watched.collect::<io::Result<Vec<_>>>();
        let (listeners, report) = match watched {
            Ok(listeners) => (listeners, Ok(warning)),
            Err(error) => (Vec::new(), Err(error)),
        };
        // The starter is gone only if another thread has failed; then it has told this one to stop.
        let _ = ready.send((index, report));
        drop(ready);
        if index == 0 && worker.shared.cap.is_some() {
            let shared = Arc::clone(&worker.shared);
            tokio::spawn(async move {
                if let Some(cap) = &shared.cap {
                    cap.dispatch().await;
                }
            });
        }
        let accepting: Vec<_> = listeners
            .into_iter()
            .map(|(listener, kind)| tokio::spawn(accept::run(Arc::clone(worker), listener, kind)))
            .collect();
        for task in accepting {
            let _ = task.await;
        }
        drain(worker).await;
    });
}

/// Pins the current thread to the core that thread `index` is to have; the warning if it cannot be had.
pub(crate) fn pin(index: usize, cores: &[usize]) -> Option<String> {
    let core = *cores.get(index.checked_rem(cores.len())?)?;
    let refused = host::cpu::pin_current_thread(&[core]).err()?;
    let allowed = host::cpu::allowed_cores();
    Some(format!("thread {index} runs unpinned: core {core} was refused ({refused}); allowed are {allowed:?}"))
}

/// Waits until nothing is open, at most for the configured time. What is then left is closed when
/// the runtime drops its tasks.
async fn drain(worker: &Worker) {
    // Connections end on this very thread, so looking again soon costs nothing that matters.
    const LOOK_AGAIN: Duration = Duration::from_millis(2);
    let wait = async {
        while worker.books.open() > 0 {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    let _ = tokio::time::timeout(worker.shared.config.drain, wait).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn early_reads_pause_after_misses_and_resume_after_a_hit() {
        let early = EarlyReads::default();
        let tries = |found: bool, connections: usize| {
            let tried = (0..connections).filter(|_| early.pays().then(|| early.tried(found)).is_some());
            tried.count()
        };
        assert_eq!(tries(true, 100), 100);
        // Eight in a row, then one in thirty-three.
        assert_eq!(tries(false, 8 + 33 * 10), 18);
        assert!(tries(true, 100) >= 67);
        assert_eq!(tries(true, 100), 100);
    }
}
