//! `[testbed]` and `[clients]`: who takes part, and whether traffic may go there.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::Path;

use wire::frame::IpVersion;
use wire::units::BitRate;

use super::addresses::Addresses;
use super::dut::{self, DutName, Resolve};
use super::error::{Origin, ScenarioError};
use super::file::ScenarioFile;
use super::overrides::Overrides;
use super::plan::{Dut, DutKind, LinksPlan, Network, TestbedPlan};
use super::profile::REFLECTORS;
use super::target::{Cidr, Scheme, parse_authority, parse_authority_or, permit};

const REFLECTORS_MAX: u32 = 250;
/// IPv6 asks for the least (RFC 8200, 5), the length of an IP packet for the most.
const MTU: RangeInclusive<u32> = 1_280..=65_535;
const DUT_WANTED: &str =
    "missing; expected a DUT file such as \"dut/reference-http.toml\", an address, or \"none\" (or --dut)";

/// Where connections to a loopback service come from when the scenario names nothing: 14 addresses,
/// so that ports in TIME_WAIT never run short (one lasts for 28,232 connections a second).
const LOOPBACK_SOURCES: &str = "127.0.2.0/28";

/// Everything a testbed is resolved from.
pub(super) struct TestbedInput<'a> {
    pub(super) file: &'a ScenarioFile,
    pub(super) overrides: &'a Overrides,
    /// Folder of the scenario; DUT files it names are looked for there.
    pub(super) folder: &'a Path,
    pub(super) origin: &'a Origin,
    pub(super) resolve: Resolve<'a>,
}

impl TestbedInput<'_> {
    /// The testbed, and the path that a DUT given as a URL had.
    pub(super) fn plan(&self) -> Result<(TestbedPlan, Option<String>), ScenarioError> {
        let written = &self.file.testbed;
        let allowed = self.networks("testbed.allow_targets", written.allow_targets.as_deref())?;
        let (mut dut, path) = self.dut(&allowed)?;
        let network = self.network(&dut)?;
        dut::require_network(&dut, network).map_err(|message| self.refuse_dut(message))?;
        if let Some(workload @ ("tcp" | "http" | "udp")) = self.file.workload.kind.as_deref() {
            dut::give_protocol(&mut dut, workload).map_err(|message| self.refuse_dut(message))?;
        }
        let links = self.links(network)?;
        let remote_reflectors = self.remote_reflectors(&allowed)?;
        let reflectors = self.reflectors(&dut, &remote_reflectors)?;
        let source_networks = self.source_networks(&dut, network, links.ip_version)?;
        let plan = TestbedPlan {
            network,
            links,
            dut,
            reflectors,
            remote_reflectors,
            reflector_arguments: written.reflector_arguments.clone().unwrap_or_default(),
            generator_cores: written.generator_cores.clone().unwrap_or_default(),
            allow_targets: written.allow_targets.clone().unwrap_or_default(),
            source_networks,
        };
        Ok((plan, path))
    }

    fn dut(&self, allowed: &[Cidr]) -> Result<(Dut, Option<String>), ScenarioError> {
        let refuse = |message: String| self.refuse_dut(message);
        let first = self.file.versus.as_ref().and_then(|versus| versus.duts.first());
        let name = match (&self.overrides.dut, &self.file.testbed.dut, first) {
            (_, Some(_), Some(_)) => {
                return Err(self.origin.error("testbed.dut", "[versus] names the DUTs; expected one of the two"));
            }
            (Some(given), ..) => given,
            (None, Some(written), None) | (None, None, Some(written)) => written,
            (None, None, None) => return Err(refuse(DUT_WANTED.to_owned())),
        };
        let (dut, path) = match DutName::parse(name, self.unstated()).map_err(refuse)? {
            DutName::None => (dut::none(), None),
            DutName::Address(target) => (dut::external(&target), target.path),
            DutName::Build(program) => (self.another_build(&program)?, None),
            DutName::File(file) if self.overrides.dut.is_some() => (dut::read(&file, " (--dut)", self.resolve)?, None),
            DutName::File(file) => {
                let named_by = format!(", the testbed.dut of {}", self.origin.document().name());
                (dut::read(&self.folder.join(file), &named_by, self.resolve)?, None)
            }
        };
        if let DutKind::External { address } = dut.kind {
            permit(address.ip(), allowed).map_err(refuse)?;
        }
        Ok((dut, path))
    }

    /// Another build of the scenario's own reference LB.
    fn another_build(&self, program: &Path) -> Result<Dut, ScenarioError> {
        let own =
            self.file.testbed.dut.as_deref().map(|name| DutName::parse(name, self.unstated())).and_then(Result::ok);
        let Some(DutName::File(file)) = own else {
            let message = "needs a scenario whose own testbed.dut is the file of a reference LB, for its configuration";
            return Err(self.refuse_dut(message.to_owned()));
        };
        let named_by = format!(", the testbed.dut of {}", self.origin.document().name());
        let reference = dut::read(&self.folder.join(file), &named_by, self.resolve)?;
        dut::another_build(program, reference).map_err(|message| self.refuse_dut(message))
    }

    /// The protocol of an address without one.
    fn unstated(&self) -> Scheme {
        if self.sends_frames() { Scheme::Udp } else { Scheme::Http }
    }

    fn refuse_dut(&self, message: String) -> ScenarioError {
        match &self.overrides.dut {
            Some(found) => ScenarioError::Option { option: "--dut", found: found.clone(), message },
            None => self.origin.error("testbed.dut", message),
        }
    }

    fn remote_reflectors(&self, allowed: &[Cidr]) -> Result<Vec<SocketAddr>, ScenarioError> {
        let read = |text: &String| {
            let refuse =
                |message: String| ScenarioError::Option { option: "--reflector", found: text.clone(), message };
            let port = if self.sends_frames() { None } else { Some(80) };
            let address = parse_authority_or(text, port)
                .ok_or_else(|| refuse("is not an address; expected ADDRESS:PORT such as 10.0.0.7:8080".to_owned()))?;
            permit(address.ip(), allowed).map_err(refuse)?;
            Ok(address)
        };
        self.overrides.reflectors.iter().map(read).collect()
    }

    fn reflectors(&self, dut: &Dut, remote: &[SocketAddr]) -> Result<u32, ScenarioError> {
        let key = "testbed.reflectors";
        // Nobody can tell a DUT that is already there about reflectors that start now.
        if matches!(dut.kind, DutKind::External { .. }) {
            return Ok(0);
        }
        let serves_alone = matches!(dut.kind, DutKind::Command { .. }) && !dut::mentions_reflectors(dut);
        let default = if serves_alone || !remote.is_empty() { 0 } else { REFLECTORS };
        let reflectors = self.file.testbed.reflectors.unwrap_or(default);
        if reflectors > REFLECTORS_MAX {
            return Err(self.origin.error(key, format!("{reflectors} is too many; expected 0 to {REFLECTORS_MAX}")));
        }
        if reflectors > 0 || !remote.is_empty() {
            return Ok(reflectors);
        }
        match &dut.kind {
            DutKind::None => Err(self
                .origin
                .error(key, "0 and no DUT leave nobody to connect to; expected 1 or more, or --reflector")),
            _ if dut::mentions_reflectors(dut) => Err(self.origin.error(
                key,
                format!(
                    "0, but the configuration of {} names reflectors; expected 1 or more, or --reflector",
                    dut.name
                ),
            )),
            _ => Ok(0),
        }
    }

    fn network(&self, dut: &Dut) -> Result<Network, ScenarioError> {
        let key = "testbed.network";
        let external = matches!(dut.kind, DutKind::External { .. });
        let remote = matches!(dut.kind, DutKind::External { address } if !address.ip().is_loopback());
        let needed = if remote { Network::External } else { Network::Loopback };
        let Some(written) = self.file.testbed.network.as_deref() else { return Ok(needed) };
        let built = [("loopback", Network::Loopback), ("netns", Network::Netns), ("external", Network::External)];
        let written = self.origin.choose(key, written, &built, &[])?;
        // `--dut` moves the testbed to where the DUT is, but not away from another option.
        let moves = self.overrides.dut.is_some() && self.overrides.network.is_none();
        match written {
            Network::Loopback if remote && !moves => {
                let message = format!("\"loopback\", but the DUT is at {}; expected \"external\"", dut.name);
                Err(self.origin.error(key, message))
            }
            Network::Netns if external && !moves => {
                let message = format!(
                    "\"netns\" makes namespaces that nobody outside can be reached from, but the DUT is at {}; \
                     expected a DUT file, \"none\", or network = \"external\"",
                    dut.name
                );
                Err(self.origin.error(key, message))
            }
            Network::Netns if !external => {
                self.refuse_remote_reflectors()?;
                Ok(Network::Netns)
            }
            Network::Loopback | Network::External if !remote => Ok(written),
            _ => Ok(needed),
        }
    }

    fn refuse_remote_reflectors(&self) -> Result<(), ScenarioError> {
        let Some(found) = self.overrides.reflectors.first() else { return Ok(()) };
        let message = "network = \"netns\" makes namespaces that nobody outside can be reached from; expected no \
                       --reflector, or another network";
        Err(ScenarioError::Option { option: "--reflector", found: found.clone(), message: message.to_owned() })
    }

    /// The links of a `netns` testbed; the defaults for any other.
    fn links(&self, network: Network) -> Result<LinksPlan, ScenarioError> {
        let key = "testbed.links";
        let Some(written) = &self.file.testbed.links else {
            return Ok(LinksPlan { offloads: !self.sends_frames(), ..LinksPlan::default() });
        };
        if network != Network::Netns {
            let message = format!("has no meaning for network = \"{}\"; it belongs to \"netns\"", network.name());
            return Err(self.origin.error(key, message));
        }
        let built = [("v4", IpVersion::V4), ("v6", IpVersion::V6)];
        let ip_version = self.origin.choose("testbed.links.ip", written.ip.as_deref().unwrap_or("v4"), &built, &[])?;
        let default = LinksPlan::default();
        let mtu = written.mtu.unwrap_or(default.mtu);
        if !MTU.contains(&mtu) {
            let message = format!("{mtu} is out of range; expected {} to {} bytes", MTU.start(), MTU.end());
            return Err(self.origin.error("testbed.links.mtu", message));
        }
        Ok(LinksPlan {
            ip_version,
            mtu,
            offloads: written.offloads.unwrap_or_else(|| !self.sends_frames()),
            receive_steering: written.receive_steering.unwrap_or(default.receive_steering),
            speed_bps: written.speed.map(BitRate::as_u64),
        })
    }

    /// Whether packet rates are the question: then nothing may fake them.
    fn sends_frames(&self) -> bool {
        self.file.workload.kind.as_deref() == Some("udp")
    }

    fn source_networks(&self, dut: &Dut, network: Network, version: IpVersion) -> Result<Vec<String>, ScenarioError> {
        let key = "clients.source_networks";
        let goes_to: IpAddr = match dut.kind {
            DutKind::External { address } => address.ip(),
            _ if network == Network::Netns => super::network::vip(network, version),
            _ => service_address(&dut.service),
        };
        let Some(written) = self.file.clients.source_networks.clone() else {
            let many = goes_to.is_ipv4() && goes_to.is_loopback();
            return Ok(match network {
                Network::Netns => vec![netns_sources(version).to_owned()],
                _ if many => vec![LOOPBACK_SOURCES.to_owned()],
                _ => Vec::new(),
            });
        };
        let networks = self.networks(key, Some(&written))?;
        for (text, cidr) in written.iter().zip(&networks) {
            if cidr.is_ipv4() != goes_to.is_ipv4() {
                let message = format!("{text:?} and the DUT at {goes_to} are of different IP versions");
                return Err(self.origin.error(key, message));
            }
            if cidr.is_loopback() != goes_to.is_loopback() {
                let message = format!("{text:?} cannot reach {goes_to}: one is on loopback, the other is not");
                return Err(self.origin.error(key, message));
            }
            let pools = Addresses(version).client_networks();
            let is_routed = |pool: &&str| Cidr::parse(pool).is_some_and(|pool| pool.covers(*cidr));
            if network == Network::Netns && !pools.iter().any(is_routed) {
                let message = format!("{text:?} is not routed to the clients; expected a part of {}", pools.join(", "));
                return Err(self.origin.error(key, message));
            }
        }
        Ok(written)
    }

    fn networks(&self, key: &str, texts: Option<&[String]>) -> Result<Vec<Cidr>, ScenarioError> {
        let read = |text: &String| {
            Cidr::parse(text).ok_or_else(|| {
                let message = format!("{text:?} is not a network; expected such as \"127.0.1.0/24\" or one address");
                self.origin.error(key, message)
            })
        };
        texts.unwrap_or_default().iter().map(read).collect()
    }
}

/// Where connections in a `netns` testbed come from when the scenario names nothing: 254 or 256 addresses of
/// those that are routed to the clients.
fn netns_sources(version: IpVersion) -> &'static str {
    match version {
        IpVersion::V4 => "198.18.2.0/24",
        IpVersion::V6 => "2001:2:0:2::/120",
    }
}

/// The address of a service whose port may still be open; loopback if there is no DUT.
fn service_address(service: &str) -> IpAddr {
    let authority = service.split_once("://").map_or(service, |(_, authority)| authority);
    let vip = super::network::vip(Network::Loopback, IpVersion::V4).to_string();
    parse_authority(&authority.trim_end_matches('/').replace("{port}", "1").replace("{vip}", &vip))
        .map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |address| address.ip())
}
