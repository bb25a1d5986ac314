//! Starts, pins, samples and stops the DUT and the reflectors.
//!
//! Only this module starts processes. Each role is a child process of its own with a control channel
//! at file descriptor 0: it says when it is ready, gives its ledger, and ends when the channel does, so
//! nothing outlives the run. What the samples mean is decided elsewhere.
//!
//! - [`roles`]: what a child process does (the hidden subcommand `loadgen role`).
//! - `exec`: the supervisor of a program that is not ours.
//! - `process`, `channel`: a child and its control channel, seen from the parent.
//! - `dut`, `template`, `reflectors`: how they are started; `cgroup`: the DUT's CPU quota.
//! - `netns`: namespaces for clients, DUT and servers.
//! - [`placement`]: which cores; `sampler`: what they use.
//! - [`ports`]: whether a plan has enough local ports; [`mod@doctor`], [`mod@environment`]: the host.

mod cgroup;
mod channel;
pub mod doctor;
mod dut;
pub mod environment;
pub mod error;
mod exec;
mod netns;
pub mod placement;
pub mod ports;
mod process;
mod reflectors;
pub mod roles;
mod sampler;
mod template;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use host::namespace::Namespace;
pub use host::process::Signal;
use wire::ledger::Ledger;

pub use doctor::{Finding, doctor};
pub use environment::{Environment, environment};
pub use error::TestbedError;
pub use netns::prepare_privileges;
pub use placement::Placement;
pub use ports::{PortBudget, PortDemand, PortSysctls, port_budget};
pub use reflectors::CONTROL_PORT_OFFSET;
pub use roles::{RoleArgs, role_main};
pub use template::check as check_dut;

use crate::interrupt::Interrupt;
use crate::measure::sample::LinkSample;
use crate::measure::{Role, Sample};
use crate::scenario::Plan;
use crate::scenario::plan::DutKind;
use dut::StartedDut;
use netns::Netns;
use process::{Context, Launcher, RoleProcess};
use reflectors::Reflector;
use sampler::{Family, RoleSampler};

/// How long a reflector may take to end after a stop.
const STOP_BOUND: Duration = Duration::from_secs(2);

/// How often [`Testbed::wait_idle`] asks the reflectors.
const IDLE_TICK: Duration = Duration::from_millis(5);

/// A running testbed. Dropping it without [`Testbed::stop`] kills what it started.
pub struct Testbed {
    // Fields are dropped in this order: the DUT before the reflectors, the launcher last.
    dut: Option<StartedDut>,
    /// The services of a DUT that is a kernel.
    kernel: Option<Vec<SocketAddr>>,
    reflectors: Vec<Reflector>,
    /// The reflectors as clients reach them without the DUT.
    addresses: Vec<SocketAddr>,
    network: Option<Netns>,
    external: Option<SocketAddr>,
    placement: Placement,
    samplers: Vec<RoleSampler>,
    /// Interfaces to the DUT or reflectors that are not on this host.
    links: Vec<String>,
    warnings: Vec<String>,
    _launcher: Launcher,
}

/// What came of stopping a testbed.
#[derive(Debug, Default)]
pub struct StopReport {
    /// The last ledger of each reflector, or why there is none.
    pub ledgers: Vec<Result<Ledger, String>>,
    /// The roles that had to be killed or had ended before, and how.
    pub unclean: Vec<(Role, String)>,
}

/// Starts the reflectors, then the DUT, and waits until all of them serve. Logs and filled-in
/// configurations go to `run_dir`; `executable` has the roles: `/proc/self/exe`, or in tests the
/// program under test.
///
/// # Errors
/// [`TestbedError`] when this host cannot run the plan's testbed; nothing is left running.
pub fn start(plan: &Plan, run_dir: &Path, executable: &Path, interrupt: &Interrupt) -> Result<Testbed, TestbedError> {
    let whole = plan;
    let plan = &plan.testbed;
    let placement = Placement::choose(&host::cpu::allowed_cores(), plan)?;
    fs::create_dir_all(run_dir).map_err(|source| TestbedError::Write { path: run_dir.to_path_buf(), source })?;
    let launcher = Launcher::start().map_err(|source| TestbedError::Spawn {
        role: "launcher".to_owned(),
        program: executable.to_path_buf(),
        source,
    })?;
    let network = Netns::build(plan, &placement, run_dir)?;
    let context = Context { launcher: &launcher, network: network.as_ref(), executable, run_dir, interrupt };
    let mut warnings = placement.warnings.clone();
    warnings.extend(network.iter().flat_map(Netns::warnings).cloned());
    let (reflectors, said) = reflectors::start(&context, whole, &placement)?;
    warnings.extend(said);
    let named: Vec<_> = reflectors.iter().map(|reflector| (reflector.name.clone(), reflector.address)).collect();
    let namespace = |role| network.as_ref().map(|network: &Netns| network.of(role));
    let (own, clients) = (namespace(Role::Dut), namespace(Role::Generator));
    let place = dut::Place { cores: &placement.dut, vip: plan.vip(), namespace: own, clients };
    let dut = dut::start(&context, &plan.dut, &place, &named)?;
    warnings.extend(dut.iter().flat_map(|dut| &dut.warnings).map(|warning| format!("dut: {warning}")));
    let external = match plan.dut.kind {
        DutKind::External { address } => Some(address),
        _ => None,
    };
    let kernel = netns::kernel::start(&context, &plan.dut, &place, &named)?;
    let mut samplers = samplers(plan, &placement, &reflectors, dut.as_ref());
    if kernel.is_some() {
        match kernel_sampler(&placement, network.as_ref()) {
            Ok(sampler) => samplers.insert(1, sampler),
            Err(why) => warnings.push(format!("dut: its CPU time is not recorded: {why}")),
        }
    }
    let addresses = reflectors.iter().map(|reflector| reflector.direct).collect();
    let links = links(external.iter().chain(&plan.remote_reflectors));
    Ok(Testbed {
        dut,
        kernel,
        reflectors,
        addresses,
        network,
        external,
        placement,
        samplers,
        links,
        warnings,
        _launcher: launcher,
    })
}

/// Whether what a plan says about the testbed can be understood, before anything is started.
///
/// # Errors
/// [`TestbedError`] with the place in the DUT's files, or the reflectors' arguments.
pub fn check(plan: &Plan) -> Result<(), TestbedError> {
    check_dut(&plan.testbed.dut)?;
    reflectors::check(plan)
}

/// Whether the program of a DUT is on this host.
///
/// # Errors
/// [`TestbedError::Missing`] naming it and its package.
pub fn require_program(dut: &crate::scenario::plan::Dut) -> Result<(), TestbedError> {
    match &dut.kind {
        DutKind::Command { start, package, .. } => dut::found_program(start, package.as_deref()).map(drop),
        DutKind::Kernel { setup, package, .. } => {
            setup.iter().try_for_each(|command| dut::found_program(command, package.as_deref()).map(drop))
        }
        DutKind::Reference { .. } | DutKind::External { .. } | DutKind::None => Ok(()),
    }
}

/// The interfaces that lead to some addresses, each once.
fn links<'a>(addresses: impl Iterator<Item = &'a SocketAddr>) -> Vec<String> {
    let mut names: Vec<String> = addresses.filter_map(|address| host::link::towards(address.ip())).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn link(name: &str) -> Option<LinkSample> {
    Some(LinkSample { name: name.to_owned(), speed_bps: host::link::speed_bps(name), bits: host::link::bits(name)? })
}

/// The arguments of `loadgen role` that place a role.
fn placed_arguments(cores: &[usize], group: Option<&Path>) -> Vec<String> {
    let mut line = Vec::new();
    if !cores.is_empty() {
        let cores: Vec<_> = cores.iter().map(usize::to_string).collect();
        line.extend(["--cores".to_owned(), cores.join(",")]);
    }
    if let Some(group) = group {
        line.extend(["--group".to_owned(), group.display().to_string()]);
    }
    line
}

fn samplers(
    plan: &crate::scenario::plan::TestbedPlan,
    placement: &Placement,
    reflectors: &[Reflector],
    dut: Option<&StartedDut>,
) -> Vec<RoleSampler> {
    // The generator's descendants are the other roles.
    let own = Family::Alone(std::process::id());
    let mut samplers = vec![RoleSampler::new(Role::Generator, placement.generator.clone(), None, own)];
    if let Some(dut) = dut {
        let pid = dut.process.pid();
        let is_foreign = matches!(plan.dut.kind, DutKind::Command { .. });
        let family = if is_foreign { Family::Supervised(pid) } else { Family::Whole(pid) };
        let quota = plan.dut.cpu_quota.map(wire::units::Percent::as_ratio);
        samplers.push(RoleSampler::new(Role::Dut, placement.dut.clone(), quota, family));
    }
    for (number, reflector) in reflectors.iter().enumerate() {
        if let Some(process) = &reflector.process {
            let family = Family::Whole(process.pid());
            let cores = placement.reflector(number);
            samplers.push(RoleSampler::new(Role::Reflector(number), cores, None, family));
        }
    }
    samplers
}

/// The CPU time of a DUT that is a kernel is that of the interrupts of its cores, if no other role uses them and
/// what arrives for it is received there.
fn kernel_sampler(placement: &Placement, network: Option<&Netns>) -> Result<RoleSampler, &'static str> {
    if !network.is_some_and(Netns::steers_to_dut) {
        return Err("without receive steering the kernel forwards on the cores of those who send");
    }
    if placement.dut.iter().any(|core| placement.generator.contains(core) || placement.reflectors.contains(core)) {
        return Err("it shares its cores with the tester");
    }
    Ok(RoleSampler::new(Role::Dut, placement.dut.clone(), None, Family::Kernel))
}

impl Testbed {
    /// Where clients connect: the DUT, or without one the reflectors.
    pub fn service(&self) -> Vec<SocketAddr> {
        if let Some(services) = &self.kernel {
            return services.clone();
        }
        let dut = self.dut.as_ref().map(|dut| dut.service).or(self.external);
        dut.map_or_else(|| self.addresses.clone(), |address| vec![address])
    }

    /// The reflectors, for a trial without the DUT; empty if there are none.
    pub fn reflectors(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The DUT's admin access, if it has one: kind (`lb` for the reference LB) and place.
    pub fn admin(&self) -> Option<&(String, String)> {
        self.dut.as_ref()?.admin.as_ref()
    }

    /// The namespace that clients live in; `None` where it is this one.
    pub fn clients(&self) -> Option<&Namespace> {
        self.network.as_ref().map(|network| network.of(Role::Generator))
    }

    /// What the run has made of the network, for the environment; null where it is this host's own.
    pub fn network(&self) -> serde_json::Value {
        self.network
            .as_ref()
            .map_or_else(Default::default, |network| serde_json::to_value(network.facts()).unwrap_or_default())
    }

    /// How the network has come to differ from what the run has made, if it has: no trial after that would be
    /// one of the plan, and whoever changed it was not the DUT.
    pub fn network_trouble(&self) -> Option<String> {
        self.network.as_ref().and_then(Netns::trouble)
    }

    /// Which cores the roles run on.
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    /// What disturbs the measurement without preventing it.
    pub fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }

    /// The books of every reflector, in their order, or why there are none; at most 2 s for each.
    /// `reset_peak` lets the peak of open connections start again.
    pub fn ledgers(&mut self, reset_peak: bool) -> Vec<Result<Ledger, String>> {
        // All are asked before the first is waited for, so that the books are of nearly one moment.
        self.reflectors.iter_mut().for_each(|reflector| reflector.ask(reset_peak));
        self.reflectors.iter_mut().map(Reflector::answer).collect()
    }

    /// What every role uses now. Socket drops are those of the last ledger, at most about a second old, and what
    /// the interfaces of a role in a namespace of its own dropped on their way in: its kernel was too slow.
    pub fn sample(&mut self) -> Sample {
        self.reflectors.iter_mut().for_each(Reflector::refresh);
        let network = |role| self.network.as_ref().map_or(0, |network| network.lost_on_the_way_in(role));
        let drops = |role| match role {
            Role::Reflector(number) => {
                let queue = self.reflectors[number].last().map_or(0, |ledger| ledger.accept_queue_drops);
                // The reflectors share their side of the network; the first one answers for it.
                queue + if number == 0 { network(role) } else { 0 }
            }
            Role::Generator => network(role),
            Role::Dut => 0,
        };
        let throttled = |role| match (role, &self.dut) {
            (Role::Dut, Some(StartedDut { group: Some(group), .. })) => group.throttled(),
            (Role::Generator, _) => cgroup::own_throttled(),
            _ => 0,
        };
        let at_ns = host::clock::monotonic_ns();
        let sample = |sampler: &mut RoleSampler| sampler.sample(drops(sampler.role()), throttled(sampler.role()));
        let mut links: Vec<_> = self.links.iter().filter_map(|name| link(name)).collect();
        links.extend(self.network.iter().flat_map(Netns::samples));
        Sample {
            at_ns,
            roles: self.samplers.iter_mut().map(sample).collect(),
            cores: host::kernel::core_ticks(),
            links,
            memory_available_bytes: host::kernel::memory().0,
        }
    }

    /// The roles that have ended although nobody asked them to: how, and the last lines of their logs.
    pub fn failures(&mut self) -> Vec<(Role, String)> {
        let text = |process: &mut RoleProcess| {
            let how = process.failure()?;
            Some((process.role(), format!("{how}{}", process.log())))
        };
        let dut = self.dut.iter_mut().map(|dut| &mut dut.process);
        let reflectors = self.reflectors.iter_mut().filter_map(|reflector| reflector.process.as_mut());
        dut.chain(reflectors).filter_map(text).collect()
    }

    /// Waits until no reflector has an open connection, at most `bound`.
    pub fn wait_idle(&mut self, bound: Duration) -> bool {
        let deadline = Instant::now() + bound;
        loop {
            let busy = self.ledgers(false).into_iter().flatten().any(|ledger| ledger.open_now > 0);
            let left = deadline.saturating_duration_since(Instant::now());
            if !busy || left.is_zero() {
                return !busy;
            }
            // No ledger is outstanding, so this only paces the questions.
            self.reflectors.iter_mut().take(1).for_each(|first| first.pause(IDLE_TICK.min(left)));
        }
    }

    /// Sends a signal to the DUT: the program itself, not its supervisor. A DUT that the run has not
    /// started or that has ended gets none.
    pub fn signal_dut(&self, signal: Signal) {
        let sampler = self.samplers.iter().find(|sampler| sampler.role() == Role::Dut);
        if let Some(pid) = sampler.and_then(|sampler| sampler.family().program()) {
            // It may have ended by itself just now.
            let _ = host::process::signal(pid, signal);
        }
    }

    /// Takes the last ledgers, then stops the DUT, then the reflectors; each within a bound, after
    /// which it is killed.
    pub fn stop(mut self) -> StopReport {
        let mut report = StopReport { ledgers: self.ledgers(false), unclean: Vec::new() };
        if let Some(dut) = &mut self.dut
            && let Some(how) = dut.process.stop(exec::STOP_BOUND)
        {
            report.unclean.push((Role::Dut, how));
        }
        for process in self.reflectors.iter_mut().filter_map(|reflector| reflector.process.as_mut()) {
            if let Some(how) = process.stop(STOP_BOUND) {
                report.unclean.push((process.role(), how));
            }
        }
        report
    }
}
