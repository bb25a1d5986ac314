//! What is allowed but probably not meant.

use super::{Balance, Check, Config, Group, Mode, VirtualService};

pub(super) fn of(config: &Config) -> Vec<String> {
    let mut found = Vec::new();
    for service in &config.services {
        service_warnings(service, &config.groups[service.group], &mut found);
    }
    for (at, group) in config.groups.iter().enumerate() {
        if !config.services.iter().any(|service| service.group == at) {
            found.push(format!("group {:?} is used by no virtual service", group.name));
        }
        group_warnings(group, &mut found);
    }
    found
}

fn service_warnings(service: &VirtualService, group: &Group, found: &mut Vec<String>) {
    let name = &service.name;
    let tcp_check = group.health.as_ref().is_some_and(|health| matches!(health.check, Check::Tcp));
    if service.mode == Mode::Http && tcp_check {
        found.push(format!(
            "virtual service {name:?} is HTTP, but its group {:?} has only TCP checks: a server whose application is dead \
             stays up as long as its port is open; use kind = \"http\" with a path that asks the application",
            group.name
        ));
    }
    if service.mode == Mode::Udp {
        udp_warnings(service, group, found);
    }
    if service.retries > 0 && group.servers.len() == 1 {
        found.push(format!(
            "virtual service {name:?} has retries = {}, but its group {:?} has one real server: there is no other to try",
            service.retries, group.name
        ));
    }
    if group.servers.iter().any(|server| server.address == service.listen) {
        found.push(format!(
            "virtual service {name:?} has itself as a real server: connections would go round in a loop"
        ));
    }
}

fn udp_warnings(service: &VirtualService, group: &Group, found: &mut Vec<String>) {
    let (name, group_name) = (&service.name, &group.name);
    match &group.health {
        None => found.push(format!(
            "virtual service {name:?} is UDP, and its group {group_name:?} has no health checks: a server that is silent \
             keeps its flows; give health.port the number of a port where the servers answer over TCP"
        )),
        Some(health) if health.port.is_none() => found.push(format!(
            "virtual service {name:?} is UDP, but the checks of its group {group_name:?} go over TCP to the ports of the \
             UDP service; give health.port, unless the servers listen there with TCP as well"
        )),
        Some(_) => {}
    }
}

fn group_warnings(group: &Group, found: &mut Vec<String>) {
    let name = &group.name;
    if group.health.is_none() {
        found.push(format!("group {name:?} has no health checks: a dead server keeps its share of the connections"));
    }
    if group.servers.len() == 1 {
        found.push(format!("group {name:?} has one real server: nothing is balanced, and nothing takes over"));
    }
    let same = group.servers.iter().all(|server| server.weight == group.servers[0].weight);
    if group.balance == Balance::WeightedRoundRobin && same && group.servers.len() > 1 {
        found.push(format!(
            "group {name:?} is weighted-round-robin, but all weights are {}: that is round-robin",
            group.servers[0].weight
        ));
    }
    if group.balance == Balance::RoundRobin && !same {
        found.push(format!(
            "group {name:?} has different weights, but round-robin ignores them; use weighted-round-robin"
        ));
    }
    if group.balance != Balance::RoundRobin && group.servers.iter().all(|server| server.weight == 0) {
        found.push(format!("group {name:?} has only weights of 0: no server takes any connection"));
    }
    for (at, server) in group.servers.iter().enumerate() {
        if let Some(twin) = group.servers[..at].iter().find(|other| other.address == server.address) {
            found.push(format!(
                "group {name:?}: {:?} and {:?} have the same address {}",
                twin.name, server.name, server.address
            ));
        }
    }
}
