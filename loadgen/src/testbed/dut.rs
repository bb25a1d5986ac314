//! Starts the DUT: chooses its ports, fills in its templates, waits until it serves.
//!
//! A port is found by binding port 0 and closing again, so another program may take it in between;
//! then the whole start is repeated with another one. A fixed port is looked at first: otherwise the
//! readiness of a stranger on that port would pass for the DUT's.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use host::namespace::Namespace;

mod port;
mod ready;

use port::Where;

use super::cgroup::Group;
use super::error::TestbedError;
use super::process::{Context, RoleProcess};
use super::template::{self, Values};
use crate::measure::Role;
use crate::scenario::placeholder;
use crate::scenario::plan::{Dut, DutKind, Ready, Template};

/// How long our own programs may take to say that they are ready.
pub(super) const READY_BOUND: Duration = Duration::from_secs(10);

/// Starts with another free port, when the chosen one turns out to be taken.
const ATTEMPTS: u32 = 3;

/// A DUT that serves.
pub(super) struct StartedDut {
    pub(super) process: RoleProcess,
    pub(super) service: SocketAddr,
    /// Kind and place of its admin access: `lb` and an address, or as the dut file says.
    pub(super) admin: Option<(String, String)>,
    /// Its CPU quota.
    pub(super) group: Option<Group>,
    pub(super) warnings: Vec<String>,
}

/// The command lines of the two kinds of DUT that a run starts.
enum Start<'a> {
    Reference { config: &'a Template, workers: NonZeroU32 },
    Command { words: &'a [String], config: Option<&'a Template>, ready: &'a Ready, admin: Option<&'a (String, String)> },
}

/// Where a DUT is started.
pub(super) struct Place<'a> {
    pub(super) cores: &'a [usize],
    /// Its address towards the clients.
    pub(super) vip: IpAddr,
    /// The namespace it serves in; `None` where that is this one.
    pub(super) namespace: Option<&'a Namespace>,
    /// The namespace that its clients live in; `None` as above.
    pub(super) clients: Option<&'a Namespace>,
}

impl<'a> Place<'a> {
    /// Where the port of a DUT's service is free or not.
    fn ports(&self, dut: &Dut) -> Where<'a> {
        Where { namespace: self.namespace, is_udp: dut.service.starts_with("udp://") }
    }
}

/// Starts the DUT of a plan; `None` if there is none to start.
pub(super) fn start(
    context: &Context<'_>,
    dut: &Dut,
    place: &Place<'_>,
    reflectors: &[(String, SocketAddr)],
) -> Result<Option<StartedDut>, TestbedError> {
    let program;
    let start = match &dut.kind {
        DutKind::Reference { config, workers } => Start::Reference { config, workers: *workers },
        DutKind::Command { start, config, ready, admin, package, .. } => {
            program = found_program(start, package.as_deref())?;
            Start::Command { words: &program, config: config.as_ref(), ready, admin: admin.as_ref() }
        }
        DutKind::Kernel { .. } | DutKind::External { .. } | DutKind::None => return Ok(None),
    };
    let mut attempt = 1;
    loop {
        let result = start_once(context, dut, &start, place, reflectors);
        match result {
            Err(Refused { error, port_taken: true }) if attempt < ATTEMPTS => {
                attempt += 1;
                drop(error);
            }
            Err(Refused { error, .. }) => return Err(error),
            Ok(started) => return Ok(Some(started)),
        }
    }
}

/// Why a start failed, and whether another free port could help.
struct Refused {
    error: TestbedError,
    port_taken: bool,
}

impl<E: Into<TestbedError>> From<E> for Refused {
    fn from(error: E) -> Self {
        Self { error: error.into(), port_taken: false }
    }
}

fn start_once(
    context: &Context<'_>,
    dut: &Dut,
    start: &Start<'_>,
    place: &Place<'_>,
    reflectors: &[(String, SocketAddr)],
) -> Result<StartedDut, Refused> {
    let chooses_port = placeholder::uses(&dut.service, "port");
    let values = values(context, dut, place, reflectors)?;
    let service = parse_service(&template::fill("service", &dut.service, &values)?)?;
    let ports = place.ports(dut);
    if !chooses_port && ports.is_taken(service)? {
        return Err(TestbedError::PortInUse { address: service }.into());
    }
    let group = dut.cpu_quota.map(Group::create).transpose().map_err(TestbedError::Quota)?;
    let arguments = arguments(context, start, place.cores, group.as_ref().map(Group::folder), &values)?;
    let mut process = RoleProcess::spawn(context, Role::Dut, &arguments.line)?;
    let awaited = Awaited { start, service, clients: place.clients };
    match wait_ready(context, &mut process, &awaited, &arguments.values) {
        Ok((admin, mut warnings)) => {
            warnings.extend(arguments.warnings);
            Ok(StartedDut { process, service, admin, group, warnings })
        }
        Err(error) => {
            let says_so = process.log().mentions("in use") || error.to_string().contains("in use");
            process.stop(super::exec::STOP_BOUND);
            let port_taken = chooses_port && (says_so || ports.is_taken(service).unwrap_or(false));
            Err(Refused { error, port_taken })
        }
    }
}

pub(super) fn values(
    context: &Context<'_>,
    dut: &Dut,
    place: &Place<'_>,
    reflectors: &[(String, SocketAddr)],
) -> Result<Values, TestbedError> {
    // Programs change their working directory; an absolute path means the same to all of them.
    let run = std::path::absolute(context.run_dir).unwrap_or_else(|_| context.run_dir.to_path_buf());
    let mut values = Values {
        vip: Some(place.vip),
        run: Some(run.display().to_string()),
        reflectors: reflectors.to_vec(),
        workers: template::workers(dut),
        ..Values::default()
    };
    // Both at once, so that they differ.
    let service = template::fill("service", &dut.service.replace("{port}", "1"), &values)?;
    let port = place.ports(dut).held_port(service_ip(&service))?;
    let admin = Where { namespace: place.namespace, is_udp: false }.held_port(IpAddr::V4(Ipv4Addr::LOCALHOST))?;
    values.admin = Some(admin.1);
    if placeholder::uses(&dut.service, "port") {
        values.port = Some(port.1);
    } else {
        values.port = parse_service(&service).ok().map(|address| address.port());
    }
    Ok(values)
}

/// The address of a service: `http://127.0.0.1:80`, `tcp://[::1]:80`; port 80 if there is none.
pub(super) fn parse_service(text: &str) -> Result<SocketAddr, TestbedError> {
    let wrong = || TestbedError::Address { key: "service", found: text.to_owned(), example: "http://{vip}:{port}" };
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or(rest);
    let bare = |text: &str| text.trim_matches(['[', ']']).parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, 80));
    authority.parse().ok().or_else(|| bare(authority)).ok_or_else(wrong)
}

/// The IP address of a service.
fn service_ip(text: &str) -> IpAddr {
    parse_service(text).map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |address| address.ip())
}

/// A command line of `loadgen role`, and what it was made of.
struct Arguments {
    line: Vec<String>,
    values: Values,
    warnings: Vec<String>,
}

fn arguments(
    context: &Context<'_>,
    start: &Start<'_>,
    cores: &[usize],
    group: Option<&Path>,
    values: &Values,
) -> Result<Arguments, TestbedError> {
    let mut values = values.clone();
    let template = match start {
        Start::Reference { config, .. } => Some(*config),
        Start::Command { config, .. } => *config,
    };
    let mut warnings = Vec::new();
    if let Some(template) = template {
        let path = write_config(context, template, &values)?;
        // Without a placeholder for it, a port chosen here is unknown to the DUT.
        let passes_on = |text: &str| placeholder::uses(text, "port");
        let in_words = matches!(start, Start::Command { words, .. } if words.iter().any(|word| passes_on(word)));
        if !passes_on(&template.text) && !in_words && !template.text.contains(&values.port.unwrap_or(0).to_string()) {
            warnings.push(format!("{} does not use {{port}}: does it listen there?", template.path.display()));
        }
        values.config = Some(path.display().to_string());
    }
    let mut line = super::placed_arguments(cores, group);
    match start {
        Start::Reference { workers, .. } => {
            let config = values.config.clone().unwrap_or_default();
            line.extend(["lb", "--config", &config, "--workers", &workers.to_string()].map(str::to_owned));
        }
        Start::Command { words, .. } => {
            line.extend(["exec", "--"].map(str::to_owned));
            for word in *words {
                line.push(template::fill("start", word, &values)?);
            }
        }
    }
    Ok(Arguments { line, values, warnings })
}

pub(super) fn write_config(
    context: &Context<'_>,
    template: &Template,
    values: &Values,
) -> Result<PathBuf, TestbedError> {
    let name = template.path.file_name().unwrap_or_else(|| "dut.conf".as_ref());
    let folder = values.run.as_deref().map_or(context.run_dir, Path::new);
    let path = folder.join(name);
    let text = template::render(&template.path.display().to_string(), &template.text, values)?;
    fs::write(&path, text).map_err(|source| TestbedError::Write { path: path.clone(), source })?;
    Ok(path)
}

type Access = (Option<(String, String)>, Vec<String>);

/// A DUT whose readiness is waited for.
struct Awaited<'a> {
    start: &'a Start<'a>,
    service: SocketAddr,
    /// Where its readiness counts.
    clients: Option<&'a Namespace>,
}

fn wait_ready(
    context: &Context<'_>,
    process: &mut RoleProcess,
    awaited: &Awaited<'_>,
    values: &Values,
) -> Result<Access, TestbedError> {
    let Awaited { start, service, clients } = *awaited;
    let line = process.ready(READY_BOUND)?;
    match start {
        Start::Reference { .. } => {
            if !line.addresses.contains(&service) {
                let how = format!("it serves {:?} and not {service}, where clients connect", line.addresses);
                return Err(process.failed(how));
            }
            Ok((line.admin.map(|address| ("lb".to_owned(), address.to_string())), line.warnings))
        }
        Start::Command { ready, admin, .. } => {
            ready::wait(context, process, (ready, clients), values)?;
            let fill = |(kind, place): &(String, String)| {
                Ok::<_, TestbedError>((kind.clone(), template::fill("admin", place, values)?))
            };
            Ok((admin.map(fill).transpose()?, line.warnings))
        }
    }
}

/// The command line with its program's full path where that is outside of PATH.
pub(super) fn found_program(start: &[String], package: Option<&str>) -> Result<Vec<String>, TestbedError> {
    let name = start.first().cloned().unwrap_or_default();
    let missing = || TestbedError::Missing { program: name.clone(), package: package.map(str::to_owned) };
    let path = find_program(&name).ok_or_else(missing)?;
    let rest = start.iter().skip(1).cloned();
    Ok(std::iter::once(path.display().to_string()).chain(rest).collect())
}

/// Where a program is. Servers are often in `sbin`, which an ordinary user's PATH leaves out.
pub(super) fn find_program(name: &str) -> Option<PathBuf> {
    let is_program = |path: &PathBuf| {
        use std::os::unix::fs::PermissionsExt;
        fs::metadata(path).is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
    };
    if name.is_empty() {
        return None;
    }
    if name.contains('/') {
        return Some(PathBuf::from(name)).filter(is_program);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(is_program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_service_is_read_from_its_url() {
        let parsed = |text: &str| parse_service(text).unwrap().to_string();
        assert_eq!(parsed("http://127.0.0.1:8080/x"), "127.0.0.1:8080");
        assert_eq!(parsed("tcp://[::1]:90"), "[::1]:90");
        assert_eq!(parsed("http://[::1]"), "[::1]:80");
        assert_eq!(service_ip("http://[::1]:1").to_string(), "::1");
        assert!(parse_service("http://example:80").unwrap_err().to_string().contains("example:80"));
    }

    #[test]
    fn a_missing_program_names_the_package_to_install() {
        let error = found_program(&["no-such-program".to_owned()], Some("haproxy")).unwrap_err().to_string();
        assert!(error.contains("no-such-program") && error.contains("apt install haproxy"), "{error}");
        assert!(find_program("sh").is_some() && find_program("/etc/passwd").is_none());
    }
}
