//! Growth, redundancy, limits, margins and prices of a demand.

use std::collections::BTreeMap;

use wire::document::{Document, DocumentError};
use wire::units::Percent;

use super::file::{DemandFile, GrowthFile, PlanningFile, RedundancyFile};
use super::words::{self, Mode};
use super::{Limits, Planning, Redundancy};

/// What is left of a measured capacity when production differs from the measurement.
const DERATE: f64 = 0.8;
/// Longest planning horizon in years.
const YEARS_MAX: i64 = 20;
/// Most devices that may fail at once.
const FAILURES_MAX: u32 = 100;

pub(super) fn growth(file: &GrowthFile, document: &Document) -> Result<(f64, u32), DocumentError> {
    let years = file.years.unwrap_or(0);
    if !(0..=YEARS_MAX).contains(&years) {
        return Err(
            document.error_at("growth.years", format!("{years} years; expected a whole number from 0 to {YEARS_MAX}"))
        );
    }
    let text = file.per_year.as_deref().unwrap_or("0%");
    if text.trim_start().starts_with('-') {
        return Err(document.error_at(
            "growth.per_year",
            format!("{text:?} is negative; a device has to carry today's peak on its first day: write \"0%\""),
        ));
    }
    let growth: Percent = text.parse().map_err(|error| document.error_at("growth.per_year", format!("{error}")))?;
    Ok((growth.as_ratio(), years.try_into().unwrap_or(0)))
}

pub(super) fn redundancy(file: &RedundancyFile, document: &Document) -> Result<Redundancy, DocumentError> {
    let tolerated_failures = file.tolerated_failures.unwrap_or(1);
    if tolerated_failures > FAILURES_MAX {
        let message = format!("{tolerated_failures}; expected a whole number from 0 to {FAILURES_MAX}");
        return Err(document.error_at("redundancy.tolerated_failures", message));
    }
    let mode = file.mode.unwrap_or(Mode::ActiveActive);
    Ok(Redundancy { tolerated_failures, mode, fail_back: file.fail_back })
}

pub(super) fn planning(file: &PlanningFile, document: &Document) -> Result<Planning, DocumentError> {
    let limits = |names: [&str; 2], found: [Option<Percent>; 2], defaults: [f64; 2]| {
        let mut values = [0.0; 2];
        for at in 0..2 {
            values[at] = found[at].map_or(defaults[at], Percent::as_ratio);
            if !(values[at] > 0.0 && values[at] <= 1.0) {
                let message = format!("{}; expected more than 0% and at most 100%", found[at].unwrap_or_default());
                return Err(document.error_at(&format!("planning.{}", names[at]), message));
            }
        }
        Ok(Limits { normal: values[0], failed: values[1] })
    };
    let derate = derate(file, document)?;
    let slo = file.slo_p99.map_or(0.01, |span| span.0.as_secs_f64());
    if slo <= 0.0 {
        return Err(document.error_at("planning.slo_p99", "0s; expected a time greater than 0, such as \"10ms\""));
    }
    for (key, workers) in [("workers", file.workers), ("scaling_workers", file.scaling_workers)] {
        if workers == Some(0) {
            return Err(document.error_at(&format!("planning.{key}"), "0; expected a whole number from 1"));
        }
    }
    Ok(Planning {
        slo_p99_s: slo,
        cpu: limits(["cpu_normal", "cpu_failed"], [file.cpu_normal, file.cpu_failed], [0.6, 0.8])?,
        memory: limits(["memory_normal", "memory_failed"], [file.memory_normal, file.memory_failed], [0.8, 0.9])?,
        link: limits(["link_normal", "link_failed"], [file.link_normal, file.link_failed], [0.6, 0.8])?,
        link_bps: file.link.map(words::BitRate::as_f64),
        differs: file.differs.clone(),
        derate,
        workers: file.workers,
        scaling_workers: file.scaling_workers,
        seed: file.seed.unwrap_or(1),
    })
}

/// What is left of a measured capacity in production.
fn derate(file: &PlanningFile, document: &Document) -> Result<f64, DocumentError> {
    match file.derate {
        Some(derate) if !(derate > 0.0 && derate <= 1.0) => {
            Err(document.error_at("planning.derate", format!("{derate}; expected more than 0 and at most 1")))
        }
        Some(_) if file.differs.is_empty() => {
            let message = "given, but planning.differs says nothing differs from the measurement; expected differs = [\"hardware\"] or no derate";
            Err(document.error_at("planning.derate", message))
        }
        Some(derate) => Ok(derate),
        None if file.differs.is_empty() => Ok(1.0),
        None => Ok(DERATE),
    }
}

pub(super) fn prices(file: &DemandFile, document: &Document) -> Result<BTreeMap<String, f64>, DocumentError> {
    for (name, price) in &file.price.per_node {
        if !price.is_finite() || *price < 0.0 {
            return Err(document.error_at(&format!("price.per_node.{name}"), format!("{price}; expected 0 or more")));
        }
    }
    if !file.price.per_node.is_empty() && file.price.currency.is_none() {
        return Err(document.error_at("price.currency", "missing beside prices; expected a currency such as \"EUR\""));
    }
    Ok(file.price.per_node.clone())
}
