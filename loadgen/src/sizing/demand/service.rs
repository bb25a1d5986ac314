//! One `[[service]]`: peaks of the busiest second, and connections at once that agree with them.

use wire::document::{Document, DocumentError};
use wire::units::Span;

use super::Service;
use super::file::{DemandFile, ServiceFile};
use super::words::{Persistence, Protocol, Statistic};

/// Relative difference below which a stated and a computed number of connections agree.
const AGREES: f64 = 0.05;
/// Most services of a site.
const SERVICES_MAX: usize = 1_000;

pub(super) fn services(file: &DemandFile, document: &Document) -> Result<Vec<Service>, DocumentError> {
    if file.service.is_empty() {
        return Err(
            document.error_at("service", "missing; expected at least one [[service]] with its peak: cps = \"20k/s\"")
        );
    }
    if file.service.len() > SERVICES_MAX {
        return Err(
            document.error_at("service", format!("{} services; at most {SERVICES_MAX} are taken", file.service.len()))
        );
    }
    file.service.iter().enumerate().map(|(at, service)| one_service(at, service, document)).collect()
}

fn one_service(at: usize, file: &ServiceFile, document: &Document) -> Result<Service, DocumentError> {
    let wrong = |key: &str, message: String| document.error_at(&format!("service.{at}{key}"), message);
    if file.cps.is_none() && file.tps.is_none() && file.bandwidth.is_none() && file.cc.is_none() {
        return Err(wrong(
            "",
            "has no peak; expected cps, tps, bandwidth or cc of the busiest second: cps = \"20k/s\"".to_owned(),
        ));
    }
    let factor = peak_factor(file).map_err(|(key, message)| wrong(key, message))?;
    let cps = file.cps.map(|rate| rate.as_f64() * factor);
    let tps = file.tps.map(|rate| rate.as_f64() * factor);
    if let (Some(cps), Some(tps)) = (cps, tps)
        && tps < cps
    {
        return Err(wrong(
            ".tps",
            format!(
                "{tps}/s is less than cps ({cps}/s), but each connection carries one transaction or more; correct one of them, or leave tps out"
            ),
        ));
    }
    let protocol = file.protocol.unwrap_or(Protocol::Http);
    let persistence = file.persistence.unwrap_or(Persistence::None);
    let is_http = matches!(protocol, Protocol::Http | Protocol::Https);
    if !is_http && matches!(persistence, Persistence::Cookie | Persistence::Url) {
        return Err(wrong(
            ".persistence",
            format!(
                "\"{}\" needs HTTP, but the protocol is \"{}\"; expected \"none\" or \"source-ip\"",
                persistence.name(),
                protocol.name()
            ),
        ));
    }
    let (cc, cc_from) = concurrent(file, cps, factor).map_err(|(key, message)| wrong(key, message))?;
    Ok(Service {
        name: file.name.clone().unwrap_or_else(|| format!("service {}", at + 1)),
        protocol,
        cps,
        tps,
        bandwidth_bps: file.bandwidth.map(|rate| rate.as_f64() * factor),
        cc,
        cc_from,
        statistic: file.statistic.unwrap_or(Statistic::MaxSecond),
        peak_to_mean: factor,
        persistence,
        carries: file.carries.clone().unwrap_or_default(),
        balancing: file.balancing,
        check: file.check,
    })
}

/// A wrong key of a service, with a dot in front, and what is wrong.
type Wrong = (&'static str, String);

/// What makes a stated peak that of the busiest second.
fn peak_factor(file: &ServiceFile) -> Result<f64, Wrong> {
    let statistic = file.statistic.unwrap_or(Statistic::MaxSecond);
    match file.peak_to_mean {
        Some(_) if !statistic.is_mean() => {
            Err((".peak_to_mean", format!("\"{}\" is a peak already; leave peak_to_mean out", statistic.name())))
        }
        Some(ratio) if (1.0..=1_000.0).contains(&ratio) => Ok(ratio),
        Some(ratio) => Err((".peak_to_mean", format!("{ratio} is no ratio of a peak to a mean; expected 1 to 1000"))),
        None if statistic.is_mean() => Err((
            ".statistic",
            format!(
                "\"{}\" hides the busiest second, which the device has to carry; expected \"max-1s\" or \"p99.9-1s\" from logs with a time stamp per second, or peak_to_mean beside it",
                statistic.name()
            ),
        )),
        None => Ok(1.0),
    }
}

/// Seconds for which a connection stands in the device's table; times that would not be used are refused.
fn time_open(file: &ServiceFile) -> Result<Option<f64>, Wrong> {
    let seconds = |span: Option<Span>| span.map_or(0.0, |span| span.0.as_secs_f64());
    for (key, given) in [(".keepalive_idle", file.keepalive_idle), (".aging", file.aging)] {
        if given.is_some() && file.connection_lifetime.is_none() {
            let why = "given without connection_lifetime, so connections at once cannot be computed; expected both";
            return Err((key, why.to_owned()));
        }
    }
    if file.connection_lifetime.is_some() && file.cps.is_none() {
        let why = "given without cps, so connections at once cannot be computed; expected cps as well, or cc instead";
        return Err((".connection_lifetime", why.to_owned()));
    }
    let open_s = seconds(file.connection_lifetime) + seconds(file.keepalive_idle) + seconds(file.aging);
    Ok(file.connection_lifetime.map(|_| open_s))
}

/// Connections open at once, and how they were found.
fn concurrent(file: &ServiceFile, cps: Option<f64>, factor: f64) -> Result<(Option<f64>, String), Wrong> {
    let stated = file.cc.map(|count| count.as_f64() * factor);
    let open_s = time_open(file)?;
    let computed = cps.zip(open_s).map(|(cps, open_s)| cps * open_s);
    if let (Some(stated), Some(computed)) = (stated, computed)
        && stated < computed * (1.0 - AGREES)
    {
        let (cps, open_s) = (cps.unwrap_or_default(), open_s.unwrap_or_default());
        return Err((
            ".cc",
            format!(
                "{stated} connections at once contradict {cps}/s × {open_s} s open = {computed} (Little's law); correct one of them, or leave cc out"
            ),
        ));
    }
    Ok(match (stated, computed) {
        (Some(stated), Some(computed)) if stated > computed * (1.0 + AGREES) => {
            (Some(stated), format!("as stated; more than CPS × time open, which is {computed:.0}"))
        }
        (Some(stated), _) => (Some(stated), "as stated".to_owned()),
        (None, Some(computed)) => {
            let aging = if file.aging.is_some() { " + aging" } else { "" };
            let from = format!("CPS × {:.0} s open (lifetime + keep-alive idle{aging})", open_s.unwrap_or_default());
            (Some(computed), from)
        }
        (None, None) => (None, "not stated".to_owned()),
    })
}
