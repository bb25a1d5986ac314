//! What a site should think about before it buys: the pitfalls that a number of devices does not show.

use super::words::{Check, Mode, Persistence, Protocol};
use super::{Demand, Service};

/// Share of users behind few addresses from which persistence by address skews the load.
const PROXIES: f64 = 0.05;

/// The warnings of a demand, each with the next step.
pub(super) fn of(demand: &Demand) -> Vec<String> {
    let mut warnings: Vec<String> = demand.services.iter().flat_map(|service| of_service(demand, service)).collect();
    if demand.redundancy.tolerated_failures == 0 {
        warnings.push("no failure is tolerated: one device down takes the service down, or its share of it; state redundancy.tolerated_failures = 1".to_owned());
    }
    if demand.redundancy.mode == Mode::ActiveStandby && demand.redundancy.fail_back.is_none() {
        warnings.push("whether a repaired device takes its addresses back is not stated: fail-back interrupts connections a second time; state redundancy.fail_back".to_owned());
    }
    if demand.monitoring.is_empty() {
        warnings.push("operation.monitoring is empty: ask for the same counters that the runs recorded, or nobody will see the margin go".to_owned());
    }
    if demand.access.is_empty() {
        warnings.push(
            "operation.access is empty: state from where the devices may be managed, and keep it encrypted".to_owned(),
        );
    }
    warnings
}

fn of_service(demand: &Demand, service: &Service) -> Vec<String> {
    let name = &service.name;
    let mut warnings = Vec::new();
    if service.persistence == Persistence::SourceIp {
        warnings.extend(by_address(demand, name));
    }
    let needs = service.persistence;
    if needs != Persistence::None && needs != Persistence::SourceIp && !service.carries.contains(&needs) {
        warnings.push(format!(
            "service {name}: persistence by {} is asked for, but carries does not name it; make sure that every client carries it",
            needs.name()
        ));
    }
    if needs == Persistence::TlsSession {
        warnings.push(format!(
            "service {name}: clients that renegotiate every few minutes lose their real server with their TLS session; prefer a cookie"
        ));
    }
    let is_http = matches!(service.protocol, Protocol::Http | Protocol::Https);
    if is_http && matches!(service.check, None | Some(Check::Ping | Check::Tcp)) {
        let found = service.check.map_or("not stated", Check::name);
        warnings.push(format!(
            "service {name}: the check is {found}; a ping or an open port does not show that the application is dead: ask for a page that uses what lies behind it (check = \"http\")"
        ));
    }
    if service.cps.is_some() && service.cc.is_none() {
        warnings.push(format!(
            "service {name}: neither cc nor connection_lifetime is stated, so its share of the connection table is not sized; state one"
        ));
    }
    if service.peak_to_mean > 1.0 {
        warnings.push(format!(
            "service {name}: its peak is a {} × {}; measure the busiest second, because the ratio decides the answer",
            service.statistic.name(),
            service.peak_to_mean
        ));
    }
    warnings
}

/// Persistence by address where many users share one.
fn by_address(demand: &Demand, name: &str) -> Option<String> {
    match demand.users.behind_proxies {
        Some(share) if share >= PROXIES => Some(format!(
            "service {name}: persistence by source address, but {:.0} % of the users come through few addresses (proxies, carrier NAT): all users of a large proxy reach one real server, and users whose proxy changes address lose theirs; prefer a cookie",
            share * 100.0
        )),
        Some(_) => None,
        None => Some(format!(
            "service {name}: persistence by source address, and users.behind_proxies is not stated: behind a large proxy it puts all users on one real server; state the share, or prefer a cookie"
        )),
    }
}
