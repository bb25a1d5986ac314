//! Is an interface towards the DUT full?

use super::{Check, Facts, Inquiry, LimitedBy, NO_SAMPLES};

/// Share of its declared speed at which an interface is full.
const FULL: f64 = 0.95;

pub(super) fn full(_: &Inquiry<'_>, facts: &Facts<'_>) -> Check {
    let Some(usage) = &facts.usage else { return Check::holds(NO_SAMPLES) };
    let links = usage.links();
    if links.is_empty() {
        return Check::holds("not applied: no traffic of this testbed leaves over an interface");
    }
    let declared = links.iter().filter_map(|link| Some((link, link.used_bps / link.speed_bps? as f64)));
    let Some((link, share)) = declared.max_by(|a, b| a.1.total_cmp(&b.1)) else {
        let names: Vec<&str> = links.iter().map(|link| link.name.as_str()).collect();
        return Check::holds(format!("not applied: {} declare(s) no speed", names.join(", ")));
    };
    let text = format!("{} carries {:.1}% of its declared speed (limit 95%)", link.name, share * 100.0);
    if share >= FULL { Check::blames(LimitedBy::Link, text) } else { Check::holds(text) }
}
