//! The keys of a DUT file to how the DUT comes to be.
//!
//! Pure but for the template, which [`super::Resolve`] reads. A key that means nothing for a kind is
//! refused, and so is a port or a number of workers that the program would not learn.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::Path;

use super::{READY_WITHIN, Resolve};
use crate::scenario::error::{Origin, ScenarioError};
use crate::scenario::file::{DutFile, ReadyFile};
use crate::scenario::placeholder::uses;
use crate::scenario::plan::{DutKind, Ready, ReadyCheck, Template};
use crate::scenario::target::{Scheme, Target, parse_authority};

const WORKERS_MAX: u32 = 1024;

#[derive(Clone, Copy)]
enum KindWord {
    Reference,
    Command,
    Kernel,
    External,
    None,
}

/// A DUT file on its way to a [`DutKind`].
pub(super) struct Reader<'a> {
    pub(super) path: &'a Path,
    pub(super) file: &'a DutFile,
    pub(super) origin: &'a Origin,
    pub(super) resolve: Resolve<'a>,
}

impl Reader<'_> {
    /// How the DUT comes to be, and its service.
    pub(super) fn kind(&self) -> Result<(DutKind, String), ScenarioError> {
        let Some(word) = self.file.kind.as_deref() else {
            let message = "missing; expected \"reference\", \"command\", \"kernel\", \"external\" or \"none\"";
            return Err(self.origin.error("kind", message));
        };
        let built = [
            ("reference", KindWord::Reference),
            ("command", KindWord::Command),
            ("kernel", KindWord::Kernel),
            ("external", KindWord::External),
            ("none", KindWord::None),
        ];
        let kind = self.origin.choose("kind", word, &built, &[])?;
        self.refuse_foreign_keys(word)?;
        match kind {
            KindWord::Reference => self.reference(),
            KindWord::Command => self.command(),
            KindWord::Kernel => self.kernel(),
            KindWord::External => self.external(),
            KindWord::None => Ok((DutKind::None, String::new())),
        }
    }

    /// Keys that mean nothing for a kind are refused: a silently ignored key is a wrong belief.
    fn refuse_foreign_keys(&self, kind: &str) -> Result<(), ScenarioError> {
        let file = self.file;
        let started = &["reference", "command"];
        let written: [(&str, bool, &[&str]); 11] = [
            ("service", file.service.is_some(), &["reference", "command", "kernel", "external"]),
            ("config", file.config.is_some(), &["reference", "command", "kernel"]),
            ("start", file.start.is_some(), &["command"]),
            ("ready", file.ready.is_some(), &["command"]),
            ("admin", file.admin.is_some(), &["command"]),
            ("forwarding", file.forwarding.is_some(), &["kernel"]),
            ("setup", file.setup.is_some(), &["kernel"]),
            ("package", file.package.is_some(), &["command", "kernel"]),
            ("workers", file.workers.is_some(), started),
            ("cores", file.cores.is_some(), &["reference", "command", "kernel"]),
            ("cpu_quota", file.cpu_quota.is_some(), started),
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
        let target = Target::parse(service, Scheme::Http).map_err(|message| self.origin.error("service", message))?;
        self.refuse_path(&target)?;
        Ok((DutKind::External { address: target.address }, target.service()))
    }

    /// The service of a DUT that the run starts: an address of this host, the port perhaps open.
    pub(super) fn local_service(&self) -> Result<String, ScenarioError> {
        let service = self.file.service.as_deref().unwrap_or("http://{vip}:{port}");
        let target = Target::parse(&sample(service), Scheme::Http)
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

    pub(super) fn template(&self) -> Result<Option<Template>, ScenarioError> {
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
    pub(super) fn require_port(
        &self,
        service: &str,
        start: &[String],
        config: Option<&Template>,
    ) -> Result<(), ScenarioError> {
        if uses(service, "port") && !is_told("port", start, config) {
            let message = "uses {port}, but neither start nor config does: the program would not learn its port";
            return Err(self.origin.error("service", message));
        }
        Ok(())
    }

    fn ready(&self, service: &str) -> Result<Ready, ScenarioError> {
        let ReadyFile { tcp, udp, within } = self.file.ready.clone().unwrap_or_default();
        let check = match (tcp, udp) {
            (Some(_), Some(_)) => {
                return Err(self.origin.error("ready", "names both tcp and udp; expected one of the two"));
            }
            (Some(tcp), None) => ReadyCheck::Tcp(tcp),
            (None, Some(udp)) => ReadyCheck::Udp(udp),
            (None, None) => own_service(service),
        };
        let (key, text) = (check.key(), check.address());
        let address = parse_authority(&sample(text));
        if !address.is_some_and(|address: SocketAddr| address.ip().is_loopback()) {
            let message = format!("{text:?} is not an address of this host; expected such as \"{{vip}}:{{port}}\"");
            return Err(self.origin.error(key, message));
        }
        let within = within.map_or(READY_WITHIN, |within| within.0);
        if within.is_zero() {
            return Err(self.origin.error("ready.within", "0s leaves no time to start; expected such as \"5s\""));
        }
        Ok(Ready { check, within })
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

/// Readiness by what clients do: a connection, or a datagram that is answered.
pub(super) fn own_service(service: &str) -> ReadyCheck {
    let (protocol, authority) = service.split_once("://").unwrap_or(("tcp", service));
    let authority = authority.trim_end_matches('/').to_owned();
    if protocol == "udp" { ReadyCheck::Udp(authority) } else { ReadyCheck::Tcp(authority) }
}

const SERVICE_WANTED: &str = "expected \"http://{vip}:{port}\", \"tcp://{vip}:{port}\" or \"udp://{vip}:{port}\"";
