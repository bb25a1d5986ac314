//! Starting and stopping: [`start`] sets everything up, on the calling thread or waiting for the one
//! that has to, so that what cannot work is an error there; then the workers run, and a control thread
//! does checks and administration.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use crate::config::{Config, Difference, Log};
use crate::control::{Control, ReloadError, ReloadRequest, Reloader};
use crate::group::SharedGroup;
use crate::listen::{Listeners, listen_all};
use crate::operate::access_log::{AccessLog, LogWriter};
use crate::service::connect::is_local;
use crate::worker::{Phase, Shared, Worker};

/// How long the end waits for the access log to be written.
const LOG_WAIT: Duration = Duration::from_secs(2);
/// Most reloads that wait for the one before.
const RELOADS_MAX: usize = 1;

/// Why the load balancer cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A virtual service cannot listen.
    #[error("virtual service {service:?} cannot listen on {address}{}", hint(source))]
    Listen {
        /// Its name.
        service: String,
        /// Its address.
        address: SocketAddr,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The admin server cannot listen.
    #[error("admin cannot listen on {address}{}", hint(source))]
    Admin {
        /// Its address.
        address: SocketAddr,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The access log cannot be opened.
    #[error("the access log {path} cannot be opened for appending")]
    Log {
        /// The file.
        path: String,
        /// The kernel's reason.
        source: io::Error,
    },
    /// A thread cannot be started, or cannot set up what it needs.
    #[error("thread {name} cannot be started{}", hint(source))]
    Thread {
        /// Its name.
        name: String,
        /// The kernel's reason.
        source: io::Error,
    },
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "; another program listens there: stop it or choose another port",
        io::ErrorKind::PermissionDenied => "; ports below 1024 need privileges: choose another port",
        io::ErrorKind::AddrNotAvailable => "; this machine does not have that address",
        _ if is_local(error) => "; this machine has run out of something: see ulimit -n",
        _ => "",
    }
}

/// A running load balancer. Dropping it closes everything at once.
#[derive(Debug)]
pub struct Lb {
    addresses: Vec<SocketAddr>,
    admin: Option<SocketAddr>,
    warnings: Vec<String>,
    phase: watch::Sender<Phase>,
    reloads: mpsc::Sender<ReloadRequest>,
    workers: Vec<JoinHandle<()>>,
    /// Health checks and administration; it outlives the workers.
    control: Vec<JoinHandle<()>>,
    /// The writer of the access log, which outlives all others.
    log: Option<LogThread>,
}

/// The thread that writes the access log.
#[derive(Debug)]
struct LogThread {
    thread: JoinHandle<()>,
    /// Disconnected when the thread has written everything.
    done: Receiver<()>,
}

/// Starts a load balancer; when this returns, it serves.
///
/// # Errors
/// [`StartError`] when an address is taken, the access log cannot be opened or a thread cannot be
/// started or set up.
pub fn start(config: Config) -> Result<Lb, StartError> {
    host::kernel::raise_descriptor_limit();
    let cores = host::cpu::allowed_cores().len();
    let config = config.resolved(cores);
    let workers = config.workers.map_or(1, |workers| workers.get() as usize);
    let (services, listeners) = listen_all(&config, workers)?;
    let admin = config.admin.map(listen_admin).transpose()?;
    let (log, writer) = config.log.as_ref().map(open_log).transpose()?.unzip();
    let groups = config.groups.iter().map(|group| Arc::new(SharedGroup::new(Arc::clone(group), workers))).collect();
    let groups = watch::channel(groups).0;
    let (reloads, requests) = mpsc::channel(RELOADS_MAX);
    let shared = Arc::new(Shared { services, groups, drain: config.drain, workers, log, shortage: Arc::default() });
    let mut lb = Lb {
        addresses: shared.services.iter().map(|service| service.address).collect(),
        admin: admin.as_ref().map(|(_, address)| *address),
        warnings: config.warnings(),
        phase: watch::channel(Phase::Running).0,
        reloads,
        workers: Vec::new(),
        control: Vec::new(),
        log: None,
    };
    lb.log = writer.map(start_log).transpose()?;
    let (adopted, adoptions) = mpsc::channel(workers);
    let phase = lb.phase.subscribe();
    let reloader = Reloader { running: config, cores, shared: Arc::clone(&shared), adoptions, phase };
    let admin = admin.map(|(listener, _)| listener);
    let control = Control { admin, reloader, requests };
    lb.start_threads(control, shared, adopted, listeners)?;
    Ok(lb)
}

impl Lb {
    /// Where the virtual services listen, in the order of the configuration.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.addresses.clone()
    }

    /// Where the admin server listens, if there is one.
    pub fn admin(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// What the operator should know: doubtful configuration, threads that could not be pinned.
    pub fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }

    /// Makes the running configuration the `wanted` one, as a whole or not at all, without closing or
    /// refusing a connection for it; returns what has changed when every worker goes by it.
    ///
    /// Servers that are added get work after their first good check, or at once without checks; those
    /// that are removed get no more from then on, and what runs on them goes on to its end.
    ///
    /// # Errors
    /// [`ReloadError`] when it asks for what a reload cannot change, or a drain has begun.
    pub async fn reload(&self, wanted: Config) -> Result<Difference, ReloadError> {
        let (answer, answered) = oneshot::channel();
        let request = ReloadRequest { wanted, answer };
        self.reloads.send(request).await.map_err(|_| ReloadError::Ending)?;
        answered.await.unwrap_or(Err(ReloadError::Ending))
    }

    /// Begins the drain: nothing more is accepted, what runs may finish within the configured bound,
    /// and is closed then. Returns at once; see [`Self::wait`].
    pub fn drain(&self) {
        self.phase.send_if_modified(|phase| {
            let running = *phase == Phase::Running;
            if running {
                *phase = Phase::Draining;
            }
            running
        });
    }

    /// Waits until all workers have ended, which they do only after [`Self::drain`], and then for
    /// the rest: checks, administration and the access log, which has 2 s to be written to its end.
    pub fn wait(mut self) {
        join(&mut self.workers);
        // Dropping it ends and joins the others.
    }

    /// Takes `control` and `shared`, so that they are gone before `self` is dropped when something fails:
    /// the writer of the access log, which is joined then, ends with the last handle of its queue.
    fn start_threads(
        &mut self,
        control: Control,
        shared: Arc<Shared>,
        adopted: mpsc::Sender<()>,
        listeners: Vec<Listeners>,
    ) -> Result<(), StartError> {
        let cores = control.reloader.running.cores.clone();
        let (thread, ready) = spawn("lb-control".to_owned(), |ready| control.run(ready))?;
        self.control.push(thread);
        ready.wait()?;
        self.start_workers(cores, listeners, &shared, &adopted)
    }

    fn start_workers(
        &mut self,
        cores: Vec<usize>,
        listeners: Vec<Listeners>,
        shared: &Arc<Shared>,
        adopted: &mpsc::Sender<()>,
    ) -> Result<(), StartError> {
        let cores = if cores.is_empty() { host::cpu::allowed_cores() } else { cores };
        let mut starting = Vec::new();
        for (index, listeners) in listeners.into_iter().enumerate() {
            let core = cores[index % cores.len()];
            let (shared, phase, adopted) = (Arc::clone(shared), self.phase.subscribe(), adopted.clone());
            let worker = Worker { index, listeners, shared, phase, adopted };
            let (thread, ready) = spawn(format!("lb-worker-{index}"), move |ready| {
                let pinned = host::cpu::pin_current_thread(&[core]);
                worker.run(|| ready(pinned.err()))
            })?;
            self.workers.push(thread);
            starting.push((core, ready));
        }
        for (index, (core, ready)) in starting.into_iter().enumerate() {
            if let Some(error) = ready.wait()? {
                let warning = format!("worker {index} could not be pinned to core {core}: {error}; it runs unpinned");
                self.warnings.push(warning);
            }
        }
        Ok(())
    }
}

impl Drop for Lb {
    fn drop(&mut self) {
        self.phase.send_replace(Phase::Ended);
        join(&mut self.workers);
        join(&mut self.control);
        if let Some(LogThread { thread, done }) = self.log.take() {
            // Says nothing when it takes longer: what blocks the log, a pipe that nobody reads, may be
            // where that would be said.
            if done.recv_timeout(LOG_WAIT) != Err(RecvTimeoutError::Timeout) {
                let _ = thread.join();
            }
        }
    }
}

fn join(threads: &mut Vec<JoinHandle<()>>) {
    for thread in threads.drain(..) {
        // A thread that panicked has already said so.
        let _ = thread.join();
    }
}

fn start_log(writer: LogWriter) -> Result<LogThread, StartError> {
    let (end, done) = channel();
    let body = || {
        writer.run();
        drop(end);
    };
    let name = "lb-log".to_owned();
    let thread = Builder::new().name(name.clone()).spawn(body);
    Ok(LogThread { thread: thread.map_err(|source| StartError::Thread { name, source })?, done })
}

/// A thread that is setting itself up.
struct Starting<T> {
    name: String,
    result: Receiver<io::Result<T>>,
}

impl<T> Starting<T> {
    /// Waits until the thread serves, or has failed to.
    fn wait(self) -> Result<T, StartError> {
        // A closed channel means that it panicked, and has said so.
        let result = self.result.recv().unwrap_or_else(|_| Err(io::Error::other("it panicked")));
        result.map_err(|source| StartError::Thread { name: self.name, source })
    }
}

/// What a thread calls once, when it has set itself up.
pub(crate) type Ready<T> = Box<dyn FnOnce(T)>;

/// Starts a thread whose body fails if it cannot set itself up.
fn spawn<T: Send + 'static>(
    name: String,
    body: impl FnOnce(Ready<T>) -> io::Result<()> + Send + 'static,
) -> Result<(JoinHandle<()>, Starting<T>), StartError> {
    let (sender, result) = channel();
    let run = move || {
        let ready = sender.clone();
        // Nobody listens any more when the start has failed elsewhere.
        let ran = body(Box::new(move |value| drop(ready.send(Ok(value)))));
        if let Err(error) = ran {
            let _ = sender.send(Err(error));
        }
    };
    match Builder::new().name(name.clone()).spawn(run) {
        Ok(thread) => Ok((thread, Starting { name, result })),
        Err(source) => Err(StartError::Thread { name, source }),
    }
}

fn listen_admin(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let error = |source| StartError::Admin { address, source };
    let listener = host::socket::listen(address, false).map_err(error)?;
    let address = listener.local_addr().map_err(error)?;
    Ok((listener, address))
}

fn open_log(log: &Log) -> Result<(AccessLog, LogWriter), StartError> {
    AccessLog::open(log).map_err(|source| {
        let path = log.path.as_ref().map_or_else(|| "stderr".to_owned(), |path| path.display().to_string());
        StartError::Log { path, source }
    })
}
