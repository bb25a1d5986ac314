//! `[testbed]` and `[clients]`: who takes part, and whether traffic may go there.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use super::dut::{self, DutName, Resolve};
use super::error::{Origin, ScenarioError};
use super::file::ScenarioFile;
use super::overrides::Overrides;
use super::plan::{Dut, DutKind, Network, TestbedPlan};
use super::profile::REFLECTORS;
use super::target::{Cidr, parse_authority, permit};

const REFLECTORS_MAX: u32 = 250;
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
        let (dut, path) = self.dut(&allowed)?;
        let remote_reflectors = self.remote_reflectors(&allowed)?;
        let reflectors = self.reflectors(&dut, &remote_reflectors)?;
        let network = self.network(&dut)?;
        let source_networks = self.source_networks(&dut)?;
        let plan = TestbedPlan {
            network,
            links: super::plan::LinksPlan::default(),
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
        let (dut, path) = match DutName::parse(name).map_err(refuse)? {
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
        let own = self.file.testbed.dut.as_deref().map(DutName::parse).and_then(Result::ok);
        let Some(DutName::File(file)) = own else {
            let message = "needs a scenario whose own testbed.dut is the file of a reference LB, for its configuration";
            return Err(self.refuse_dut(message.to_owned()));
        };
        let named_by = format!(", the testbed.dut of {}", self.origin.document().name());
        let reference = dut::read(&self.folder.join(file), &named_by, self.resolve)?;
        dut::another_build(program, reference).map_err(|message| self.refuse_dut(message))
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
            let address = parse_authority(text)
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
        let remote = matches!(dut.kind, DutKind::External { address } if !address.ip().is_loopback());
        let needed = if remote { Network::External } else { Network::Loopback };
        let Some(written) = self.file.testbed.network.as_deref() else { return Ok(needed) };
        let built = [("loopback", Network::Loopback), ("external", Network::External)];
        let written = self.origin.choose("testbed.network", written, &built, &["netns"])?;
        if written == Network::Loopback && remote && self.overrides.dut.is_none() {
            let message = format!("\"loopback\", but the DUT is at {}; expected \"external\"", dut.name);
            return Err(self.origin.error("testbed.network", message));
        }
        // `--dut` moves the testbed to where the DUT is.
        Ok(if remote { Network::External } else { written })
    }

    fn source_networks(&self, dut: &Dut) -> Result<Vec<String>, ScenarioError> {
        let key = "clients.source_networks";
        let goes_to: IpAddr = match dut.kind {
            DutKind::External { address } => address.ip(),
            _ => service_address(&dut.service),
        };
        let Some(written) = self.file.clients.source_networks.clone() else {
            let many = goes_to.is_ipv4() && goes_to.is_loopback();
            return Ok(if many { vec![LOOPBACK_SOURCES.to_owned()] } else { Vec::new() });
        };
        let networks = self.networks(key, Some(&written))?;
        for (text, network) in written.iter().zip(&networks) {
            if network.is_ipv4() != goes_to.is_ipv4() {
                let message = format!("{text:?} and the DUT at {goes_to} are of different IP versions");
                return Err(self.origin.error(key, message));
            }
            if network.is_loopback() != goes_to.is_loopback() {
                let message = format!("{text:?} cannot reach {goes_to}: one is on loopback, the other is not");
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

/// The address of a service whose port may still be open; loopback if there is no DUT.
fn service_address(service: &str) -> IpAddr {
    let authority = service.split_once("://").map_or(service, |(_, authority)| authority);
    parse_authority(&authority.trim_end_matches('/').replace("{port}", "1"))
        .map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |address| address.ip())
}
