//! The configuration file as written, and the checks that types cannot express.
//!
//! Only this file knows the spelling; everyone else gets [`Config`].

use super::*;
use std::collections::HashMap;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConfigFile {
    workers: Option<u32>,
    #[serde(default)]
    cores: Vec<usize>,
    #[serde(default = "default_drain")]
    drain: Span,
    admin: Option<AdminFile>,
    log: Option<LogFile>,
    #[serde(default)]
    virtual_service: Vec<ServiceFile>,
    #[serde(default)]
    group: Vec<GroupFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AdminFile {
    listen: SocketAddr,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LogFile {
    access: String,
    #[serde(default)]
    format: LogFormat,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ServiceFile {
    name: String,
    listen: SocketAddr,
    mode: Mode,
    group: String,
    #[serde(default = "default_max_connections")]
    max_connections: u32,
    reuse: Option<Reuse>,
    forwarded: Option<bool>,
    #[serde(default = "default_retries")]
    retries: u32,
    responses: Option<u32>,
    requests: Option<u32>,
    #[serde(default)]
    timeouts: TimeoutsFile,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TimeoutsFile {
    client_head: Option<Span>,
    client_idle: Option<Span>,
    client_body: Option<Span>,
    connect: Option<Span>,
    response_head: Option<Span>,
    response_body: Option<Span>,
    tunnel: Option<Span>,
    flow_idle: Option<Span>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupFile {
    name: String,
    #[serde(default)]
    balance: Balance,
    #[serde(default)]
    real_servers: Vec<ServerFile>,
    health: Option<HealthFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ServerFile {
    name: String,
    address: SocketAddr,
    #[serde(default = "default_weight")]
    weight: u32,
    #[serde(default)]
    max_connections: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HealthFile {
    kind: CheckKind,
    port: Option<u16>,
    path: Option<String>,
    host: Option<String>,
    status: Option<String>,
    content: Option<String>,
    #[serde(default = "default_interval")]
    interval: Span,
    timeout: Option<Span>,
    #[serde(default = "default_rise")]
    rise: u32,
    #[serde(default = "default_fall")]
    fall: u32,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum CheckKind {
    Tcp,
    Http,
}

fn default_drain() -> Span {
    Span(Duration::from_secs(10))
}

fn default_max_connections() -> u32 {
    10_000
}

fn default_retries() -> u32 {
    1
}

fn default_weight() -> u32 {
    1
}

fn default_interval() -> Span {
    Span(Duration::from_secs(2))
}

fn default_rise() -> u32 {
    2
}

fn default_fall() -> u32 {
    3
}

/// A check with a document at hand, so that an error can point at its key.
type Checked<T> = Result<T, DocumentError>;

impl ConfigFile {
    pub(super) fn into_config(self, document: &Document) -> Checked<Config> {
        let workers = self.workers.map(|n| whole(document, "workers", n, 1, WORKERS_MAX)).transpose()?;
        let admin = self.admin.map(|admin| loopback(document, admin.listen)).transpose()?;
        let log = self.log.map(|log| log.into_log(document)).transpose()?;
        let groups: Vec<_> = self
            .group
            .into_iter()
            .enumerate()
            .map(|(at, group)| group.into_group(document, &format!("group.{at}")).map(Arc::new))
            .collect::<Checked<_>>()?;
        unique(document, "group", groups.iter().map(|group| group.name.as_str()))?;
        let services: Vec<_> = self
            .virtual_service
            .into_iter()
            .enumerate()
            .map(|(at, service)| service.into_service(document, at, &groups).map(Arc::new))
            .collect::<Checked<_>>()?;
        if services.is_empty() {
            return Err(document.error_at("virtual_service", "none given; expected at least one [[virtual_service]]"));
        }
        unique(document, "virtual_service", services.iter().map(|service| service.name.as_str()))?;
        distinct_addresses(document, &services)?;
        Ok(Config {
            workers: workers.and_then(NonZeroU32::new),
            cores: self.cores,
            drain: self.drain.0,
            admin,
            log,
            services,
            groups,
        })
    }
}

impl LogFile {
    fn into_log(self, document: &Document) -> Checked<Log> {
        if self.access.is_empty() {
            return Err(document.error_at("log.access", "\"\" is no file; expected a path or \"stderr\""));
        }
        let path = (self.access != "stderr").then(|| PathBuf::from(&self.access));
        Ok(Log { path, format: self.format })
    }
}

impl ServiceFile {
    fn into_service(self, document: &Document, at: usize, groups: &[Arc<Group>]) -> Checked<VirtualService> {
        let key = |field: &str| format!("virtual_service.{at}.{field}");
        named(document, &key("name"), &self.name)?;
        let Some(group) = groups.iter().position(|group| group.name == self.group) else {
            return Err(document.error_at(&key("group"), unknown_group(&self.group, groups)));
        };
        self.only_of_its_mode(document, key)?;
        let requests = self.requests.map(|n| whole(document, &key("requests"), n, 1, u32::MAX)).transpose()?;
        Ok(VirtualService {
            requests: requests.and_then(NonZeroU32::new),
            responses: self.responses,
            group,
            max_connections: whole(document, &key("max_connections"), self.max_connections, 1, u32::MAX)?,
            retries: whole(document, &key("retries"), self.retries, 0, 10)?,
            timeouts: self.timeouts.into_timeouts(document, &key("timeouts"))?,
            name: self.name,
            listen: self.listen,
            mode: self.mode,
            reuse: self.reuse.unwrap_or_default(),
            forwarded: self.forwarded.unwrap_or(true),
        })
    }

    /// Refuses keys that mean nothing in this mode: whoever wrote them expects something.
    fn only_of_its_mode(&self, document: &Document, key: impl Fn(&str) -> String) -> Checked<()> {
        let keys = [
            ("reuse", self.reuse.is_some(), Mode::Http),
            ("forwarded", self.forwarded.is_some(), Mode::Http),
            ("responses", self.responses.is_some(), Mode::Udp),
            ("requests", self.requests.is_some(), Mode::Udp),
            ("timeouts.flow_idle", self.timeouts.flow_idle.is_some(), Mode::Udp),
        ];
        let message = |mode| match mode {
            Mode::Http => "only an HTTP service has this key; expected mode = \"http\"",
            Mode::Tcp | Mode::Udp => "only a UDP service has this key; expected mode = \"udp\"",
        };
        match keys.into_iter().find(|&(_, given, mode)| given && mode != self.mode) {
            Some((field, _, mode)) => Err(document.error_at(&key(field), message(mode))),
            None => Ok(()),
        }
    }
}

impl TimeoutsFile {
    fn into_timeouts(self, document: &Document, at: &str) -> Checked<Timeouts> {
        let or = |name: &str, given: Option<Span>, default: Duration| match given {
            Some(Span(Duration::ZERO)) => {
                Err(document.error_at(&format!("{at}.{name}"), "0s would end every connection; expected more than 0s"))
            }
            Some(span) => Ok(span.0),
            None => Ok(default),
        };
        let default = Timeouts::default();
        Ok(Timeouts {
            client_head: or("client_head", self.client_head, default.client_head)?,
            client_idle: or("client_idle", self.client_idle, default.client_idle)?,
            client_body: or("client_body", self.client_body, default.client_body)?,
            connect: or("connect", self.connect, default.connect)?,
            response_head: or("response_head", self.response_head, default.response_head)?,
            response_body: or("response_body", self.response_body, default.response_body)?,
            tunnel: or("tunnel", self.tunnel, default.tunnel)?,
            flow_idle: or("flow_idle", self.flow_idle, default.flow_idle)?,
        })
    }
}

impl GroupFile {
    fn into_group(self, document: &Document, at: &str) -> Checked<Group> {
        named(document, &format!("{at}.name"), &self.name)?;
        let key = format!("{at}.real_servers");
        if self.real_servers.is_empty() || self.real_servers.len() > SERVERS_MAX {
            let found = self.real_servers.len();
            return Err(document.error_at(&key, format!("{found} real servers; expected 1 to {SERVERS_MAX}")));
        }
        let servers: Vec<_> = self
            .real_servers
            .into_iter()
            .enumerate()
            .map(|(index, server)| server.into_server(document, &format!("{key}.{index}")).map(Arc::new))
            .collect::<Checked<_>>()?;
        unique(document, &key, servers.iter().map(|server| server.name.as_str()))?;
        let health = self.health.map(|health| health.into_health(document, &format!("{at}.health"))).transpose()?;
        Ok(Group { name: self.name, balance: self.balance, servers, health })
    }
}

impl ServerFile {
    fn into_server(self, document: &Document, at: &str) -> Checked<RealServer> {
        named(document, &format!("{at}.name"), &self.name)?;
        if self.address.port() == 0 {
            return Err(
                document.error_at(&format!("{at}.address"), "port 0 cannot be connected to; expected 1 to 65535")
            );
        }
        Ok(RealServer {
            weight: whole(document, &format!("{at}.weight"), self.weight, 0, 1000)?,
            name: self.name,
            address: self.address,
            max_connections: NonZeroU32::new(self.max_connections),
        })
    }
}

impl HealthFile {
    fn into_health(self, document: &Document, at: &str) -> Checked<Health> {
        let key = |field: &str| format!("{at}.{field}");
        let interval = self.interval.0;
        let timeout = self.timeout.map_or_else(|| interval.min(Duration::from_secs(1)), |timeout| timeout.0);
        if interval < Duration::from_millis(10) {
            return Err(document.error_at(&key("interval"), format!("{}; expected at least 10ms", self.interval)));
        }
        if timeout.is_zero() || timeout > interval {
            let message =
                format!("{}; expected more than 0s and at most the interval, {}", Span(timeout), self.interval);
            return Err(document.error_at(&key("timeout"), message));
        }
        let port = self.port.map(|port| whole(document, &key("port"), port.into(), 1, u16::MAX.into())).transpose()?;
        Ok(Health {
            // It is in the range of a port.
            port: port.and_then(|port| NonZeroU16::new(port as u16)),
            interval,
            timeout,
            rise: whole(document, &key("rise"), self.rise, 1, 1000)?,
            fall: whole(document, &key("fall"), self.fall, 1, 1000)?,
            check: self.into_check(document, at)?,
        })
    }

    fn into_check(self, document: &Document, at: &str) -> Checked<Check> {
        let key = |field: &str| format!("{at}.{field}");
        if self.kind == CheckKind::Tcp {
            let given = [
                ("path", self.path.is_some()),
                ("host", self.host.is_some()),
                ("status", self.status.is_some()),
                ("content", self.content.is_some()),
            ];
            return match given.iter().find(|(_, given)| *given) {
                Some((field, _)) => {
                    Err(document.error_at(&key(field), "only an HTTP check has this key; expected kind = \"http\""))
                }
                None => Ok(Check::Tcp),
            };
        }
        let path = self.path.unwrap_or_else(|| "/".to_owned());
        if !path.starts_with('/') || !visible(&path) {
            let message = format!("{path:?} is no path; expected \"/…\" of visible ASCII characters");
            return Err(document.error_at(&key("path"), message));
        }
        let host = self.host.unwrap_or_else(|| "health.check".to_owned());
        if !visible(&host) {
            let message = format!("{host:?} is no host name; expected visible ASCII characters");
            return Err(document.error_at(&key("host"), message));
        }
        let status = self.status.as_deref().unwrap_or("200").parse();
        let status = status.map_err(|message: String| document.error_at(&key("status"), message))?;
        Ok(Check::Http { path, host, status, content: self.content })
    }
}

/// Whether a text can stand in a request line or a header without changing the request's shape.
fn visible(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn whole(document: &Document, key: &str, found: u32, min: u32, max: u32) -> Checked<u32> {
    if (min..=max).contains(&found) {
        return Ok(found);
    }
    let allowed = if max == u32::MAX { format!("from {min}") } else { format!("from {min} to {max}") };
    Err(document.error_at(key, format!("{found}; expected a whole number {allowed}")))
}

fn named(document: &Document, key: &str, name: &str) -> Checked<()> {
    // Names become labels of metrics and words of log lines.
    if visible(name) && name.len() <= 64 && !name.contains(['"', '\\', '=']) {
        return Ok(());
    }
    let message = format!("{name:?} is no name; expected 1 to 64 visible ASCII characters without \", \\ and =");
    Err(document.error_at(key, message))
}

fn unique<'a>(document: &Document, at: &str, names: impl Iterator<Item = &'a str>) -> Checked<()> {
    let mut seen = HashMap::new();
    for (index, name) in names.enumerate() {
        if let Some(first) = seen.insert(name, index) {
            let message = format!("{name:?} is also the name of number {}; expected unique names", first + 1);
            return Err(document.error_at(&format!("{at}.{index}.name"), message));
        }
    }
    Ok(())
}

fn distinct_addresses(document: &Document, services: &[Arc<VirtualService>]) -> Checked<()> {
    let mut seen = HashMap::new();
    for (index, service) in services.iter().enumerate().filter(|(_, service)| service.listen.port() != 0) {
        // TCP and UDP have ports of their own: name servers listen on one number in both.
        if let Some(first) = seen.insert((service.listen, service.mode == Mode::Udp), &service.name) {
            let message =
                format!("{} is also the address of {first:?}; expected one service per address", service.listen);
            return Err(document.error_at(&format!("virtual_service.{index}.listen"), message));
        }
    }
    Ok(())
}

fn loopback(document: &Document, address: SocketAddr) -> Checked<SocketAddr> {
    if address.ip().is_loopback() {
        return Ok(address);
    }
    let message =
        format!("{address} is no loopback address; expected 127.0.0.1:PORT or [::1]:PORT, as admin has no encryption");
    Err(document.error_at("admin.listen", message))
}

fn unknown_group(found: &str, groups: &[Arc<Group>]) -> String {
    let names: Vec<_> = groups.iter().map(|group| group.name.as_str()).collect();
    if names.is_empty() {
        return format!("no group {found:?}, none is given; expected a [[group]] with that name");
    }
    let near = wire::document::nearest(found, names.iter().copied());
    let hint = near.map(|name| format!("; did you mean {name:?}?")).unwrap_or_default();
    format!("no group {found:?}; expected one of {names:?}{hint}")
}
