//! DUT files and addresses to a [`Dut`].
//!
//! A DUT is named by a file (`dut/haproxy-http.toml`), by an address, or is `none`. The file's
//! template is read here too, so that a missing one is found before anything starts. Placeholders
//! are filled in later, by the testbed, when ports are known.

use std::io;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use wire::document::Document;

use super::error::{Origin, ScenarioError};
use super::file::DutFile;
use super::placeholder::uses;
use super::plan::{Dut, DutKind, Network, Ready, Template};
use super::target::{Scheme, Target};
use super::words::CoresFile;

mod kernel;
mod reader;

use reader::Reader;

/// How files are read: real ones by [`super::load()`], texts in tests.
pub(super) type Resolve<'a> = &'a dyn Fn(&Path) -> io::Result<String>;

const READY_WITHIN: Duration = Duration::from_secs(5);

/// How a DUT is named in a scenario or after `--dut`.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum DutName {
    None,
    File(PathBuf),
    Address(Target),
    /// The reference LB as another build of it.
    Build(PathBuf),
}

/// How another build of the reference LB is named: `reference:target/release/lb`.
pub(super) const BUILD: &str = "reference:";

impl DutName {
    /// Reads it; `unstated` is the protocol of an address without one.
    ///
    /// # Errors
    /// What is wrong and what is allowed.
    pub(super) fn parse(text: &str, unstated: Scheme) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self::None);
        }
        if text.ends_with(".toml") {
            return Ok(Self::File(PathBuf::from(text)));
        }
        if let Some(program) = text.strip_prefix(BUILD) {
            let named = if program.is_empty() { None } else { Some(Self::Build(PathBuf::from(program))) };
            return named.ok_or_else(|| format!("names no program; expected such as {BUILD}target/release/lb"));
        }
        let target = Target::parse(text, unstated);
        target.map(Self::Address).map_err(|message| {
            format!("{message}, a DUT file (*.toml), \"none\", or {BUILD}PROGRAM for another build of the reference LB")
        })
    }
}

/// No DUT: clients connect straight to the reflectors.
pub(super) fn none() -> Dut {
    let name = "none".to_owned();
    let (service, file_text) = (String::new(), String::new());
    Dut { name, kind: DutKind::None, service, cores: Vec::new(), cpu_quota: None, file_text }
}

/// A DUT of which only the address is known.
pub(super) fn external(target: &Target) -> Dut {
    Dut {
        name: target.address.to_string(),
        kind: DutKind::External { address: target.address },
        service: target.service(),
        cores: Vec::new(),
        cpu_quota: None,
        file_text: String::new(),
    }
}

/// Reads and checks a DUT file and its template; `named_by` says where its name comes from.
pub(super) fn read(path: &Path, named_by: &str, resolve: Resolve<'_>) -> Result<Dut, ScenarioError> {
    let text = resolve(path).map_err(|source| ScenarioError::Unreadable {
        path: path.to_owned(),
        hint: named_by.to_owned(),
        source,
    })?;
    let document = Document::new(path.display().to_string(), text);
    let file: DutFile = document.parse()?;
    let origin = Origin::new(document);
    let reader = Reader { path, file: &file, origin: &origin, resolve };
    let (kind, service) = reader.kind()?;
    let cpu_quota = file.cpu_quota;
    if cpu_quota.is_some_and(|quota| quota.as_ratio() == 0.0) {
        return Err(origin.error("cpu_quota", "0% leaves the DUT nothing; expected more than 0%, such as \"25%\""));
    }
    let name = path.file_stem().map_or_else(|| "dut".to_owned(), |stem| stem.to_string_lossy().into_owned());
    let cores = file.cores.clone().unwrap_or_default().0;
    Ok(Dut { name, kind, service, cores, cpu_quota, file_text: origin.document().text().to_owned() })
}

/// Another build of the reference LB, with the configuration of `reference`; started as any program is.
///
/// # Errors
/// What `reference` would have to be.
pub(super) fn another_build(program: &Path, reference: Dut) -> Result<Dut, String> {
    let DutKind::Reference { config, workers } = reference.kind else {
        return Err(format!(
            "needs a scenario whose own testbed.dut is a reference LB, for its configuration; {} is not",
            reference.name
        ));
    };
    let config = Template { text: with_workers(&config.text, workers), path: config.path };
    let name = config.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let start = vec![program.display().to_string(), "--config".to_owned(), "{config}".to_owned()];
    let file = DutFile {
        kind: Some("command".to_owned()),
        service: Some(reference.service.clone()),
        config: Some(name),
        start: Some(start.clone()),
        cores: Some(reference.cores.clone()).filter(|cores| !cores.is_empty()).map(CoresFile),
        cpu_quota: reference.cpu_quota,
        ..DutFile::default()
    };
    let ready = Ready { check: reader::own_service(&reference.service), within: READY_WITHIN };
    let stem = program.file_stem().unwrap_or_default().to_string_lossy();
    Ok(Dut {
        name: format!("{}-{stem}", reference.name),
        kind: DutKind::Command {
            start,
            config: Some(config),
            ready,
            admin: None,
            package: None,
            workers: Some(workers),
        },
        file_text: toml::to_string(&file).unwrap_or_default(),
        ..reference
    })
}

/// The configuration with this number of workers: a program alone is not told on its command line.
fn with_workers(config: &str, workers: NonZeroU32) -> String {
    let mut lines: Vec<String> = config.lines().map(str::to_owned).collect();
    let top = lines.iter().position(|line| line.trim_start().starts_with('[')).unwrap_or(lines.len());
    let written =
        lines[..top].iter().position(|line| line.split('=').next().is_some_and(|key| key.trim() == "workers"));
    let line = format!("workers = {workers}");
    match written {
        Some(at) => lines[at] = line,
        None => lines.insert(0, line),
    }
    lines.join("\n") + "\n"
}

/// Whether a DUT is told where the reflectors are: an external one and one that never mentions them
/// serves on its own.
pub(super) fn mentions_reflectors(dut: &Dut) -> bool {
    let named = |text: &str| ["reflectors", "index", "name", "address"].iter().any(|word| uses(text, word));
    match &dut.kind {
        // A kernel forwards to them, whatever its setup says.
        DutKind::Reference { .. } | DutKind::Kernel { .. } => true,
        DutKind::Command { start, config, .. } => {
            start.iter().any(|word| named(word)) || config.as_ref().is_some_and(|config| named(&config.text))
        }
        DutKind::External { .. } | DutKind::None => false,
    }
}

/// Whether clients in another namespace than the DUT can reach it.
///
/// # Errors
/// What is fixed to loopback, and what to write instead.
fn require_reachable(dut: &Dut) -> Result<(), String> {
    let message = |place: &str, found: &str| {
        format!(
            "{place} has {found:?}, which clients in another namespace cannot reach; expected {{vip}} for the address of \
             the DUT, or --network loopback"
        )
    };
    let is_fixed = |service: &str| !service.is_empty() && !uses(service, "vip");
    match &dut.kind {
        DutKind::Reference { .. } | DutKind::Command { .. } if is_fixed(&dut.service) => {
            Err(message(&format!("the service of {}", dut.name), &dut.service))
        }
        DutKind::Kernel { .. } if is_fixed(&dut.service) && !dut.service.ends_with(REFLECTORS) => {
            Err(message(&format!("the service of {}", dut.name), &dut.service))
        }
        DutKind::Reference { config, .. } | DutKind::Command { config: Some(config), .. } => {
            let fixed = ["127.0.0.1:{port}", "[::1]:{port}", "localhost:{port}"];
            let found = fixed.iter().find(|fixed| config.text.contains(**fixed));
            found.map_or(Ok(()), |found| Err(message(&config.path.display().to_string(), found)))
        }
        DutKind::Command { .. } | DutKind::Kernel { .. } | DutKind::External { .. } | DutKind::None => Ok(()),
    }
}

/// What clients connect to when a DUT only forwards: the reflectors themselves.
pub(super) const REFLECTORS: &str = "reflectors";

/// Whether a DUT can be on a network.
///
/// # Errors
/// What it needs, and the way there.
pub(super) fn require_network(dut: &Dut, network: Network) -> Result<(), String> {
    match (&dut.kind, network) {
        (_, Network::Netns) => require_reachable(dut),
        (DutKind::Kernel { .. }, _) => Err(format!(
            "{} is the kernel of a namespace, which network = \"{}\" has not; expected network = \"netns\" (or \
             --network netns)",
            dut.name,
            network.name()
        )),
        _ => Ok(()),
    }
}

/// Whether a DUT serves what a workload sends; a kernel forwards everything, and gets the protocol.
///
/// # Errors
/// What it serves, and what is sent.
pub(super) fn give_protocol(dut: &mut Dut, workload: &str) -> Result<(), String> {
    let Some((protocol, authority)) = dut.service.split_once("://") else { return Ok(()) };
    let (serves_frames, sends_frames) = (protocol == "udp", workload == "udp");
    if matches!(dut.kind, DutKind::Kernel { .. }) {
        dut.service = format!("{}://{authority}", if sends_frames { "udp" } else { "tcp" });
        return Ok(());
    }
    if serves_frames == sends_frames {
        return Ok(());
    }
    let wanted = if sends_frames { "udp://" } else { "http:// or tcp://" };
    Err(format!(
        "{} serves {protocol}://, but workload.kind = \"{workload}\"; expected a DUT whose service is {wanted}",
        dut.name
    ))
}
