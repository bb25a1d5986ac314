//! What one configuration has that another has not: [`Config::difference`].
//!
//! Pure, and the only place that knows what a running load balancer can change: the real servers of
//! its groups. Everything else makes the whole difference an [`Unchangeable`], so that nothing is ever
//! applied by half. A server is the same while its name and its address are; groups and services are
//! matched by their names.

use std::collections::{HashMap, HashSet};
use std::fmt::{self, Debug, Display};
use std::sync::Arc;

use super::{Check, Config, Group, Health, Log, RealServer, Timeouts, VirtualService};

/// What is new in the groups; empty when nothing is.
#[derive(Clone, Debug, Default)]
pub struct Difference {
    /// The groups whose servers differ, in the order of the running configuration.
    pub groups: Vec<GroupDifference>,
}

/// What is new in the servers of one group.
#[derive(Clone, Debug)]
pub struct GroupDifference {
    /// Index into the running [`Config::groups`].
    pub group: usize,
    /// The group as it shall be.
    pub wanted: Arc<Group>,
    /// Servers it had not; one with another address is in here and in `removed`.
    pub added: Vec<Arc<RealServer>>,
    /// Servers it has no more.
    pub removed: Vec<Arc<RealServer>>,
    /// Servers with another weight or limit: as they are, as they shall be.
    pub changed: Vec<(Arc<RealServer>, Arc<RealServer>)>,
}

/// A key that only a restart can change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {}", self.values())]
pub struct Unchangeable {
    /// The key in the wanted configuration, as in `virtual_service.0.listen`.
    pub key: String,
    /// Its value now.
    pub running: String,
    /// Its value in the wanted configuration.
    pub wanted: String,
}

impl Config {
    /// What has to change for this configuration to become the `wanted` one.
    ///
    /// # Errors
    /// [`Unchangeable`] for the first difference that is not one of real servers. Both have to be
    /// [`resolved`](Self::resolved), or the same number of workers, said and unsaid, is a difference.
    pub fn difference(&self, wanted: &Self) -> Result<Difference, Unchangeable> {
        // Every field by its name, here and below: a new one does not compile until it is compared.
        let Self { workers, cores, drain, admin, log, services, groups } = wanted;
        same_optional("workers", self.workers, *workers)?;
        same("cores", &self.cores, cores)?;
        same("drain", &self.drain, drain)?;
        same_optional("admin.listen", self.admin, *admin)?;
        same_log(self.log.as_ref(), log.as_ref())?;
        same("virtual_service", &names(&self.services, |it| &it.name), &names(services, |it| &it.name))?;
        for (at, (running, service)) in self.services.iter().zip(services).enumerate() {
            same("group", &self.groups[running.group].name, &groups[service.group].name)
                .and_then(|()| same_service(running, service))
                .map_err(|error| error.within(&format!("virtual_service.{at}")))?;
        }
        self.group_differences(groups)
    }

    fn group_differences(&self, wanted: &[Arc<Group>]) -> Result<Difference, Unchangeable> {
        let mut names_running = names(&self.groups, |it| &it.name);
        let mut names_wanted = names(wanted, |it| &it.name);
        names_running.sort_unstable();
        names_wanted.sort_unstable();
        same("group", &names_running, &names_wanted)?;
        let mut differences = Vec::new();
        for (at, group) in wanted.iter().enumerate() {
            // The names are the same, so there is one.
            let Some(running) = self.groups.iter().position(|it| it.name == group.name) else { continue };
            let found = group_difference(running, &self.groups[running], group);
            differences.extend(found.map_err(|error| error.within(&format!("group.{at}")))?);
        }
        differences.sort_unstable_by_key(|group| group.group);
        Ok(Difference { groups: differences })
    }

    /// This configuration with the groups of a difference in place of its own.
    #[must_use]
    pub fn with(&self, difference: &Difference) -> Self {
        let mut config = self.clone();
        for group in &difference.groups {
            config.groups[group.group] = Arc::clone(&group.wanted);
        }
        config
    }
}

fn same<T: Debug + PartialEq>(key: &str, running: &T, wanted: &T) -> Result<(), Unchangeable> {
    if running == wanted {
        return Ok(());
    }
    Err(Unchangeable { key: key.to_owned(), running: format!("{running:?}"), wanted: format!("{wanted:?}") })
}

fn same_optional<T: Debug + PartialEq>(key: &str, running: Option<T>, wanted: Option<T>) -> Result<(), Unchangeable> {
    if running == wanted {
        return Ok(());
    }
    let show = |value: Option<T>| value.map_or_else(|| "none".to_owned(), |value| format!("{value:?}"));
    Err(Unchangeable { key: key.to_owned(), running: show(running), wanted: show(wanted) })
}

fn same_log(running: Option<&Log>, wanted: Option<&Log>) -> Result<(), Unchangeable> {
    let access = |log: &Log| log.path.as_ref().map_or_else(|| "stderr".to_owned(), |path| path.display().to_string());
    let (Some(running), Some(wanted)) = (running, wanted) else {
        return same_optional("log", running.map(access), wanted.map(access));
    };
    let Log { path: _, format } = wanted;
    same("log.access", &access(running), &access(wanted))?;
    same("log.format", &running.format, format)
}

/// All but the group, which is known by its name and not by its place.
fn same_service(running: &VirtualService, wanted: &VirtualService) -> Result<(), Unchangeable> {
    let VirtualService {
        name: _,
        listen,
        mode,
        group: _,
        max_connections,
        reuse,
        forwarded,
        retries,
        responses,
        requests,
        timeouts,
    } = wanted;
    same("listen", &running.listen, listen)?;
    same("mode", &running.mode, mode)?;
    same("max_connections", &running.max_connections, max_connections)?;
    same("reuse", &running.reuse, reuse)?;
    same("forwarded", &running.forwarded, forwarded)?;
    same("retries", &running.retries, retries)?;
    same_optional("responses", running.responses, *responses)?;
    same_optional("requests", running.requests, *requests)?;
    same_timeouts(&running.timeouts, timeouts).map_err(|error| error.within("timeouts"))
}

fn same_timeouts(running: &Timeouts, wanted: &Timeouts) -> Result<(), Unchangeable> {
    let Timeouts { client_head, client_idle, client_body, connect, response_head, response_body, tunnel, flow_idle } =
        wanted;
    same("client_head", &running.client_head, client_head)?;
    same("client_idle", &running.client_idle, client_idle)?;
    same("client_body", &running.client_body, client_body)?;
    same("connect", &running.connect, connect)?;
    same("response_head", &running.response_head, response_head)?;
    same("response_body", &running.response_body, response_body)?;
    same("tunnel", &running.tunnel, tunnel)?;
    same("flow_idle", &running.flow_idle, flow_idle)
}

fn same_health(running: Option<&Health>, wanted: Option<&Health>) -> Result<(), Unchangeable> {
    let (Some(running), Some(wanted)) = (running, wanted) else {
        let kind = |health: &Health| match health.check {
            Check::Tcp => "tcp",
            Check::Http { .. } => "http",
        };
        return same_optional("health", running.map(kind), wanted.map(kind));
    };
    let Health { check, port, interval, timeout, rise, fall } = wanted;
    let fields = same_optional("port", running.port, *port)
        .and_then(|()| same("interval", &running.interval, interval))
        .and_then(|()| same("timeout", &running.timeout, timeout))
        .and_then(|()| same("rise", &running.rise, rise))
        .and_then(|()| same("fall", &running.fall, fall));
    fields.map_err(|error| error.within("health"))?;
    same("health", &running.check, check)
}

fn names<T>(list: &[Arc<T>], name: impl Fn(&T) -> &String) -> Vec<&str> {
    list.iter().map(|it| name(it).as_str()).collect()
}

/// `None` when the servers are the same, in the same order: they take turns in it.
fn group_difference(
    group: usize,
    running: &Group,
    wanted: &Arc<Group>,
) -> Result<Option<GroupDifference>, Unchangeable> {
    let Group { name: _, balance, servers, health } = &**wanted;
    same("balance", &running.balance, balance)?;
    same_health(running.health.as_ref(), health.as_ref())?;
    if running.servers == *servers {
        return Ok(None);
    }
    let by_name: HashMap<_, _> = running.servers.iter().map(|server| (server.name.as_str(), server)).collect();
    let twin = |server: &RealServer| by_name.get(server.name.as_str()).filter(|it| it.address == server.address);
    let (mut added, mut changed) = (Vec::new(), Vec::new());
    let mut kept = HashSet::new();
    for server in servers {
        match twin(server) {
            None => added.push(Arc::clone(server)),
            Some(old) => {
                kept.insert(old.name.as_str());
                if *old != server {
                    changed.push((Arc::clone(old), Arc::clone(server)));
                }
            }
        }
    }
    let gone = running.servers.iter().filter(|server| !kept.contains(server.name.as_str()));
    let removed: Vec<_> = gone.cloned().collect();
    Ok(Some(GroupDifference { group, wanted: Arc::clone(wanted), added, removed, changed }))
}

impl Unchangeable {
    /// The message without the key.
    pub fn values(&self) -> String {
        let Self { running, wanted, .. } = self;
        format!(
            "{wanted}, but {running} is running; expected no change, as a reload changes only real_servers: \
             restart lb to change it"
        )
    }

    fn within(mut self, table: &str) -> Self {
        self.key = format!("{table}.{}", self.key);
        self
    }
}

impl Difference {
    /// Whether both configurations mean the same.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }
}

/// One sentence for the log.
impl Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("nothing has changed");
        }
        for (at, group) in self.groups.iter().enumerate() {
            let separator = if at == 0 { "" } else { "; " };
            write!(f, "{separator}{group}")?;
        }
        Ok(())
    }
}

impl Display for GroupDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "group {:?}:", self.wanted.name)?;
        let mut separator = "";
        for (word, servers) in [("added", &self.added), ("removed", &self.removed)] {
            for server in servers {
                write!(f, "{separator} {word} {} ({})", server.name, server.address)?;
                separator = ",";
            }
        }
        let limit = |server: &RealServer| server.max_connections.map_or(0, |max| max.get());
        for (old, new) in &self.changed {
            write!(f, "{separator} changed {}", new.name)?;
            separator = ",";
            if old.weight != new.weight {
                write!(f, " weight {} to {}", old.weight, new.weight)?;
            }
            if old.max_connections != new.max_connections {
                write!(f, " max_connections {} to {}", limit(old), limit(new))?;
            }
        }
        if separator.is_empty() {
            write!(f, " another order")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "workers = 1
[[virtual_service]]
name = 'web'
listen = '127.0.0.1:8080'
mode = 'http'
group = 'web'
[[group]]
name = 'web'
balance = 'weighted-round-robin'
real_servers = [
  { name = 'a', address = '127.0.0.1:1' },
  { name = 'b', address = '127.0.0.1:2' },
]
health = { kind = 'tcp' }
[[group]]
name = 'spare'
real_servers = [{ name = 'c', address = '127.0.0.1:3' }]
";

    fn difference(edits: &[(&str, &str)]) -> Result<Difference, Unchangeable> {
        let mut text = BASE.to_owned();
        for (from, to) in edits {
            assert_eq!(text.matches(from).count(), 1, "{from:?} does not stand in the file once");
            text = text.replace(from, to);
        }
        let parse = |text: &str| Config::parse("lb.toml", text).unwrap();
        parse(BASE).difference(&parse(&text))
    }

    #[test]
    fn the_same_text_and_another_spelling_of_it_are_no_difference() {
        assert!(difference(&[]).unwrap().is_empty());
        let respelled = [
            ("'127.0.0.1:1' }", "\"127.0.0.1:1\", weight = 1 }"),
            ("kind = 'tcp'", "kind = 'tcp', interval = '2000ms'"),
        ];
        let found = difference(&respelled).unwrap();
        assert!(found.is_empty(), "{found}");
        assert_eq!(found.to_string(), "nothing has changed");
    }

    #[test]
    fn servers_are_added_removed_and_changed() {
        let edits = [
            ("name = 'a', address = '127.0.0.1:1'", "name = 'a', address = '127.0.0.1:1', weight = 7"),
            ("name = 'b', address = '127.0.0.1:2'", "name = 'd', address = '127.0.0.1:4'"),
            ("'127.0.0.1:3'", "'127.0.0.1:33'"),
        ];
        let found = difference(&edits).unwrap();
        assert_eq!(
            found.to_string(),
            "group \"web\": added d (127.0.0.1:4), removed b (127.0.0.1:2), changed a weight 1 to 7; \
             group \"spare\": added c (127.0.0.1:33), removed c (127.0.0.1:3)"
        );
        let running = Config::parse("lb.toml", BASE).unwrap();
        let next = running.with(&found);
        assert_eq!(next.groups[0].servers.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["a", "d"]);
        let back = next.difference(&running).unwrap();
        assert!(running.difference(&next.with(&back)).unwrap().is_empty(), "there and back again");
    }

    #[test]
    fn another_order_of_servers_is_a_difference_and_one_of_groups_is_none() {
        let swapped = BASE.replace("'a'", "'x'").replace("'b'", "'a'").replace("'x'", "'b'");
        let swapped = swapped.replace(":1'", ":9'").replace(":2'", ":1'").replace(":9'", ":2'");
        let parse = |text: &str| Config::parse("lb.toml", text).unwrap();
        assert_eq!(parse(BASE).difference(&parse(&swapped)).unwrap().to_string(), "group \"web\": another order");
        let (head, groups) = BASE.split_once("[[group]]").unwrap();
        let (web, spare) = groups.split_once("[[group]]").unwrap();
        let turned = format!("{head}[[group]]{spare}[[group]]{web}");
        assert!(parse(BASE).difference(&parse(&turned)).unwrap().is_empty());
    }

    #[test]
    fn what_needs_a_restart_is_named_by_its_key() {
        let key = |from: &str, to: &str| difference(&[(from, to)]).unwrap_err().key;
        assert_eq!(key("workers = 1", "workers = 2"), "workers");
        assert_eq!(key("workers = 1", "cores = [0]\nworkers = 1"), "cores");
        assert_eq!(key("workers = 1", "drain = '1s'\nworkers = 1"), "drain");
        assert_eq!(key("workers = 1", "workers = 1\n[admin]\nlisten = '127.0.0.1:9'"), "admin.listen");
        assert_eq!(key("workers = 1", "workers = 1\n[log]\naccess = 'stderr'"), "log");
        assert_eq!(key("name = 'web'\nlisten", "name = 'www'\nlisten"), "virtual_service");
        for (field, from, to) in [
            ("listen", "127.0.0.1:8080", "127.0.0.1:8081"),
            ("mode", "'http'", "'tcp'"),
            ("group", "group = 'web'", "group = 'spare'"),
            ("max_connections", "mode =", "max_connections = 5\nmode ="),
            ("reuse", "mode =", "reuse = 'never'\nmode ="),
            ("forwarded", "mode =", "forwarded = false\nmode ="),
            ("retries", "mode =", "retries = 3\nmode ="),
            ("timeouts.connect", "mode =", "timeouts = { connect = '1s' }\nmode ="),
        ] {
            assert_eq!(key(from, to), format!("virtual_service.0.{field}"));
        }
        let datagrams = |to: &str| {
            let base = BASE.replace("mode = 'http'", "mode = 'udp'");
            let parse = |text: &str| Config::parse("lb.toml", text).unwrap();
            parse(&base).difference(&parse(&base.replace("mode =", &format!("{to}\nmode =")))).unwrap_err().key
        };
        assert_eq!(datagrams("responses = 1"), "virtual_service.0.responses");
        assert_eq!(datagrams("requests = 1"), "virtual_service.0.requests");
        assert_eq!(datagrams("timeouts = { flow_idle = '1s' }"), "virtual_service.0.timeouts.flow_idle");
        assert_eq!(key("kind = 'tcp'", "kind = 'tcp', port = 9"), "group.0.health.port");
        assert_eq!(key("'spare'", "'other'"), "group");
        assert_eq!(key("weighted-round-robin", "round-robin"), "group.0.balance");
        assert_eq!(key("health = { kind = 'tcp' }", ""), "group.0.health");
        assert_eq!(key("kind = 'tcp'", "kind = 'http'"), "group.0.health");
        assert_eq!(key("kind = 'tcp'", "kind = 'tcp', rise = 9"), "group.0.health.rise");
        let workers = difference(&[("workers = 1\n", "")]).unwrap_err();
        assert_eq!((workers.running.as_str(), workers.wanted.as_str()), ("1", "none"));
        assert_eq!(
            difference(&[("127.0.0.1:8080", "127.0.0.1:8081")]).unwrap_err().to_string(),
            "virtual_service.0.listen: 127.0.0.1:8081, but 127.0.0.1:8080 is running; expected no change, \
             as a reload changes only real_servers: restart lb to change it"
        );
        let values = |from: &str, to: &str| difference(&[(from, to)]).unwrap_err().values();
        assert!(values("workers = 1", "workers = 1\n[log]\naccess = 'stderr'").starts_with("\"stderr\", but none is "));
        assert!(values("health = { kind = 'tcp' }", "").starts_with("none, but \"tcp\" is running; "));
    }

    #[test]
    fn workers_are_compared_by_their_number_whether_the_file_says_it_or_not() {
        let parse = |text: &str, cores| Config::parse("lb.toml", text).unwrap().resolved(cores);
        let unsaid = BASE.replace("workers = 1\n", "");
        assert!(parse(BASE, 2).difference(&parse(&unsaid, 1)).unwrap().is_empty());
        assert!(parse(&unsaid, 1).difference(&parse(BASE, 2)).unwrap().is_empty());
        let error = parse(BASE, 2).difference(&parse(&unsaid, 2)).unwrap_err();
        assert!(error.to_string().starts_with("workers: 2, but 1 is running; "), "{error}");
    }
}
