//! Starts the reflectors of a run and asks them, and remote ones, for their ledgers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use wire::control::{Command, Event};
use wire::frame::IpVersion;
use wire::ledger::Ledger;

use super::channel::{Channel, ChannelError};
use super::dut::READY_BOUND;
use super::error::TestbedError;
use super::placement::Placement;
use super::process::{Context, RoleProcess};
use crate::measure::Role;
use crate::scenario::addresses::Addresses;
use crate::scenario::plan::{Network, Plan, WorkloadKind};

/// How long a reflector may take to send its ledger.
const LEDGER_BOUND: Duration = Duration::from_secs(2);

/// How long a remote reflector may take to accept a control connection.
const CONNECT_BOUND: Duration = Duration::from_secs(2);

/// A reflector's control port counted from its service port, for those that a run did not start.
pub const CONTROL_PORT_OFFSET: u16 = 1;

/// A reflector of the run: a child process, or somewhere else.
pub(super) struct Reflector {
    pub(super) name: String,
    pub(super) address: SocketAddr,
    /// Where clients reach it without the DUT.
    pub(super) direct: SocketAddr,
    /// `None` for a remote one.
    pub(super) process: Option<RoleProcess>,
    /// The control connection of a remote one, if it has one.
    remote: Option<Channel>,
    /// Ledgers asked for that have not come yet: a late one must not pass for the next.
    outstanding: u32,
    /// The last ledger that came.
    last: Option<Ledger>,
    /// Why the last order failed, for as long as none succeeds.
    broken: Option<String>,
}

/// Starts the reflectors of a plan and connects to the remote ones; returns them with warnings.
pub(super) fn start(
    context: &Context<'_>,
    plan: &Plan,
    placement: &Placement,
) -> Result<(Vec<Reflector>, Vec<String>), TestbedError> {
    let mut warnings = Vec::new();
    let mut reflectors = Vec::new();
    for number in 0..plan.testbed.reflectors {
        let at = number as usize;
        let mut line = super::placed_arguments(&placement.reflector(at), None);
        line.extend(["reflector", "--"].map(str::to_owned));
        line.extend(arguments(plan, number));
        reflectors.push((name(number), RoleProcess::spawn(context, Role::Reflector(at), &line)?));
    }
    // They start side by side and are waited for afterwards.
    let mut started = Vec::new();
    for (name, mut process) in reflectors {
        let ready = process.ready(READY_BOUND)?;
        warnings.extend(ready.warnings.into_iter().map(|warning| format!("{}: {warning}", process.role().name())));
        let Some(&address) = ready.addresses.first() else {
            return Err(process.failed("it says that it serves no address".to_owned()));
        };
        // In namespaces it has two addresses; elsewhere the DUT and the clients meet it at the same one.
        let direct = ready.addresses.get(1).filter(|_| context.network.is_some()).copied().unwrap_or(address);
        let mut reflector = Reflector::new(name, address, Some(process), None);
        reflector.direct = direct;
        started.push(reflector);
    }
    for &address in &plan.testbed.remote_reflectors {
        let name = format!("r{}", started.len());
        let remote = connect(address);
        if let Err(error) = &remote {
            warnings.push(format!("reflector {address} gives no ledger ({error}): the books cannot be compared"));
        }
        started.push(Reflector::new(name, address, None, remote.ok()));
    }
    Ok((started, warnings))
}

/// The arguments of one reflector of a plan.
fn arguments(plan: &Plan, number: u32) -> Vec<String> {
    let mut line = ["--instance".to_owned(), name(number)].to_vec();
    let scheme = if matches!(plan.workload.kind, WorkloadKind::Udp(_)) { "udp://" } else { "" };
    for ip in listen_on(plan, number) {
        line.extend(["--listen".to_owned(), format!("{scheme}{}", SocketAddr::new(ip, 0))]);
    }
    line.extend(plan.testbed.reflector_arguments.iter().cloned());
    line
}

/// Where a reflector listens: on loopback; or in its namespace, towards the DUT and on the direct link.
fn listen_on(plan: &Plan, number: u32) -> Vec<IpAddr> {
    if plan.testbed.network == Network::Netns {
        let addresses = Addresses(plan.testbed.links.ip_version);
        return vec![addresses.server(number), addresses.direct_server(number)];
    }
    match &plan.workload.kind {
        WorkloadKind::Udp(udp) if udp.ip_version == IpVersion::V6 => vec![Ipv6Addr::LOCALHOST.into()],
        WorkloadKind::Udp(_) | WorkloadKind::Tcp | WorkloadKind::Http(_) => vec![Ipv4Addr::LOCALHOST.into()],
    }
}

fn name(number: u32) -> String {
    format!("r{number}")
}

/// Whether reflectors would take the plan's arguments.
pub(super) fn check(plan: &Plan) -> Result<(), TestbedError> {
    if plan.testbed.reflectors == 0 {
        return Ok(());
    }
    super::roles::check_reflector(&arguments(plan, 0)).map_err(|message| TestbedError::ReflectorArguments {
        found: plan.testbed.reflector_arguments.clone(),
        message,
    })
}

fn connect(address: SocketAddr) -> std::io::Result<Channel> {
    let port = address.port().saturating_add(CONTROL_PORT_OFFSET);
    let stream = TcpStream::connect_timeout(&SocketAddr::new(address.ip(), port), CONNECT_BOUND)?;
    stream.set_nodelay(true)?;
    let mut channel = Channel::new(stream);
    // Something else may listen there; a reflector greets with its ready line.
    match channel.receive::<Event>(CONNECT_BOUND) {
        Ok(Event::Ready { .. }) => Ok(channel),
        Ok(_) => Err(std::io::Error::other("not a reflector's control port")),
        Err(error) => Err(std::io::Error::other(error)),
    }
}

impl Reflector {
    fn new(name: String, address: SocketAddr, process: Option<RoleProcess>, remote: Option<Channel>) -> Self {
        Self { name, address, direct: address, process, remote, outstanding: 0, last: None, broken: None }
    }

    fn channel(&mut self) -> Option<&mut Channel> {
        match &mut self.process {
            Some(process) => Some(process.channel()),
            None => self.remote.as_mut(),
        }
    }

    /// Asks for a ledger, which [`Self::answer`] then waits for.
    pub(super) fn ask(&mut self, reset_peak: bool) {
        let Some(channel) = self.channel() else { return };
        match channel.send(&Command::Ledger { reset_peak }) {
            Ok(()) => self.outstanding += 1,
            Err(error) => self.broken = Some(error.to_string()),
        }
    }

    /// The answer to the last question.
    pub(super) fn answer(&mut self) -> Result<Ledger, String> {
        if self.channel().is_none() {
            return Err(format!("reflector {} has no control connection", self.address));
        }
        if let Err(error) = self.collect(LEDGER_BOUND) {
            return Err(format!("reflector {} sent no ledger: {error}", self.name));
        }
        if let Some(error) = self.broken.take() {
            return Err(format!("reflector {} sent no ledger: {error}", self.name));
        }
        self.last.clone().ok_or_else(|| format!("reflector {} was not asked for a ledger", self.name))
    }

    /// Takes the ledgers that have come, and asks for the next one; never waits.
    pub(super) fn refresh(&mut self) {
        // What is wrong with it is found out when its ledger is needed.
        let _ = self.collect(Duration::ZERO);
        if self.outstanding == 0 {
            self.ask(false);
        }
    }

    /// Lets some time pass; less if the reflector ends meanwhile.
    pub(super) fn pause(&mut self, time: Duration) {
        if let Some(channel) = self.channel() {
            let _ = super::channel::readable(channel.socket(), time);
        }
    }

    /// The last ledger that came.
    pub(super) fn last(&self) -> Option<&Ledger> {
        self.last.as_ref()
    }

    fn collect(&mut self, bound: Duration) -> Result<(), String> {
        let deadline = Instant::now() + bound;
        while self.outstanding > 0 {
            let Some(channel) = self.channel() else { return Ok(()) };
            match channel.receive::<Event>(deadline.saturating_duration_since(Instant::now())) {
                Ok(Event::Ledger { ledger }) => {
                    self.outstanding -= 1;
                    self.last = Some(*ledger);
                }
                Ok(Event::Failed { message }) => return Err(message),
                Ok(Event::Ready { .. }) => return Err("it said twice that it is ready".to_owned()),
                Err(ChannelError::Late(_)) => return Err(format!("no answer within {bound:?}")),
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use wire::frame::FrameSize;

    use super::*;
    use crate::scenario::mix::Mix;
    use crate::scenario::plan::{Tuples, UdpPlan};
    use crate::scenario::{Overrides, parse};

    #[test]
    fn reflectors_speak_what_the_workload_needs() {
        let text = "[testbed]\ndut = \"none\"\nreflectors = 1\n[workload]\nkind = \"http\"\n[load]\nunit = \
                    \"transactions/s\"\n[search]\nmethod = \"climb\"\n";
        let files = |_: &std::path::Path| Err(std::io::Error::from(std::io::ErrorKind::NotFound));
        let mut plan = parse("x.toml", text, &files, &Overrides::default()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(arguments(&plan, 0), ["--instance", "r0", "--listen", "127.0.0.1:0"]);
        for (ip_version, listen) in [(IpVersion::V4, "udp://127.0.0.1:0"), (IpVersion::V6, "udp://[::1]:0")] {
            plan.workload.kind = WorkloadKind::Udp(UdpPlan {
                ip_version,
                mix: Mix::Fixed { size: FrameSize::of_frame(128).unwrap() },
                streams: 1.try_into().unwrap(),
                tuples: Tuples::Sequential,
                burst: 1.try_into().unwrap(),
            });
            assert_eq!(arguments(&plan, 0)[3], listen);
            assert!(check(&plan).is_ok(), "{:?}", check(&plan));
        }
        // Over namespaces first towards the DUT, then on the direct link.
        plan.testbed.network = Network::Netns;
        let line = ["--instance", "r1", "--listen", "udp://198.19.1.3:0", "--listen", "udp://198.18.64.3:0"];
        assert_eq!(arguments(&plan, 1), line);
        assert!(check(&plan).is_ok(), "{:?}", check(&plan));
    }
}
