//! What the rounds of a row say: medians, ratio with interval, side conditions, verdict. Pure.

use super::plan::{Bar, Demand, Spec};
use super::statistics::{COVERAGE, Estimate, estimate, median};
use super::window::Measured;

/// How far our rate may lie below the peer's. Where generators and not nginx are the limit, the cheaper
/// one is also the faster one: that is no reason to miss, but the table says it.
pub(crate) const RATE_TOLERANCE: f64 = 0.03;
/// How much longer per transaction the whole machine may be busy.
const MACHINE_MAX: f64 = 1.03;
/// What the interval of a load balancer's ratio has to stay above.
const INTERVAL_MIN: f64 = 0.95;

/// How much of the offered rate has to arrive.
const CARRIED_MIN: f64 = 0.99;

/// What became of a row.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// It reached its bar and everything else that is asked.
    Met,
    /// It did not, for these reasons.
    Missed(Vec<String>),
    /// It has no bar.
    Information,
    /// It could not be measured.
    Absent(String),
}

/// One line of the table.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// What was asked.
    pub(crate) spec: Spec,
    /// Median of ours.
    pub(crate) ours: Option<f64>,
    /// Median of the peer's.
    pub(crate) peer: Option<f64>,
    /// Of ours to the peer's, round by round; of ours alone without a peer.
    pub(crate) ratio: Option<Estimate>,
    /// Rounds in which both were measured.
    pub(crate) rounds: usize,
    /// Rate, machine and so on of ours and the peer.
    pub(crate) sides: [Option<Side>; 2],
    /// Median ratio of the rates, round by round.
    pub(crate) rate_ratio: Option<f64>,
    /// Median ratio of the machine's busy time per transaction, round by round.
    pub(crate) machine_ratio: Option<f64>,
    /// What became of it.
    pub(crate) verdict: Verdict,
}

/// What else was seen of one contender: medians over its rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Side {
    /// Transactions per second.
    pub(crate) rate: f64,
    /// Busy time of all cores per transaction in µs.
    pub(crate) machine_us: f64,
    /// Share of a core that the server was busy.
    pub(crate) server_busy: f64,
    /// The same of the generator.
    pub(crate) generator_busy: f64,
    /// Achieved share of the offered rate; 1 in a closed loop.
    pub(crate) carried: f64,
    /// TCP segments per transaction.
    pub(crate) segments: f64,
    /// Failed transactions of all rounds together.
    pub(crate) failed: u64,
    /// Largest share of time that the hypervisor took in a round.
    pub(crate) steal_max: f64,
}

/// Judges a row by its pairs; `trouble` says why there are fewer than asked for.
pub(crate) fn judge(spec: &Spec, ours: &[Option<Measured>], peer: &[Option<Measured>], trouble: Option<&str>) -> Line {
    let pairs: Vec<(Measured, Option<Measured>)> = match &spec.peer {
        None => ours.iter().flatten().map(|&ours| (ours, None)).collect(),
        Some(_) => ours.iter().zip(peer).filter_map(|(ours, peer)| Some(((*ours)?, Some((*peer)?)))).collect(),
    };
    let all_ours: Vec<Measured> = ours.iter().flatten().copied().collect();
    let all_peer: Vec<Measured> = peer.iter().flatten().copied().collect();
    let ratios = |figure: &dyn Fn(&Measured) -> f64| -> Vec<f64> {
        pairs.iter().filter_map(|(ours, peer)| Some(figure(ours) / figure(&(*peer)?))).collect()
    };
    let values = |all: &[Measured]| -> Vec<f64> { all.iter().map(|measured| spec.figure.of(measured)).collect() };
    let ratio = match &spec.peer {
        None => estimate(&values(&all_ours)),
        Some(_) => estimate(&ratios(&|measured| spec.figure.of(measured))),
    };
    let mut line = Line {
        spec: spec.clone(),
        ours: median(&values(&all_ours)),
        peer: median(&values(&all_peer)),
        ratio,
        rounds: pairs.len(),
        sides: [side(&all_ours), side(&all_peer)],
        rate_ratio: median(&ratios(&|measured| measured.rate)),
        machine_ratio: median(&ratios(&|measured| measured.machine_us)),
        verdict: Verdict::Information,
    };
    line.verdict = verdict(&line, ours.len(), trouble);
    line
}

fn side(all: &[Measured]) -> Option<Side> {
    let of = |figure: fn(&Measured) -> f64| median(&all.iter().map(figure).collect::<Vec<_>>());
    Some(Side {
        rate: of(|measured| measured.rate)?,
        machine_us: of(|measured| measured.machine_us)?,
        server_busy: of(|measured| measured.server_us * measured.rate / 1e6)?,
        generator_busy: of(|measured| measured.generator_us * measured.rate / 1e6)?,
        carried: of(|it| if it.offered > 0.0 { it.rate / it.offered } else { 1.0 })?,
        segments: of(|measured| measured.segments)?,
        failed: all.iter().map(|measured| measured.failed).sum(),
        steal_max: all.iter().map(|measured| measured.steal).fold(0.0, f64::max),
    })
}

/// Whether a row that was to have so many rounds reaches its bar.
fn verdict(line: &Line, asked: usize, trouble: Option<&str>) -> Verdict {
    let (Some(ours), Some(ratio)) = (line.ours, line.ratio) else {
        return Verdict::Absent(trouble.unwrap_or("no round was measured").to_owned());
    };
    let mut missed = Vec::new();
    // A comparison with NaN is false: what has no value is missed.
    let mut check = |holds: bool, text: String| (!holds).then(|| missed.push(text));
    match line.spec.bar {
        Bar::Information => return Verdict::Information,
        Bar::RatioMin(least) => check(ratio.median >= least, format!("ratio {:.3} < {least}", ratio.median)),
        Bar::RatioMax(most) => check(ratio.median <= most, format!("ratio {:.3} > {most}", ratio.median)),
        // Memory that shrinks with connections was not measured.
        Bar::OursMax(most) => check(0.0 < ours && ours <= most, format!("{ours:.0}, not in 0 to {most}")),
    };
    check(line.rounds == asked, format!("only {} of {asked} rounds: {}", line.rounds, trouble.unwrap_or("unknown")));
    for demand in &line.spec.demands {
        match demand {
            Demand::SameRate => {
                let found = line.rate_ratio.unwrap_or(f64::NAN);
                check(found >= 1.0 - RATE_TOLERANCE, format!("rate {found:.3} × the peer's"));
            }
            Demand::SameMachine => {
                let found = line.machine_ratio.unwrap_or(f64::NAN);
                check(found <= MACHINE_MAX, format!("machine busy {found:.3} × the peer's > {MACHINE_MAX}"));
            }
            Demand::IntervalAbove95 => {
                let known = ratio.coverage >= COVERAGE;
                check(known, format!("{} rounds are too few for an interval", line.rounds));
                check(ratio.low > INTERVAL_MIN, format!("interval from {:.3}, not above {INTERVAL_MIN}", ratio.low));
            }
        }
    }
    for (side, whose) in line.sides.iter().zip(["ours", "the peer's"]) {
        let Some(side) = side else { continue };
        check(side.failed == 0, format!("{} transactions failed ({whose})", side.failed));
        // Else the row would be about the tester's own queue.
        check(side.carried >= CARRIED_MIN, format!("{:.3} of the offered rate was carried ({whose})", side.carried));
    }
    if missed.is_empty() { Verdict::Met } else { Verdict::Missed(missed) }
}

#[cfg(test)]
mod tests {
    use super::super::generator::Build;
    use super::super::plan::rows;
    use super::*;

    fn spec(name: &str) -> Spec {
        rows(&Build { path: "a".into(), label: String::new() }, None).into_iter().find(|row| row.name == name).unwrap()
    }

    fn measured(generator_us: f64, rate: f64, machine_us: f64) -> Option<Measured> {
        Some(Measured { generator_us, rate, machine_us, server_us: generator_us, ..Measured::default() })
    }

    #[test]
    fn a_row_is_met_when_ratio_rate_and_machine_are() {
        let ours = vec![measured(10.0, 100.0, 20.0); 12];
        let line = judge(&spec("generator-keep-alive"), &ours, &vec![measured(11.5, 101.0, 20.0); 12], None);
        assert_eq!(line.verdict, Verdict::Met);
        let low = line.ratio.unwrap().low;
        assert!(line.rounds == 12 && (low - 1.15).abs() < 1e-9, "{line:?}");
        let slow = judge(&spec("generator-keep-alive"), &ours, &vec![measured(11.5, 104.0, 19.0); 12], None);
        let Verdict::Missed(reasons) = slow.verdict else { panic!("{slow:?}") };
        assert!(reasons[0].starts_with("rate 0.962") && reasons[1].starts_with("machine busy 1.053"), "{reasons:?}");
        let fast = judge(&spec("generator-keep-alive"), &ours, &vec![measured(11.5, 90.0, 20.0); 12], None);
        assert_eq!(fast.verdict, Verdict::Met);
        let dear = judge(&spec("generator-keep-alive"), &ours, &vec![measured(10.9, 100.0, 20.0); 12], None);
        assert_eq!(dear.verdict, Verdict::Missed(vec!["ratio 1.090 < 1.1".to_owned()]));
    }

    #[test]
    fn pairs_are_of_one_round() {
        // Unpaired, the medians would be 20 and 10.
        let ours = [measured(10.0, 1.0, 1.0), None, measured(30.0, 1.0, 1.0)];
        let peer = [measured(10.0, 1.0, 1.0), measured(1.0, 1.0, 1.0), measured(30.0, 1.0, 1.0)];
        let line = judge(&spec("generator-keep-alive-ab"), &ours, &peer, None);
        assert_eq!((line.rounds, line.ratio.unwrap().median), (2, 1.0));
        assert_eq!(line.verdict, Verdict::Information);
    }

    #[test]
    fn a_wide_interval_and_a_failure_miss() {
        let mut ours = vec![measured(10.0, 1.0, 1.0); 12];
        ours[..4].fill(measured(12.0, 1.0, 1.0));
        ours[0].as_mut().unwrap().failed = 2;
        let line = judge(&spec("lb-close-50-haproxy"), &ours, &vec![measured(10.0, 1.0, 1.0); 12], None);
        let Verdict::Missed(reasons) = line.verdict else { panic!("{line:?}") };
        assert_eq!(reasons, ["interval from 0.833, not above 0.95", "2 transactions failed (ours)"]);
    }

    #[test]
    fn missing_rounds_lost_load_and_failures_of_the_peer_miss() {
        let row = spec("lb-close-50-haproxy");
        let all = vec![measured(10.0, 1.0, 1.0); 12];
        let reasons = |ours: &[Option<Measured>], peer: &[Option<Measured>]| {
            let Verdict::Missed(reasons) = judge(&row, ours, peer, Some("it ended")).verdict else {
                panic!("not missed");
            };
            reasons
        };
        let mut few = vec![None; 12];
        few[0] = all[0];
        let found = reasons(&few, &all);
        assert_eq!(found, ["only 1 of 12 rounds: it ended", "1 rounds are too few for an interval"]);
        let changed = |change: fn(&mut Measured)| {
            let mut one = all[0];
            one.iter_mut().for_each(change);
            vec![one; 12]
        };
        let short = changed(|it| it.offered = 1.25);
        assert_eq!(reasons(&all, &short), ["0.800 of the offered rate was carried (the peer's)"]);
        let failing = changed(|it| it.failed = 1);
        assert_eq!(reasons(&all, &failing), ["12 transactions failed (the peer's)"]);
    }

    #[test]
    fn nothing_measured_is_said_and_not_met() {
        let line = judge(&spec("generator-keep-alive"), &[None], &[None], Some("wrk is not installed"));
        assert_eq!(line.verdict, Verdict::Absent("wrk is not installed".to_owned()));
        let ours = [Some(Measured { p50_us: f64::NAN, ..Measured::default() })];
        let line = judge(&spec("lb-close-50-p50"), &ours, &ours, None);
        assert!(matches!(line.verdict, Verdict::Missed(_)), "{line:?}");
    }

    #[test]
    fn memory_is_judged_by_our_own_value() {
        let bytes = |bytes| Some(Measured { bytes, ..Measured::default() });
        assert_eq!(judge(&spec("memory-generator"), &[bytes(900.0)], &[], None).verdict, Verdict::Met);
        let line = judge(&spec("memory-lb-haproxy"), &[bytes(1600.0)], &[bytes(9000.0)], None);
        assert_eq!(line.verdict, Verdict::Missed(vec!["1600, not in 0 to 1536".to_owned()]));
    }
}
