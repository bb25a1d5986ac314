//! Owns sockets and time and drives workloads.
//!
//! One pinned OS thread per worker with its own connections, timers, counters and histograms; they
//! share nothing but a flag that ends the trial early. Each worker sends one [`book::Interval`] per
//! second and hands over its [`book::Totals`] at the end.
//!
//! - [`socket`]: the worker's loop over kernel sockets.
//! - `transport`: what carries them: `epoll`, or `uring` if the plan asks for it.
//! - `connection`: the system calls on one connection.
//! - `slot`: what the loop knows of one connection.
//! - `timers`: deadlines, one queued entry per slot.
//! - [`book`]: what a worker counts.
//! - [`sources`]: which local addresses and ports connections come from.
//! - [`udp`]: the worker's loop over datagrams, which has no connections.

pub mod book;
mod connection;
mod epoll;
mod slot;
pub mod socket;
pub mod sources;
mod timers;
mod transport;
pub mod udp;
mod uring;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use host::namespace::Namespace;
use host::uring::Support;

use self::book::{Interval, Totals};
use self::epoll::Epoll;
use self::sources::Sources;
use self::transport::Transport;
use self::uring::Uring;
use crate::measure::record::TrialLoad;
use crate::scenario::plan::{Arrivals, CloseMode, Pattern, Phases, UdpPlan};
use crate::schedule::Shape;
use crate::workload::http::{Http, HttpConfig};
use crate::workload::tcp::Tcp;
use crate::workload::{Operation, Workload};

/// One trial as the engine sees it.
#[derive(Clone, Debug)]
pub struct Config {
    /// What carries the connections.
    pub carrier: Carrier,
    /// What is offered.
    pub load: TrialLoad,
    /// What one operation spans.
    pub operation: Operation,
    /// What an operation does.
    pub workload: WorkloadConfig,
    /// Where to; connections go to each in turn.
    pub services: Vec<SocketAddr>,
    /// Where from.
    pub sources: Sources,
    /// Cores of the workers, one worker each; never empty.
    pub cores: Vec<usize>,
    /// Slots of each worker.
    pub slots: u32,
    /// Lengths of the phases.
    pub phases: Phases,
    /// Shape of an open loop.
    pub pattern: Pattern,
    /// Arrival process of an open loop.
    pub arrivals: Arrivals,
    /// Fixes arrivals and nonces.
    pub seed: u64,
    /// See [`crate::scenario::plan::LoadPlan::max_lag`].
    pub max_lag: Duration,
    /// Limit of the handshake.
    pub connect_timeout: Duration,
    /// Limit of one response, and of a clean close.
    pub response_timeout: Duration,
    /// How long operations under way may finish.
    pub drain: Duration,
    /// New connections per second while held ones are opened.
    pub open_rate: f64,
    /// Pause between two transactions on a held connection.
    pub hold_interval: Duration,
    /// The namespace that the workers enter; `None` = they stay where they are.
    pub namespace: Option<Namespace>,
}

/// What carries the connections.
#[derive(Clone, Debug, Default)]
pub enum Carrier {
    /// Non-blocking sockets and epoll.
    #[default]
    Epoll,
    /// io_uring, as far as this kernel supports it; experimental.
    Uring(Support),
}

/// What an operation does.
#[derive(Clone, Debug)]
pub enum WorkloadConfig {
    /// No payload.
    Tcp(CloseMode),
    /// HTTP requests.
    Http(Box<HttpConfig>),
    /// Datagrams that come back.
    Udp(Box<UdpPlan>),
}

impl WorkloadConfig {
    /// Whether a held connection must answer requests to count as alive.
    pub fn proves_itself(&self) -> bool {
        matches!(self, Self::Http(_))
    }
}

impl Config {
    /// Most operations that fall due in sustain, unless the loop is closed: all held connections; of
    /// Poisson arrivals the mean and five standard deviations.
    pub fn planned(&self) -> Option<u64> {
        let from = self.phases.ramp_up;
        match self.load {
            TrialLoad::Closed(_) => None,
            TrialLoad::Held(connections) => Some(u64::from(connections)),
            TrialLoad::Rate(_) => self.shape().map(|shape| {
                let mean = shape.until(from + self.phases.sustain) - shape.until(from);
                let burst = self.burst();
                // Bursts come and go as a whole, so an edge of sustain may add one.
                let spread = if self.arrivals == Arrivals::Poisson { 5.0 * (mean * burst).sqrt() } else { burst - 1.0 };
                (mean + spread).ceil() as u64
            }),
        }
    }

    /// Operations that fall due at the same moment.
    fn burst(&self) -> f64 {
        match &self.workload {
            WorkloadConfig::Udp(plan) => f64::from(plan.burst.get()),
            WorkloadConfig::Tcp(_) | WorkloadConfig::Http(_) => 1.0,
        }
    }

    /// Operations that all workers together can have under way: slots, or for frames places of the windows.
    pub fn at_once(&self) -> u32 {
        let workers = self.cores.len() as u32;
        match &self.workload {
            WorkloadConfig::Udp(plan) => {
                udp::bounds::window(self, plan).saturating_mul(udp::bounds::busy_workers(workers, plan))
            }
            WorkloadConfig::Tcp(_) | WorkloadConfig::Http(_) => self.slots * workers,
        }
    }

    /// The open-loop load of the trial; for held connections the rate at which they are opened.
    pub fn shape(&self) -> Option<Shape> {
        match self.load {
            TrialLoad::Rate(rate) => Some(Shape::new(rate, self.pattern, self.phases)),
            TrialLoad::Closed(_) => None,
            TrialLoad::Held(connections) => {
                let none = Duration::ZERO;
                // Half an arrival short of the next one, so that rounding never adds or drops one.
                let sustain = Duration::from_secs_f64((f64::from(connections) - 0.5) / self.open_rate);
                Some(Shape::new(
                    self.open_rate,
                    Pattern::Flat,
                    Phases { init: none, ramp_up: none, sustain, ramp_down: none },
                ))
            }
        }
    }
}

/// Starts the workers of a trial that begins at `began_ns` on the monotonic clock.
///
/// # Errors
/// The kernel's reason when there is no descriptor or no thread to be had; workers that were started
/// already end by themselves.
pub fn spawn(
    config: &Config,
    began_ns: u64,
    end_early: &Arc<AtomicBool>,
    intervals: &Sender<Interval>,
) -> io::Result<Vec<JoinHandle<Totals>>> {
    let workers = config.cores.len() as u32;
    if let Some(namespace) = &config.namespace {
        // Tried here, where a refusal can be said.
        namespace.run(|| ())?;
    }
    let spawn_one = |worker| {
        let context = socket::Context {
            config: config.clone(),
            worker,
            workers,
            began_ns,
            end_early: Arc::clone(end_early),
            intervals: intervals.clone(),
        };
        let start = thread::Builder::new().name(format!("generator-{worker}"));
        if let WorkloadConfig::Udp(plan) = &config.workload {
            let sizes = udp::sizes(config, plan).map_err(io::Error::other)?;
            let (plan, events) = (plan.clone(), udp::events()?);
            return start.spawn(move || {
                enter_namespace(&context);
                udp::Worker::new(context, &plan, sizes, events).run()
            });
        }
        match &config.carrier {
            Carrier::Epoll => {
                let transport = Epoll::new()?;
                start.spawn(move || run(context, transport))
            }
            Carrier::Uring(support) => {
                let transport = Uring::new(&context, support).map_err(io::Error::other)?;
                start.spawn(move || run(context, transport))
            }
        }
    };
    let started: io::Result<Vec<_>> = (0..workers).map(spawn_one).collect();
    if started.is_err() {
        end_early.store(true, Ordering::Relaxed);
    }
    started
}

/// Sockets belong to the namespace in which they are made.
fn enter_namespace(context: &socket::Context) {
    if let Some(namespace) = &context.config.namespace {
        namespace.enter().expect("it was possible when the trial began, and to measure elsewhere would be wrong");
    }
}

fn run<T: Transport>(context: socket::Context, transport: T) -> Totals {
    enter_namespace(&context);
    match context.config.workload.clone() {
        WorkloadConfig::Tcp(close) => {
            let tcp = Tcp::new(context.config.operation, close);
            drive(context, transport, tcp)
        }
        // These have a loop of their own.
        WorkloadConfig::Udp(_) => Totals::default(),
        WorkloadConfig::Http(mut http) => {
            // Workers start their nonces far apart, so that no two ask for the same bytes.
            http.seed ^= u64::from(context.worker).wrapping_mul(wire::hash::GOLDEN);
            drive(context, transport, Http::new(*http))
        }
    }
}

fn drive<W: Workload, T: Transport>(context: socket::Context, transport: T, workload: W) -> Totals {
    socket::Worker::new(context, transport, workload).run()
}
