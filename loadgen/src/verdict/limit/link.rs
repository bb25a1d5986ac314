//! Is an interface towards the DUT full, or a link at the speed that the scenario declares for it?

use super::{Check, Facts, Inquiry, LimitedBy, NO_SAMPLES};
use crate::verdict::frames::theoretical_fps;

/// Share of its declared speed at which an interface is full.
const FULL: f64 = 0.95;

pub(super) fn full(inquiry: &Inquiry<'_>, facts: &Facts<'_>) -> Check {
    if let Some(most) = theoretical_fps(inquiry.plan) {
        return declared(most, facts.trial.achieved_rate());
    }
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

/// Links without a speed of their own are offered no more than the speed that they stand for.
fn declared(most: f64, rate: f64) -> Check {
    let share = rate / most.max(f64::MIN_POSITIVE);
    let text = format!("{:.1}% of the {most:.0} frames/s that the declared links carry (limit 95%)", share * 100.0);
    if share >= FULL { Check::blames(LimitedBy::Link, text) } else { Check::holds(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_declared_link_is_full_near_its_speed() {
        assert_eq!(declared(1_000.0, 949.0).blames, None);
        let full = declared(1_000.0, 960.0);
        assert_eq!(full.blames, Some(LimitedBy::Link));
        assert_eq!(full.text, "96.0% of the 1000 frames/s that the declared links carry (limit 95%)");
    }
}
