//! `/metrics` in the Prometheus text format (version 0.0.4).
//!
//! The names after `lb_service_` and `lb_server_` are those of HAProxy's exporter, so that existing
//! dashboards need only another prefix; "session" in them is what we call a connection.

use std::fmt::Write;

use super::pages::sum;
use crate::config::Mode;
use crate::counters::{Counter, Dropped, ServerCounters, ServiceCounters};
use crate::group::SharedServer;
use crate::worker::Shared;

/// Name without prefix, type, help and counter of a metric.
type Metric<C> = (&'static str, &'static str, &'static str, fn(&C) -> &Counter);

const SERVICE: &[Metric<ServiceCounters>] = &[
    ("current_sessions", "gauge", "Client connections, or UDP flows, open now.", |c| &c.current),
    ("sessions_total", "counter", "Client connections accepted, or UDP flows opened.", |c| &c.connections),
    ("connections_denied_total", "counter", "Client connections closed because of max_connections.", |c| &c.denied),
    ("http_requests_total", "counter", "Requests whose head was complete.", |c| &c.requests),
    ("request_errors_total", "counter", "Requests refused because they were wrong.", |c| &c.request_errors),
    ("connection_errors_total", "counter", "No server connection could be had.", |c| &c.connection_errors),
    ("response_errors_total", "counter", "Server connections that failed after they had been made.", |c| {
        &c.response_errors
    }),
    ("retry_warnings_total", "counter", "Failed connects followed by a try on another server.", |c| &c.retries),
    ("timeouts_total", "counter", "Waits that ended by a timeout.", |c| &c.timeouts),
    ("bytes_in_total", "counter", "Bytes received from clients.", |c| &c.bytes_in),
    ("bytes_out_total", "counter", "Bytes sent to clients.", |c| &c.bytes_out),
    ("datagrams_in_total", "counter", "Datagrams received from clients.", |c| &c.datagrams_in),
    ("datagrams_out_total", "counter", "Datagrams sent to clients.", |c| &c.datagrams_out),
    ("flows_expired_total", "counter", "UDP flows that ended because they were idle.", |c| &c.expired),
    ("flows_moved_total", "counter", "UDP flows given another server: theirs was down or refused.", |c| &c.moved),
    ("flows_evicted_total", "counter", "UDP flows that ended to make room for another one.", |c| &c.evicted),
];

const SERVER: &[Metric<ServerCounters>] = &[
    ("current_sessions", "gauge", "Connections (TCP), requests (HTTP) or flows (UDP) running now.", |c| &c.current),
    ("loadbalanced_total", "counter", "How often the server was chosen.", |c| &c.chosen),
    ("sessions_total", "counter", "Connections made.", |c| &c.connections),
    ("http_requests_total", "counter", "Requests sent.", |c| &c.requests),
    ("connection_reuses_total", "counter", "Requests sent on a connection used before.", |c| &c.reuses),
    ("connection_errors_total", "counter", "Connects that failed or timed out.", |c| &c.connect_failures),
    ("response_errors_total", "counter", "Connections that failed after they had been made.", |c| &c.response_errors),
    ("bytes_in_total", "counter", "Bytes sent to the server.", |c| &c.bytes_in),
    ("bytes_out_total", "counter", "Bytes received from the server.", |c| &c.bytes_out),
    ("datagrams_in_total", "counter", "Datagrams sent to the server.", |c| &c.datagrams_in),
    ("datagrams_out_total", "counter", "Datagrams received from the server.", |c| &c.datagrams_out),
];

/// Renders all metrics.
pub(super) fn render(shared: &Shared) -> String {
    let mut out = String::with_capacity(16 * 1024);
    process(&mut out, shared);
    services(&mut out, shared);
    datagrams(&mut out, shared);
    servers(&mut out, shared);
    out
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    // Writing to a string cannot fail, here and below.
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn process(out: &mut String, shared: &Shared) {
    head(out, "lb_process_workers", "gauge", "Worker threads.");
    let _ = writeln!(out, "lb_process_workers {}", shared.workers);
    head(
        out,
        "lb_process_shortages_total",
        "counter",
        "Accepts and connects that failed for want of descriptors or ports.",
    );
    let _ = writeln!(out, "lb_process_shortages_total {}", shared.shortage.count());
    if let Some(log) = &shared.log {
        head(
            out,
            "lb_process_dropped_logs_total",
            "counter",
            "Access log entries dropped because the log was too slow.",
        );
        let _ = writeln!(out, "lb_process_dropped_logs_total {}", log.dropped());
    }
}

fn services(out: &mut String, shared: &Shared) {
    for (name, kind, help, counter) in SERVICE {
        let name = format!("lb_service_{name}");
        head(out, &name, kind, help);
        for service in &shared.services {
            let value: u64 = service.counters.iter().map(|counters| counter(counters).get()).sum();
            let _ = writeln!(out, "{name}{{service=\"{}\"}} {value}", service.config.name);
        }
    }
    head(out, "lb_service_http_responses_total", "counter", "Responses to clients by class of status.");
    for service in &shared.services {
        for (at, class) in ["1xx", "2xx", "3xx", "4xx", "5xx", "other"].iter().enumerate() {
            let value: u64 = service.counters.iter().map(|counters| counters.responses[at].get()).sum();
            let name = &service.config.name;
            let _ = writeln!(out, "lb_service_http_responses_total{{service=\"{name}\",code=\"{class}\"}} {value}");
        }
    }
}

fn datagrams(out: &mut String, shared: &Shared) {
    head(out, "lb_service_datagrams_dropped_total", "counter", "Datagrams received and not sent on, by reason.");
    for service in shared.services.iter().filter(|service| service.config.mode == Mode::Udp) {
        for (why, reason) in Dropped::ALL {
            let value: u64 = service.counters.iter().map(|counters| counters.dropped[why as usize].get()).sum();
            let name = &service.config.name;
            let _ =
                writeln!(out, "lb_service_datagrams_dropped_total{{service=\"{name}\",reason=\"{reason}\"}} {value}");
        }
    }
    let name = "lb_service_datagrams_overflown_total";
    let help = "Datagrams that found a receive buffer full; those from servers are known when their flow has ended.";
    head(out, name, "counter", help);
    for service in shared.services.iter().filter(|service| service.config.mode == Mode::Udp) {
        let from_servers: u64 = service.counters.iter().map(|counters| counters.overflown.get()).sum();
        for (from, value) in [("clients", service.overflown()), ("servers", from_servers)] {
            let service = &service.config.name;
            let _ = writeln!(out, "{name}{{service=\"{service}\",from=\"{from}\"}} {value}");
        }
    }
}

fn servers(out: &mut String, shared: &Shared) {
    for (name, kind, help, counter) in SERVER {
        per_server(out, shared, &format!("lb_server_{name}"), kind, help, |server| sum(server, counter) as f64);
    }
    per_server(out, shared, "lb_server_status", "gauge", "1 is up, 0 is down.", |server| {
        f64::from(u8::from(server.is_up()))
    });
    per_server(out, shared, "lb_server_weight", "gauge", "Weight as configured.", |server| {
        f64::from(server.config.weight)
    });
    per_server(out, shared, "lb_server_check_failures_total", "counter", "Failed health checks.", |server| {
        server.check().failures as f64
    });
    let now = host::clock::monotonic_ns();
    let help = "Seconds since the server last went up or down, 0 if it never did.";
    per_server(out, shared, "lb_server_check_last_change_seconds", "gauge", help, |server| {
        match server.check().changed_ns {
            0 => 0.0,
            changed => now.saturating_sub(changed) as f64 / 1e9,
        }
    });
}

fn per_server(
    out: &mut String,
    shared: &Shared,
    name: &str,
    kind: &str,
    help: &str,
    value: impl Fn(&SharedServer) -> f64,
) {
    head(out, name, kind, help);
    for group in shared.groups().iter() {
        for server in &group.servers {
            let (group, label) = (&group.config.name, &server.config.name);
            let _ = writeln!(out, "{name}{{group=\"{group}\",server=\"{label}\"}} {}", value(server));
        }
    }
}
