//! The testbed `netns`: namespaces for clients, DUT and servers, joined by veth pairs.
//!
//! They have no names and nobody holds them but this process and its roles: nothing of them is left, however a
//! run ends. `addresses` (in `scenario`) says who has which address, `script` what `ip` is told, `settings`
//! what else is set, `kernel` how the kernel of the DUT's namespace becomes the DUT. A second link leads round
//! the DUT, for trials without it.

mod command;
pub(super) mod kernel;
mod script;
mod settings;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Instant;

use host::interfaces::{Interfaces, State};
use host::namespace::Namespace;
use serde::Serialize;
use wire::frame::IpVersion;

use self::command::Once;
use self::script::{LINKS, Layout};
use super::Placement;
use super::error::TestbedError;
use crate::measure::Role;
use crate::measure::sample::LinkSample;
use crate::scenario::addresses::Addresses;
use crate::scenario::plan::{DutKind, Forwarding, LinksPlan, Network, TestbedPlan};

/// The log of what `ip` was told.
const LOG: &str = "network.log";

/// A testbed of namespaces.
#[derive(Debug)]
pub(super) struct Netns {
    clients: Side,
    dut: Side,
    servers: Side,
    links: LinksPlan,
    facts: Facts,
    warnings: Vec<String>,
}

/// One namespace and the links that end in it.
#[derive(Debug)]
struct Side {
    name: &'static str,
    namespace: Namespace,
    interfaces: Interfaces,
    links: &'static [&'static str],
}

/// What the network turned out to be, for `environment.json`.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Facts {
    /// Whether a user namespace was needed to make it.
    user_namespace: bool,
    /// How long it took.
    built_in_ms: u64,
    /// Who has which address.
    addresses: BTreeMap<&'static str, String>,
    /// Every end of a link.
    links: Vec<LinkFacts>,
    /// Sysctls, by namespace.
    sysctls: BTreeMap<&'static str, BTreeMap<String, String>>,
    /// Receive steering: mask of cores by link; empty = what arrives is received on the core of its sender.
    receive_steering: BTreeMap<String, String>,
    /// Why there is no receive steering although it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    no_receive_steering: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
struct LinkFacts {
    name: &'static str,
    namespace: &'static str,
    mac: String,
    mtu: Option<u32>,
    offloads: BTreeMap<String, bool>,
}

/// Lets an ordinary user make namespaces, if the plan needs them: to be called while this process has one
/// thread only.
///
/// # Errors
/// [`TestbedError::Namespaces`] where the kernel lets ordinary users have none.
pub fn prepare_privileges(plan: &TestbedPlan) -> Result<(), TestbedError> {
    if plan.network != Network::Netns || host::privilege::may_make_namespaces() {
        return Ok(());
    }
    host::privilege::enter_user_namespace().map_err(|source| TestbedError::Namespaces { source })
}

/// How network namespaces can be made here, without making one.
///
/// # Errors
/// What is in the way.
pub(super) fn possible() -> Result<&'static str, String> {
    if super::dut::find_program("ip").is_none() {
        return Err("the program ip is missing (package iproute2)".to_owned());
    }
    if host::privilege::may_make_namespaces() {
        return Ok("with privileges");
    }
    // Where a sysctl is not known, it is not in the way.
    let forbidding = [
        ("kernel.unprivileged_userns_clone", "0"),
        ("kernel.apparmor_restrict_unprivileged_userns", "1"),
        ("user.max_user_namespaces", "0"),
    ];
    let is_set = |(name, value): &&(&str, &str)| host::kernel::sysctl(name).as_deref() == Some(*value);
    match forbidding.iter().find(is_set) {
        Some((name, value)) => Err(format!("without privileges, and {name} = {value}")),
        None => Ok("in a user namespace"),
    }
}

impl Netns {
    /// Builds the network of a plan; `None` if its network is another one.
    pub(super) fn build(
        plan: &TestbedPlan,
        placement: &Placement,
        run_dir: &Path,
    ) -> Result<Option<Self>, TestbedError> {
        if plan.network != Network::Netns {
            return Ok(None);
        }
        let began = Instant::now();
        let addresses = Addresses(plan.links.ip_version);
        let forwarding = forwarding(&plan.dut.kind);
        let layout = Layout { addresses, mtu: plan.links.mtu, reflectors: plan.reflectors, forwarding };
        let log = run_dir.join(LOG);
        let mut this = Self::create(plan.links)?;
        this.set(forwarding)?;
        this.configure(&layout, &log)?;
        this.facts.addresses = named_addresses(&layout);
        this.offload();
        this.steer(placement);
        let sysctls = this.sides().map(|side| side.run(settings::read).map(|sysctls| (side.name, sysctls)));
        this.facts.sysctls = sysctls.into_iter().collect::<Result<_, _>>()?;
        this.facts.built_in_ms = began.elapsed().as_millis() as u64;
        match this.trouble() {
            Some(how) => Err(TestbedError::Network { how }),
            None => Ok(Some(this)),
        }
    }

    fn create(links: LinksPlan) -> Result<Self, TestbedError> {
        let side = |name, links| Side::create(name, links).map_err(|source| TestbedError::Namespaces { source });
        Ok(Self {
            clients: side("clients", LINKS[0])?,
            dut: side("dut", LINKS[1])?,
            servers: side("servers", LINKS[2])?,
            links,
            facts: Facts { user_namespace: host::privilege::in_user_namespace(), ..Facts::default() },
            warnings: Vec::new(),
        })
    }

    fn sides(&self) -> [&Side; 3] {
        [&self.clients, &self.dut, &self.servers]
    }

    /// Sets sysctls, before there are interfaces that inherit them.
    fn set(&mut self, forwarding: Option<Forwarding>) -> Result<(), TestbedError> {
        let version = self.links.ip_version;
        let mut warnings = Vec::new();
        for side in self.sides() {
            let mut wanted = settings::common(version);
            if side.name == self.dut.name {
                wanted.extend(forwarding.iter().flat_map(|forwarding| settings::of_kernel(*forwarding, version)));
            }
            let applied = side.run(|| settings::apply(&wanted))?;
            let refused =
                applied.map_err(|(name, source)| TestbedError::Sysctl { name, namespace: side.name, source })?;
            warnings.extend(refused.into_iter().map(|refused| format!("namespace {}: {refused}", side.name)));
        }
        self.warnings.extend(warnings);
        Ok(())
    }

    /// Makes links, addresses, routes and neighbours.
    fn configure(&self, layout: &Layout, log: &Path) -> Result<(), TestbedError> {
        let missing = || TestbedError::Missing { program: "ip".to_owned(), package: Some("iproute2".to_owned()) };
        let program = super::dut::find_program("ip").ok_or_else(missing)?;
        // A rule is of the version that the command line names, whatever its addresses are.
        let version = if self.links.ip_version == IpVersion::V4 { "-4" } else { "-6" };
        let words = [program.display().to_string(), version.to_owned(), "-batch".to_owned(), "-".to_owned()];
        let [clients, dut, servers] = self.sides();
        let paths = [dut, servers].map(|side| side.namespace.path());
        // All links are up before the first address: routes would otherwise be there and lead nowhere.
        let steps = [
            (clients, layout.links_of_clients(&paths[0], &paths[1])),
            (dut, layout.links_of_dut(&paths[1])),
            (servers, layout.links_of_servers()),
            (servers, layout.servers_side()),
            (dut, layout.dut()),
            (clients, layout.clients()),
        ];
        for (side, input) in steps.iter().filter(|(_, input)| !input.is_empty()) {
            Once { namespace: &side.namespace, words: &words, input, log }.run()?;
        }
        Ok(())
    }

    /// Switches offloads off where the plan wants it, and notes what is on.
    fn offload(&mut self) {
        let mut links = Vec::new();
        let mut still_on = Vec::new();
        for side in self.sides() {
            for name in side.links {
                if !self.links.offloads {
                    settings::without_offloads(&side.interfaces, name);
                }
                let offloads = settings::offloads(&side.interfaces, name);
                let on = offloads.iter().filter(|(_, on)| **on && !self.links.offloads);
                still_on.extend(on.map(|(offload, _)| format!("{name}: {offload}")));
                let mtu = side.interfaces.mtu(name).ok();
                links.push(LinkFacts { name, namespace: side.name, mac: script::mac(name), mtu, offloads });
            }
        }
        self.facts.links = links;
        if !still_on.is_empty() {
            self.warnings.push(format!(
                "offloads could not be switched off ({}): frame rates may be too high",
                still_on.join(", ")
            ));
        }
    }

    /// Lets what arrives in a namespace be received on the cores of its role.
    fn steer(&mut self, placement: &Placement) {
        if !self.links.receive_steering {
            return;
        }
        let cores = [&placement.generator, &placement.dut, &placement.reflectors];
        let of_side = |(side, cores): (&Side, &Vec<usize>)| {
            let links: Vec<_> = side.links.iter().map(|link| (*link, cores.as_slice())).collect();
            settings::steer(&side.namespace, &links)
        };
        match self.sides().into_iter().zip(cores).map(of_side).collect::<io::Result<Vec<_>>>() {
            Ok(masks) => self.facts.receive_steering = masks.into_iter().flatten().collect(),
            Err(error) => {
                self.facts.no_receive_steering = Some(error.to_string());
                self.warnings.push(format!(
                    "receive steering could not be set ({error}): what arrives is received on the core of its sender, and \
                     the CPU time of a DUT that is a kernel is not known"
                ));
            }
        }
    }

    /// The namespace that a role lives in.
    pub(super) fn of(&self, role: Role) -> &Namespace {
        match role {
            Role::Generator => &self.clients.namespace,
            Role::Dut => &self.dut.namespace,
            Role::Reflector(_) => &self.servers.namespace,
        }
    }

    /// What the network turned out to be.
    pub(super) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// What is not as the plan wants it.
    pub(super) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Whether what arrives for the DUT is received on its own cores, so that their time is the DUT's.
    pub(super) fn steers_to_dut(&self) -> bool {
        self.facts.receive_steering.contains_key("d0")
    }

    /// What passed the clients' link to the DUT and the one round it so far, and the speed they stand for.
    pub(super) fn samples(&self) -> Vec<LinkSample> {
        let sample = |name: &&str| {
            let bits = self.clients.interfaces.counters(name)?.bits();
            Some(LinkSample { name: (*name).to_owned(), speed_bps: self.links.speed_bps, bits })
        };
        self.clients.links.iter().filter_map(sample).collect()
    }

    /// Frames that the interfaces of a role's side received and dropped so far, for example because the queue
    /// of its cores was full.
    pub(super) fn lost_on_the_way_in(&self, role: Role) -> u64 {
        let side = match role {
            Role::Generator => &self.clients,
            Role::Dut => &self.dut,
            Role::Reflector(_) => &self.servers,
        };
        side.links.iter().filter_map(|link| side.interfaces.counters(link)).map(|counters| counters.received_lost).sum()
    }

    /// The first interface that is not as it was built: somebody has taken it down or away.
    pub(super) fn trouble(&self) -> Option<String> {
        let of_side = |side: &Side| {
            let state = |name: &&'static str| (*name, side.name, side.interfaces.state(name));
            side.links.iter().map(state).collect::<Vec<_>>()
        };
        let states: Vec<_> = self.sides().into_iter().flat_map(of_side).collect();
        // The other end of a link that was taken down has no carrier: the cause is told before the effect.
        let down = states.iter().find(|(.., state)| !matches!(state, Ok(State::Running | State::NoCarrier)));
        let without = || states.iter().find(|(.., state)| !matches!(state, Ok(State::Running)));
        let (name, side, state) = down.or_else(without)?;
        let how = match state {
            Ok(State::NoCarrier) => "has no carrier".to_owned(),
            Ok(_) => "is down".to_owned(),
            Err(error) => format!("is gone ({error})"),
        };
        Some(format!("interface {name} of the testbed (namespace {side}) {how}"))
    }
}

impl Side {
    fn create(name: &'static str, links: &'static [&'static str]) -> io::Result<Self> {
        let namespace = Namespace::create()?;
        let interfaces = namespace.run(Interfaces::of_this_thread)??;
        Ok(Self { name, namespace, interfaces, links })
    }

    fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, TestbedError> {
        self.namespace.run(work).map_err(|source| TestbedError::Namespaces { source })
    }
}

/// How the kernel of the DUT's namespace is to forward.
fn forwarding(dut: &DutKind) -> Option<Forwarding> {
    match dut {
        DutKind::Kernel { forwarding, .. } => Some(*forwarding),
        _ => None,
    }
}

fn named_addresses(layout: &Layout) -> BTreeMap<&'static str, String> {
    let Layout { addresses, reflectors, .. } = layout;
    let last = reflectors.saturating_sub(1);
    BTreeMap::from([
        ("dut", addresses.dut().to_string()),
        ("dut_to_servers", addresses.dut_to_servers().to_string()),
        ("clients", addresses.client().to_string()),
        ("clients_networks", addresses.client_networks().join(", ")),
        ("servers", format!("{} to {}", addresses.server(0), addresses.server(last))),
        ("direct_clients", addresses.direct_client().to_string()),
        ("direct_servers", format!("{} to {}", addresses.direct_server(0), addresses.direct_server(last))),
    ])
}

#[cfg(test)]
mod tests;
