//! `/servers` as JSON and `/health` as a sentence.

use serde::Serialize;
use std::net::SocketAddr;

use crate::config::Check;
use crate::counters::{Counter, ServerCounters};
use crate::group::{SharedGroup, SharedServer};
use crate::worker::{Phase, Shared};

/// One real server in `/servers`.
#[derive(Debug, Serialize)]
struct ServerRow<'a> {
    group: &'a str,
    name: &'a str,
    address: SocketAddr,
    /// `up`, `down`, or `draining` while the load balancer drains.
    state: &'static str,
    weight: u32,
    /// Connections (TCP) or requests (HTTP) running now.
    current_connections: u64,
    /// Connections made.
    connections_total: u64,
    requests_total: u64,
    connect_failures_total: u64,
    /// `none`, `tcp` or `http`.
    check: &'static str,
    /// What the last check found; absent before the first one.
    check_status: Option<String>,
    checks_total: u64,
    check_failures_total: u64,
    /// Seconds since the server last went up or down; absent if it never did.
    last_change_s: Option<f64>,
}

/// The sum of one counter over the workers.
pub(super) fn sum(server: &SharedServer, counter: impl Fn(&ServerCounters) -> &Counter) -> u64 {
    server.counters().iter().map(|counters| counter(counters).get()).sum()
}

/// Every real server of every group, as a JSON array.
pub(super) fn servers(shared: &Shared, phase: Phase) -> String {
    let groups = shared.groups();
    let rows: Vec<_> =
        groups.iter().flat_map(|group| group.servers.iter().map(move |server| row(group, server, phase))).collect();
    // Plain data with text keys: serialising it cannot fail.
    serde_json::to_string(&rows).unwrap_or_default()
}

fn row<'a>(group: &'a SharedGroup, server: &'a SharedServer, phase: Phase) -> ServerRow<'a> {
    let report = server.check();
    let now = host::clock::monotonic_ns();
    ServerRow {
        group: &group.config.name,
        name: &server.config.name,
        address: server.config.address,
        state: match (server.is_up(), phase) {
            (false, _) => "down",
            (true, Phase::Running) => "up",
            (true, _) => "draining",
        },
        weight: server.config.weight,
        current_connections: server.current(),
        connections_total: sum(server, |counters| &counters.connections),
        requests_total: sum(server, |counters| &counters.requests),
        connect_failures_total: sum(server, |counters| &counters.connect_failures),
        check: match group.config.health.as_ref().map(|health| &health.check) {
            None => "none",
            Some(Check::Tcp) => "tcp",
            Some(Check::Http { .. }) => "http",
        },
        checks_total: report.checks,
        check_failures_total: report.failures,
        last_change_s: (report.changed_ns > 0).then(|| now.saturating_sub(report.changed_ns) as f64 / 1e9),
        check_status: Some(report.message).filter(|message| !message.is_empty()),
    }
}

/// Whether clients can be served: every virtual service has a real server, and no drain has begun.
pub(super) fn health(shared: &Shared, phase: Phase) -> Result<String, String> {
    if phase != Phase::Running {
        return Err("draining\n".to_owned());
    }
    let groups = shared.groups();
    let without: Vec<_> = shared
        .services
        .iter()
        .filter(|service| !groups[service.config.group].servers.iter().any(|server| server.is_up()))
        .map(|service| service.config.name.as_str())
        .collect();
    if without.is_empty() {
        return Ok("ok\n".to_owned());
    }
    Err(format!("no real server is up: {}\n", without.join(", ")))
}
