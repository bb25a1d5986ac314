//! The pairs of a gate to its answer: decision, exit code, one sentence. Pure, so that a gate can be judged
//! again from its files.

use serde::{Deserialize, Serialize};

use crate::archive::gate::{GateBegun, KeptPair, SIDES};
use crate::gate::failures::{self, Broken};
use crate::gate::{self, Decision, Judgement, Noise, Pair};
use crate::verdict::answer::Exit;

/// How the measuring of a gate ended.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stop {
    /// By itself.
    Finished,
    /// By the user.
    Interrupted,
}

/// The answer of a gate.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct GateAnswer {
    /// What the rule says of the pairs.
    pub judgement: Judgement,
    /// What the pairs say of the machine; only where both sides are the same on purpose.
    pub noise: Option<Noise>,
    /// Pairs that were tried, without the warm-up.
    pub pairs: usize,
    /// How many of them do not count.
    pub discarded: usize,
    /// How the program ends.
    pub exit: Exit,
    /// The answer in a word: `pass`, `regression`, `inconclusive`, `unfit`, `interrupted`, `unfinished`,
    /// `undecided`, `quiet`, `noisy`, `not shown`.
    pub word: String,
    /// The answer in one sentence.
    pub reason: String,
    /// What the user should know, each with the next step.
    pub warnings: Vec<String>,
}

/// The pairs that are judged: all but the warm-up.
pub(super) fn judged(pairs: &[KeptPair]) -> impl Iterator<Item = &Pair> {
    pairs.iter().filter(|kept| !kept.warm_up).map(|kept| &kept.pair)
}

/// The answer. Without enough evidence the exit is [`Exit::Met`], or with `strict` [`Exit::Undecided`].
pub fn answer(begun: &GateBegun, pairs: &[KeptPair], stop: Stop, strict: bool, warnings: Vec<String>) -> GateAnswer {
    let all: Vec<Pair> = judged(pairs).cloned().collect();
    let judgement = gate::judge(&begun.settings, &all);
    let noise = begun.same.then(|| gate::noise(&begun.settings, &all));
    let case = Case { begun, pairs, all: &all, judgement: &judgement, noise: noise.as_ref(), strict };
    let (exit, word, reason) = case.ending(stop);
    let mut warnings = warnings;
    warnings.extend(case.only_candidate());
    warnings.extend(case.not_gated());
    if let Broken::Perhaps(count) = case.broken() {
        warnings.push(format!("in {count} pairs the candidate alone failed more than the scenario allows"));
    }
    let discarded = all.len() - case.valid();
    GateAnswer { pairs: all.len(), discarded, exit, word: word.to_owned(), reason, warnings, noise, judgement }
}

struct Case<'a> {
    begun: &'a GateBegun,
    pairs: &'a [KeptPair],
    all: &'a [Pair],
    judgement: &'a Judgement,
    noise: Option<&'a Noise>,
    strict: bool,
}

type Ending = (Exit, &'static str, String);

impl Case<'_> {
    fn ending(&self, stop: Stop) -> Ending {
        if let Some(ending) = self.death() {
            return ending;
        }
        let pairs = self.all.len();
        if stop == Stop::Interrupted {
            let text = format!("interrupted by the user after {pairs} pairs; what was measured until then is kept");
            return (Exit::Interrupted, "interrupted", text);
        }
        if let Some(noise) = self.noise {
            return self.same(noise);
        }
        let open = if self.strict { Exit::Undecided } else { Exit::Met };
        let is_over = !matches!(self.judgement.decision, Decision::More { .. } | Decision::Unfit);
        match self.broken() {
            Broken::Surely(count) if is_over => {
                let text = format!("in {count} pairs the candidate alone failed more than the scenario allows");
                return (Exit::Missed, "regression", format!("regression after {pairs} pairs: {text}"));
            }
            Broken::Perhaps(count) if self.judgement.decision == Decision::Pass => {
                let text = format!("in {count} pairs the candidate alone failed more than the scenario allows");
                return (open, "inconclusive", format!("inconclusive after {pairs} pairs: {text}"));
            }
            _ => {}
        }
        match self.judgement.decision {
            Decision::Pass => {
                (Exit::Met, "pass", format!("pass after {pairs} pairs: no metric is worse than tolerated"))
            }
            Decision::Fail => {
                (Exit::Missed, "regression", format!("regression after {pairs} pairs: {}", self.failed()))
            }
            Decision::Inconclusive => {
                let text =
                    format!("inconclusive after {pairs} pairs: neither better nor worse than tolerated is shown");
                (open, "inconclusive", text)
            }
            Decision::Unfit => {
                let discarded = pairs - self.valid();
                let text =
                    format!("unfit: {discarded} of {pairs} pairs do not count, so nothing is said of the builds");
                (open, "unfit", text)
            }
            Decision::More { until } => {
                let text = format!("unfinished: {} of {until} valid pairs for the next look", self.valid());
                (Exit::Undecided, "unfinished", text)
            }
        }
    }

    /// A candidate that dies under a load that the baseline carries is a regression.
    fn death(&self) -> Option<Ending> {
        let kept = self.pairs.iter().find(|kept| kept.died.is_some())?;
        let death = kept.died.as_ref()?;
        let side = SIDES.get(death.side).copied().unwrap_or("DUT");
        let text = format!("the {side} died in pair {}: {}", kept.pair.number, death.how);
        // The pair says who died first; with both the load is more than either carries.
        let text = if death.both { format!("{text}; so did the other side") } else { text };
        let is_regression = death.side == 1 && !self.begun.same && !death.both;
        Some(match is_regression {
            true => (Exit::Missed, "regression", format!("regression: {text}")),
            false => (Exit::Undecided, "undecided", format!("undecided: {text}")),
        })
    }

    /// Both sides are the same: whatever fails, fails wrongly.
    fn same(&self, noise: &Noise) -> Ending {
        let failed = noise.failed + usize::from(noise.gates == 0 && self.judgement.decision == Decision::Fail);
        if failed > 0 {
            let text = format!(
                "noisy: {failed} of {} gates of the same build against itself failed; take the proposed delta, \
                 longer runs or a quieter machine",
                noise.gates
            );
            return (Exit::Missed, "noisy", text);
        }
        let is_shown = noise.gates > 0
            && noise.passed == noise.gates
            && noise.metrics.iter().all(|metric| metric.delta_proposed.is_some_and(|delta| delta <= metric.delta));
        let text = match noise.gates {
            0 => format!("{} valid pairs of the same build are too few for a gate; its noise is below", noise.n),
            gates if is_shown => {
                return (Exit::Met, "quiet", format!("quiet enough: all {gates} gates of the same build passed"));
            }
            gates => format!(
                "not shown to be quiet: {} of {gates} gates of the same build passed; take the proposed delta, longer \
                 runs or a quieter machine",
                noise.passed
            ),
        };
        (if self.strict { Exit::Undecided } else { Exit::Met }, "not shown", text)
    }

    fn failed(&self) -> String {
        let failed = self.judgement.findings.iter().filter(|finding| finding.decision == Decision::Fail);
        failed.map(|finding| finding.text.as_str()).collect::<Vec<_>>().join("; ")
    }

    fn valid(&self) -> usize {
        self.all.iter().filter(|pair| gate::counts(&self.begun.settings, pair)).count()
    }

    /// What failed in the pairs that count.
    fn broken(&self) -> Broken {
        let counted = self.pairs.iter().filter(|kept| !kept.warm_up && gate::counts(&self.begun.settings, &kept.pair));
        failures::broken(&self.begun.settings, &counted.map(|kept| kept.failures).collect::<Vec<_>>())
    }

    /// Metrics that the last look left out.
    fn not_gated(&self) -> Vec<String> {
        let findings = &self.judgement.findings;
        let found = |limit: &&gate::Limit| findings.iter().any(|finding| finding.metric == limit.metric);
        let limits = self.begun.settings.limits.iter().filter(|limit| !findings.is_empty() && !found(limit));
        let text =
            |limit: &gate::Limit| format!("{} is not gated: that of the baseline is not above 0", limit.metric.title());
        limits.map(text).collect()
    }

    /// A candidate that cannot be measured must not hide behind an unfit machine.
    fn only_candidate(&self) -> Option<String> {
        let reasons = || self.all.iter().filter_map(|pair| pair.discarded.as_deref());
        let own = reasons().filter(|reason| reason.starts_with(SIDES[1])).count();
        (own >= 3 && own == reasons().count()).then(|| {
            format!(
                "all {own} discarded pairs are invalid by the candidate alone: look at the candidate before the machine"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::gate::{Death, GATE_SCHEMA, Side};
    use crate::gate::failures::Failures;
    use crate::gate::{Limit, Metric, Order, Settings};

    fn begun(same: bool) -> GateBegun {
        let side = |spec: &str| Side { spec: spec.to_owned(), dut: spec.to_owned() };
        GateBegun {
            schema: GATE_SCHEMA,
            run: "run".to_owned(),
            version: "0".to_owned(),
            commit: None,
            command: Vec::new(),
            began_unix_ns: 0,
            name: "ci".to_owned(),
            question: String::new(),
            scenario: "hash".to_owned(),
            host: "host".to_owned(),
            seed: 1,
            settings: Settings::new(vec![Limit::of(Metric::PRIMARY)]).unwrap(),
            same,
            sides: [side("a.toml"), side("b.toml")],
        }
    }

    fn pairs(count: u32, candidate: f64) -> Vec<KeptPair> {
        let pair = |number: u32| {
            // Some spread, the same on both sides of the truth.
            let noise = 1.0 + 0.001 * f64::from(number % 3);
            let pair = Pair {
                number,
                order: Order::BaselineFirst,
                baseline: vec![(Metric::PRIMARY, 1_000.0)],
                candidate: vec![(Metric::PRIMARY, candidate * noise)],
                discarded: None,
            };
            KeptPair {
                warm_up: number == 0,
                pair,
                trials: [vec![number], vec![number]],
                failures: [Failures::default(); 2],
                died: None,
            }
        };
        (0..=count).map(pair).collect()
    }

    fn ending(begun: &GateBegun, pairs: &[KeptPair], stop: Stop, strict: bool) -> (Exit, String) {
        let answer = answer(begun, pairs, stop, strict, Vec::new());
        (answer.exit, answer.word)
    }

    #[test]
    fn each_answer_has_its_exit_code() {
        let of = |pairs: &[KeptPair], strict| ending(&begun(false), pairs, Stop::Finished, strict);
        let said = |exit, word: &str| (exit, word.to_owned());
        assert_eq!(of(&pairs(8, 1_000.0), true), said(Exit::Met, "pass"));
        assert_eq!(of(&pairs(8, 500.0), false), said(Exit::Missed, "regression"));
        // At the edge of what is tolerated neither can be shown.
        assert_eq!(of(&pairs(20, 949.2), false), said(Exit::Met, "inconclusive"));
        assert_eq!(of(&pairs(20, 949.2), true), said(Exit::Undecided, "inconclusive"));
        assert_eq!(of(&pairs(3, 500.0), false), said(Exit::Undecided, "unfinished"));
        assert_eq!(
            ending(&begun(false), &pairs(3, 1.0), Stop::Interrupted, false),
            said(Exit::Interrupted, "interrupted")
        );
    }

    #[test]
    fn a_machine_that_is_unfit_says_nothing_and_a_candidate_does_not_hide_behind_it() {
        let mut pairs = pairs(12, 1_000.0);
        for kept in pairs.iter_mut().skip(1).take(6) {
            kept.pair.discarded = Some("candidate: G3: schedule lag".to_owned());
        }
        let unfit = answer(&begun(false), &pairs, Stop::Finished, true, Vec::new());
        assert_eq!((unfit.exit, unfit.word.as_str(), unfit.discarded), (Exit::Undecided, "unfit", 6));
        assert!(unfit.warnings[0].contains("look at the candidate"), "{:?}", unfit.warnings);
    }

    #[test]
    fn a_candidate_that_dies_is_a_regression_and_a_baseline_that_dies_decides_nothing() {
        let mut kept = pairs(1, 1_000.0);
        kept[1].died = Some(Death { side: 1, how: "signal 11".to_owned(), both: false });
        assert_eq!(ending(&begun(false), &kept, Stop::Finished, false).0, Exit::Missed);
        assert_eq!(ending(&begun(true), &kept, Stop::Finished, false).0, Exit::Undecided);
        // Which of both ran first is a coin, and decides nothing.
        kept[1].died = Some(Death { side: 1, how: "signal 11".to_owned(), both: true });
        assert_eq!(ending(&begun(false), &kept, Stop::Finished, false).0, Exit::Undecided);
        kept[1].died = Some(Death { side: 0, how: "signal 11".to_owned(), both: false });
        assert_eq!(ending(&begun(false), &kept, Stop::Finished, false).0, Exit::Undecided);
    }

    #[test]
    fn the_same_build_that_fails_shows_a_noisy_machine() {
        let of = |pairs: &[KeptPair]| ending(&begun(true), pairs, Stop::Finished, false);
        assert_eq!(of(&pairs(20, 1_000.0)), (Exit::Met, "quiet".to_owned()));
        assert_eq!(of(&pairs(20, 800.0)), (Exit::Missed, "noisy".to_owned()));
        let quiet = answer(&begun(true), &pairs(20, 1_000.0), Stop::Finished, false, Vec::new());
        assert_eq!(quiet.noise.unwrap().gates, 2);
        // No gate, no valid pair, or only a wider tolerance than the one in use: nothing is shown.
        assert_eq!(of(&pairs(3, 1_000.0)), (Exit::Met, "not shown".to_owned()));
        let strict = |pairs: &[KeptPair]| ending(&begun(true), pairs, Stop::Finished, true);
        let mut discarded = pairs(20, 1_000.0);
        discarded.iter_mut().for_each(|kept| kept.pair.discarded = Some("candidate: G3: lag".to_owned()));
        assert_eq!(strict(&discarded), (Exit::Undecided, "not shown".to_owned()));
        let mut loud = pairs(20, 1_000.0);
        for (at, kept) in loud.iter_mut().enumerate() {
            kept.pair.candidate[0].1 *= if at % 2 == 0 { 1.2 } else { 0.83 };
        }
        assert_eq!(strict(&loud), (Exit::Undecided, "not shown".to_owned()));
    }

    #[test]
    fn a_candidate_that_fails_what_the_baseline_answers_is_a_regression() {
        let failing = |from: usize| {
            let mut pairs = pairs(8, 1_000.0);
            pairs[from..].iter_mut().for_each(|kept| {
                kept.failures[1] = Failures { failed: 40, attempted: 1_000, broken: true };
            });
            ending(&begun(false), &pairs, Stop::Finished, true)
        };
        assert_eq!(failing(1), (Exit::Missed, "regression".to_owned()));
        assert_eq!(failing(5), (Exit::Undecided, "inconclusive".to_owned()));
        assert_eq!(failing(9), (Exit::Met, "pass".to_owned()));
    }

    #[test]
    fn a_candidate_that_serves_nothing_is_a_regression() {
        for value in [0.0, f64::NAN] {
            let mut pairs = pairs(8, 1_000.0);
            pairs.iter_mut().for_each(|kept| kept.pair.candidate[0].1 = value);
            let said = ending(&begun(false), &pairs, Stop::Finished, false);
            assert_eq!(said, (Exit::Missed, "regression".to_owned()), "{value}");
        }
    }
}
