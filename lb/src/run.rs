//! Starting and stopping: [`start`] sets everything up on the calling thread, so that what cannot work
//! is an error there; then the workers run, and a control thread does checks and administration.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::{Builder, JoinHandle};

use tokio::sync::watch;

use crate::config::{Config, VirtualService};
use crate::group::SharedGroup;
use crate::service::SharedService;
use crate::worker::{Phase, Shared, Worker};

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
    /// A thread cannot be started.
    #[error("thread {name} cannot be started")]
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
    threads: Vec<JoinHandle<()>>,
}

/// Starts a load balancer; when this returns, it serves.
///
/// # Errors
/// [`StartError`] when an address is taken, the access log cannot be opened or a thread cannot be started.
pub fn start(config: Config) -> Result<Lb, StartError> {
    let mut warnings = config.warnings();
    host::kernel::raise_descriptor_limit();
    let cores = if config.cores.is_empty() { host::cpu::allowed_cores() } else { config.cores.clone() };
    let workers = config.workers.map_or_else(|| host::cpu::allowed_cores().len(), |workers| workers.get() as usize);
    let (services, listeners) = listen_all(&config, workers)?;
    let groups: Vec<_> =
        config.groups.iter().map(|group| Arc::new(SharedGroup::new(Arc::clone(group), workers))).collect();
    let shared = Arc::new(Shared {
        services,
        groups,
        drain: config.drain,
        workers,
        log: None,
        shortage_logged_ns: AtomicU64::new(0),
        shortages: AtomicU64::new(0),
    });
    let (phase, _) = watch::channel(Phase::Running);
    let mut lb = Lb {
        addresses: shared.services.iter().map(|service| service.address).collect(),
        admin: None,
        warnings: Vec::new(),
        phase,
        threads: Vec::new(),
    };
    let (pinned, results) = std::sync::mpsc::channel();
    for (index, listeners) in listeners.into_iter().enumerate() {
        let core = cores[index % cores.len()];
        let worker = Worker { index, listeners, shared: Arc::clone(&shared), phase: lb.phase.subscribe() };
        let pinned = pinned.clone();
        lb.spawn(format!("lb-worker-{index}"), move || {
            // A closed channel means that `start` has failed meanwhile.
            let _ = pinned.send(host::cpu::pin_current_thread(&[core]).map_err(|error| (index, core, error)));
            drop(pinned);
            if let Err(error) = worker.run() {
                tracing::error!(worker = index, %error, "worker cannot run");
            }
        })?;
    }
    drop(pinned);
    for (index, core, error) in results.into_iter().filter_map(Result::err) {
        warnings.push(format!("worker {index} could not be pinned to core {core}: {error}; it runs unpinned"));
    }
    lb.warnings = warnings;
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

    /// Waits until all workers have ended, which they do only after [`Self::drain`].
    pub fn wait(mut self) {
        self.join();
    }

    fn join(&mut self) {
        for thread in self.threads.drain(..) {
            // A thread that panicked has already said so.
            let _ = thread.join();
        }
    }

    fn spawn(&mut self, name: String, body: impl FnOnce() + Send + 'static) -> Result<(), StartError> {
        let thread =
            Builder::new().name(name.clone()).spawn(body).map_err(|source| StartError::Thread { name, source })?;
        self.threads.push(thread);
        Ok(())
    }
}

impl Drop for Lb {
    fn drop(&mut self) {
        self.phase.send_replace(Phase::Ended);
        self.join();
    }
}

/// The listeners of one worker, one per virtual service.
type Listeners = Vec<TcpListener>;

/// Opens every listener, `workers` per service; returns the services as they listen now, and the
/// listeners by worker.
fn listen_all(config: &Config, workers: usize) -> Result<(Vec<Arc<SharedService>>, Vec<Listeners>), StartError> {
    let mut services = Vec::new();
    let mut by_worker: Vec<Listeners> = (0..workers).map(|_| Vec::new()).collect();
    for service in &config.services {
        let error = |source| StartError::Listen { service: service.name.clone(), address: service.listen, source };
        let listeners = listen(service, workers).map_err(error)?;
        let address = listeners[0].local_addr().map_err(error)?;
        services.push(Arc::new(SharedService::new(Arc::clone(service), address, workers)));
        for (own, listener) in by_worker.iter_mut().zip(listeners) {
            own.push(listener);
        }
    }
    Ok((services, by_worker))
}

fn listen(service: &VirtualService, workers: usize) -> io::Result<Vec<TcpListener>> {
    if workers == 1 {
        return Ok(vec![host::socket::listen(service.listen, false)?]);
    }
    // A shared port would be shared with another load balancer of the same user as well, silently:
    // first see whether it is free for us alone.
    if service.listen.port() != 0 {
        drop(host::socket::listen(service.listen, false)?);
    }
    let first = host::socket::listen(service.listen, true)?;
    let address = first.local_addr()?;
    let mut listeners = vec![first];
    while listeners.len() < workers {
        listeners.push(host::socket::listen(address, true)?);
    }
    Ok(listeners)
}
