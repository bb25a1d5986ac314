//! DUT files and addresses to a [`Dut`].
//!
//! A DUT is named by a file (`dut/haproxy-http.toml`), by an address, or is `none`. The file's
//! template is read here too, so that a missing one is found before anything starts. Placeholders
//! are filled in later, by the testbed, when ports are known.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use wire::document::Document;

use super::error::{Origin, ScenarioError};
use super::file::{DutFile, ReadyFile};
use super::placeholder::uses;
use super::plan::{Dut, DutKind, Ready, Template};
use super::target::{Target, parse_authority};
use super::words::CoresFile;

/// How files are read: real ones by [`super::load()`], texts in tests.
pub(super) type Resolve<'a> = &'a dyn Fn(&Path) -> io::Result<String>;

const READY_WITHIN: Duration = Duration::from_secs(5);
const WORKERS_MAX: u32 = 1024;

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
    /// # Errors
    /// What is wrong and what is allowed.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
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
        let target = Target::parse(text);
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
    let authority = reference.service.split_once("://").map_or(reference.service.as_str(), |(_, authority)| authority);
    let ready = Ready { tcp: authority.trim_end_matches('/').to_owned(), within: READY_WITHIN };
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
    let named = |text: &str| ["reflectors", "name", "address"].iter().any(|word| uses(text, word));
    match &dut.kind {
        DutKind::Reference { .. } => true,
        DutKind::Command { start, config, .. } => {
            start.iter().any(|word| named(word)) || config.as_ref().is_some_and(|config| named(&config.text))
        }
        DutKind::Kernel { .. } | DutKind::External { .. } | DutKind::None => false,
    }
}

/// Whether clients in another namespace than the DUT can reach it.
///
/// # Errors
/// What is fixed to loopback, and what to write instead.
pub(super) fn require_reachable(dut: &Dut) -> Result<(), String> {
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
        DutKind::Reference { config, .. } | DutKind::Command { config: Some(config), .. } => {
            let fixed = ["127.0.0.1:{port}", "[::1]:{port}", "localhost:{port}"];
            let found = fixed.iter().find(|fixed| config.text.contains(**fixed));
            found.map_or(Ok(()), |found| Err(message(&config.path.display().to_string(), found)))
        }
        DutKind::Command { .. } | DutKind::Kernel { .. } | DutKind::External { .. } | DutKind::None => Ok(()),
    }
}

#[derive(Clone, Copy)]
enum KindWord {
    Reference,
    Command,
    External,
    None,
}

struct Reader<'a> {
    path: &'a Path,
    file: &'a DutFile,
    origin: &'a Origin,
    resolve: Resolve<'a>,
}

impl Reader<'_> {
    fn kind(&self) -> Result<(DutKind, String), ScenarioError> {
        let Some(word) = self.file.kind.as_deref() else {
            return Err(self
                .origin
                .error("kind", "missing; expected \"reference\", \"command\", \"external\" or \"none\""));
        };
        let built = [
            ("reference", KindWord::Reference),
            ("command", KindWord::Command),
            ("external", KindWord::External),
            ("none", KindWord::None),
        ];
        let kind = self.origin.choose("kind", word, &built, &[])?;
        self.refuse_foreign_keys(word)?;
        match kind {
            KindWord::Reference => self.reference(),
            KindWord::Command => self.command(),
            KindWord::External => self.external(),
            KindWord::None => Ok((DutKind::None, String::new())),
        }
    }

    /// Keys that mean nothing for a kind are refused: a silently ignored key is a wrong belief.
    fn refuse_foreign_keys(&self, kind: &str) -> Result<(), ScenarioError> {
        let file = self.file;
        let written: [(&str, bool, &[&str]); 9] = [
            ("service", file.service.is_some(), &["reference", "command", "external"]),
            ("config", file.config.is_some(), &["reference", "command"]),
            ("start", file.start.is_some(), &["command"]),
            ("ready", file.ready.is_some(), &["command"]),
            ("admin", file.admin.is_some(), &["command"]),
            ("package", file.package.is_some(), &["command"]),
            ("workers", file.workers.is_some(), &["reference", "command"]),
            ("cores", file.cores.is_some(), &["reference", "command"]),
            ("cpu_quota", file.cpu_quota.is_some(), &["reference", "command"]),
        ];
        match written.iter().find(|(_, written, kinds)| *written && !kinds.contains(&kind)) {
            Some((key, _, kinds)) => Err(self.origin.error(
                key,
                format!("has no meaning for kind = \"{kind}\"; it belongs to kind \"{}\"", kinds.join("\" or \"")),
            )),
            None => Ok(()),
        }
    }

    fn reference(&self) -> Result<(DutKind, String), ScenarioError> {
        let service = self.local_service()?;
        let Some(config) = self.template()? else {
            return Err(self.origin.error("config", "missing; expected the template of an lb configuration"));
        };
        self.require_port(&service, &[], Some(&config))?;
        Ok((DutKind::Reference { config, workers: self.workers()? }, service))
    }

    fn workers(&self) -> Result<NonZeroU32, ScenarioError> {
        let workers = self.file.workers.unwrap_or(1);
        NonZeroU32::new(workers).filter(|workers| workers.get() <= WORKERS_MAX).ok_or_else(|| {
            self.origin.error("workers", format!("{workers} is not a number of threads; expected 1 to {WORKERS_MAX}"))
        })
    }

    /// The workers of a program that is told how many; a number that it would not learn is refused.
    fn told_workers(&self, start: &[String], config: Option<&Template>) -> Result<Option<NonZeroU32>, ScenarioError> {
        let is_told = is_told("workers", start, config);
        if !is_told && self.file.workers.is_some() {
            let message = "neither start nor config uses {workers}: the program would not learn it";
            return Err(self.origin.error("workers", message));
        }
        is_told.then(|| self.workers()).transpose()
    }

    fn command(&self) -> Result<(DutKind, String), ScenarioError> {
        let service = self.local_service()?;
        let start = self.file.start.clone().unwrap_or_default();
        if start.first().is_none_or(String::is_empty) {
            let message = "missing; expected program and arguments: [\"haproxy\", \"-db\", \"-f\", \"{config}\"]";
            return Err(self.origin.error("start", message));
        }
        let config = self.template()?;
        if config.is_none() && start.iter().any(|word| uses(word, "config")) {
            return Err(self
                .origin
                .error("config", "missing, but start uses {config}; expected the template's file name"));
        }
        self.require_port(&service, &start, config.as_ref())?;
        let ready = self.ready(&service)?;
        let admin = self.admin()?;
        let workers = self.told_workers(&start, config.as_ref())?;
        let package = self.file.package.clone();
        Ok((DutKind::Command { start, config, ready, admin, package, workers }, service))
    }

    fn external(&self) -> Result<(DutKind, String), ScenarioError> {
        let Some(service) = self.file.service.as_deref() else {
            return Err(self.origin.error("service", "missing; expected the DUT's address: \"http://10.0.0.5:80\""));
        };
        let target = Target::parse(service).map_err(|message| self.origin.error("service", message))?;
        self.refuse_path(&target)?;
        Ok((DutKind::External { address: target.address }, target.service()))
    }

    /// The service of a DUT that the run starts: an address of this host, the port perhaps open.
    fn local_service(&self) -> Result<String, ScenarioError> {
        let service = self.file.service.as_deref().unwrap_or("http://{vip}:{port}");
        let target = Target::parse(&sample(service))
            .map_err(|_| self.origin.error("service", format!("{service:?} is not a service; {SERVICE_WANTED}")))?;
        self.refuse_path(&target)?;
        if !target.address.ip().is_loopback() {
            let message = format!(
                "{} is not on loopback, but the run starts this DUT on this host; {SERVICE_WANTED}",
                target.address.ip()
            );
            return Err(self.origin.error("service", message));
        }
        Ok(service.to_owned())
    }

    fn refuse_path(&self, target: &Target) -> Result<(), ScenarioError> {
        match &target.path {
            Some(path) => Err(self.origin.error(
                "service",
                format!("has a path {path:?}; the path belongs into workload.request of the scenario"),
            )),
            None => Ok(()),
        }
    }

    fn template(&self) -> Result<Option<Template>, ScenarioError> {
        let Some(name) = &self.file.config else { return Ok(None) };
        let path = self.path.parent().unwrap_or_else(|| Path::new("")).join(name);
        match (self.resolve)(&path) {
            Ok(text) => Ok(Some(Template { path, text })),
            Err(source) => {
                let hint = format!(", the config of {}", self.path.display());
                Err(ScenarioError::Unreadable { path, hint, source })
            }
        }
    }

    /// A port chosen by the run must reach the program, or it would listen somewhere else.
    fn require_port(&self, service: &str, start: &[String], config: Option<&Template>) -> Result<(), ScenarioError> {
        if uses(service, "port") && !is_told("port", start, config) {
            let message = "uses {port}, but neither start nor config does: the program would not learn its port";
            return Err(self.origin.error("service", message));
        }
        Ok(())
    }

    fn ready(&self, service: &str) -> Result<Ready, ScenarioError> {
        let ReadyFile { tcp, within } = self.file.ready.clone().unwrap_or_default();
        let authority = service.split_once("://").map_or(service, |(_, authority)| authority);
        let tcp = tcp.unwrap_or_else(|| authority.trim_end_matches('/').to_owned());
        let address = parse_authority(&sample(&tcp));
        if !address.is_some_and(|address: SocketAddr| address.ip().is_loopback()) {
            let message = format!("{tcp:?} is not an address of this host; expected such as \"{{vip}}:{{port}}\"");
            return Err(self.origin.error("ready.tcp", message));
        }
        let within = within.map_or(READY_WITHIN, |within| within.0);
        if within.is_zero() {
            return Err(self.origin.error("ready.within", "0s leaves no time to start; expected such as \"5s\""));
        }
        Ok(Ready { tcp, within })
    }

    fn admin(&self) -> Result<Option<(String, String)>, ScenarioError> {
        let Some(entries) = &self.file.admin else { return Ok(None) };
        let mut entries = entries.iter();
        match (entries.next(), entries.next()) {
            (Some((name, value)), None) => Ok(Some((name.clone(), value.clone()))),
            _ => Err(self
                .origin
                .error("admin", "expected one entry such as { haproxy_socket = \"{run}/haproxy.sock\" }")),
        }
    }
}

/// Whether a program's command line or configuration has a placeholder.
fn is_told(word: &str, start: &[String], config: Option<&Template>) -> bool {
    start.iter().any(|part| uses(part, word)) || config.is_some_and(|config| uses(&config.text, word))
}

/// A service or address with the placeholders that it may have filled in, to see whether it is one.
fn sample(text: &str) -> String {
    text.replace("{vip}", "127.0.0.1").replace("{port}", "1").replace("{admin}", "1")
}

const SERVICE_WANTED: &str = "expected \"http://{vip}:{port}\" or \"tcp://{vip}:{port}\"";
