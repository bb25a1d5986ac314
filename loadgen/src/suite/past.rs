//! The finished trials of an earlier run, handed out again in their order.
//!
//! Searches always ask the same after the same answers, so a run is resumed by asking again: what the
//! earlier run has answered is taken from it, what it has not is measured. The time that it spent
//! counts. A trial that was interrupted, or that lost its DUT or a reflector, was not finished.

use std::collections::VecDeque;
use std::time::Duration;

use wire::frame::FrameSize;

use crate::measure::TrialRecord;
use crate::measure::record::{EndedEarly, Purpose, TrialLoad};

/// Longest time between two trials of one run; a longer one was a pause between two runs.
const GAP_MAX: Duration = Duration::from_secs(120);

/// A trial that is wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) purpose: Purpose,
    pub(super) load: TrialLoad,
    pub(super) sustain: Duration,
    /// Size of its frames, where all are the same: the parts of a suite differ by nothing else.
    pub(super) size: Option<FrameSize>,
}

impl Wanted {
    fn has_size_of(&self, record: &TrialRecord) -> bool {
        let sizes = record.frames.as_ref().map(|frames| frames.sizes.as_slice()).unwrap_or_default();
        self.size.is_none_or(|size| sizes.iter().all(|count| count.size == size))
    }
}

/// The trials of an earlier run that are left to be handed out.
#[derive(Clone, Debug, Default)]
pub struct Past {
    left: VecDeque<TrialRecord>,
    /// The last one that was handed out.
    last: Option<TrialRecord>,
    /// Wall time of the search until the last one ended.
    spent: Duration,
    is_searching: bool,
    /// How many were of no use, because the search took another way.
    discarded: usize,
}

impl Past {
    /// The finished ones among the trials of a run, up to the first that was not.
    pub fn of(records: impl IntoIterator<Item = TrialRecord>) -> Self {
        let left = records.into_iter().take_while(is_finished).collect();
        Self { left, ..Self::default() }
    }

    /// How many trials are left.
    pub fn len(&self) -> usize {
        self.left.len()
    }

    /// Whether none is left.
    pub fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    /// How many trials of the earlier run were of no use.
    pub(super) fn discarded(&self) -> usize {
        self.discarded
    }

    /// From here on trials are those of the search, whose time counts.
    pub(super) fn begin_search(&mut self) {
        self.is_searching = true;
        self.last = None;
        self.spent = Duration::ZERO;
    }

    /// Wall time of the search when the next trial of the earlier run began; `None` if there is none.
    pub(super) fn elapsed(&self) -> Option<Duration> {
        let next = self.left.front()?;
        Some(self.last.as_ref().map_or(self.spent, |last| self.spent + between(last, next)))
    }

    /// Wall time that the earlier run has spent on the search.
    pub(super) fn spent(&self) -> Duration {
        self.spent + self.last.as_ref().map_or(Duration::ZERO, length)
    }

    /// The wanted trial, if it is the next one. Another one there means that the search has taken
    /// another way, which it cannot leave again: what is left is of no use then.
    pub(super) fn take(&mut self, wanted: &Wanted) -> Option<TrialRecord> {
        let elapsed = self.elapsed()?;
        let next = self.left.front()?;
        // What could not pass any more was given up: its record has the length that was measured.
        let given_up = next.ended_early == Some(EndedEarly::CannotPass) && next.sustain <= wanted.sustain;
        let same_length = next.sustain == wanted.sustain || given_up;
        let same =
            next.purpose == wanted.purpose && next.load == wanted.load && same_length && wanted.has_size_of(next);
        if !same {
            self.discarded += self.left.len();
            self.left.clear();
            return None;
        }
        if self.is_searching {
            self.spent = elapsed;
        }
        self.last = self.left.pop_front();
        self.last.clone()
    }
}

/// Whether it ran to its end, even if it says nothing about its load: the search asks that one again.
fn is_finished(record: &TrialRecord) -> bool {
    let cut = !matches!(record.ended_early, None | Some(EndedEarly::CannotPass));
    !cut && record.reflector_deaths.is_empty()
}

fn length(record: &TrialRecord) -> Duration {
    record.ramp_up + record.sustain + record.ramp_down
}

/// Time from the beginning of one trial to that of the next.
fn between(last: &TrialRecord, next: &TrialRecord) -> Duration {
    let gap = next.began_ns.checked_sub(last.began_ns).map(Duration::from_nanos);
    gap.filter(|gap| *gap <= length(last) + GAP_MAX).unwrap_or_else(|| length(last))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;
    use crate::scenario::Plan;

    fn wanted(record: &TrialRecord) -> Wanted {
        Wanted { purpose: record.purpose, load: record.load, sustain: record.sustain, size: None }
    }

    #[test]
    fn finished_trials_are_handed_out_once_in_their_order_with_their_time() {
        let run = fixture::run();
        let mut past = Past::of(run.trials.iter().cloned());
        assert_eq!(past.len(), run.trials.len());
        assert_eq!(past.take(&wanted(&run.trials[0])).unwrap().number, 1);
        past.begin_search();
        assert_eq!(past.elapsed(), Some(Duration::ZERO));
        let first = &run.trials[1];
        let mut before = Duration::ZERO;
        for record in &run.trials[1..] {
            let elapsed = past.elapsed().unwrap();
            assert_eq!(elapsed, Duration::from_nanos(record.began_ns - first.began_ns));
            assert!(elapsed >= before);
            before = elapsed;
            assert_eq!(past.take(&wanted(record)).unwrap().number, record.number);
        }
        assert!(past.is_empty() && past.elapsed().is_none());
        assert!(past.spent() >= before + run.trials.last().unwrap().sustain);
    }

    #[test]
    fn a_pause_between_two_runs_is_not_counted() {
        let run = fixture::run();
        let mut trials = run.trials[1..3].to_vec();
        trials[1].began_ns = trials[0].began_ns + Duration::from_secs(86_400).as_nanos() as u64;
        let mut past = Past::of(trials.clone());
        past.begin_search();
        past.take(&wanted(&trials[0])).unwrap();
        assert_eq!(past.elapsed(), Some(length(&trials[0])));
        // The machine was started anew: its clock begins again.
        trials[1].began_ns = 5;
        let mut past = Past::of(trials.clone());
        past.begin_search();
        past.take(&wanted(&trials[0])).unwrap();
        assert_eq!(past.elapsed(), Some(length(&trials[0])));
    }

    #[test]
    fn what_was_cut_short_and_what_came_after_it_is_measured_again() {
        let run = fixture::run();
        let mut trials = run.trials[..5].to_vec();
        trials[3].ended_early = Some(EndedEarly::Interrupted);
        assert_eq!(Past::of(trials).len(), 3);
    }

    #[test]
    fn a_search_that_goes_another_way_takes_nothing_more_from_before() {
        let run = fixture::run();
        let mut past = Past::of(run.trials.iter().cloned());
        let other = Wanted { load: TrialLoad::Rate(123.0), ..wanted(&run.trials[0]) };
        assert!(past.take(&other).is_none());
        assert!(past.is_empty());
        assert_eq!(past.discarded(), run.trials.len());
    }

    #[test]
    fn a_trial_that_was_given_up_is_taken_for_the_length_that_was_asked_for() {
        let run = fixture::run();
        let asked = wanted(&run.trials[1]);
        let mut record = run.trials[1].clone();
        record.sustain = Duration::from_millis(300);
        let take = |record: &TrialRecord| Past::of([record.clone()]).take(&asked);
        assert!(take(&record).is_none(), "shorter without a reason");
        record.ended_early = Some(EndedEarly::CannotPass);
        assert_eq!(take(&record).map(|taken| taken.sustain), Some(Duration::from_millis(300)));
    }

    /// Walks a search of `plan` in virtual time over a device that carries so much, after what `past`
    /// has; all records, and how many of them were new.
    fn walk(plan: &Plan, past: &mut Past, carries: f64) -> (Vec<TrialRecord>, usize, crate::search::Found) {
        let limits = crate::search::Limits { ceiling: Some(20_000.0), loss: 0.0 };
        let mut search = crate::search::search(plan, limits);
        let (mut records, mut new, mut live) = (Vec::<TrialRecord>::new(), 0, Duration::ZERO);
        past.begin_search();
        loop {
            let elapsed = past.elapsed().unwrap_or_else(|| past.spent() + live);
            let Some(ask) = search.next(elapsed) else { break };
            let load = TrialLoad::Rate(ask.load);
            let known = past.take(&Wanted { purpose: ask.purpose, load, sustain: ask.sustain, size: None });
            let record = known.unwrap_or_else(|| {
                new += 1;
                let began_ns = (past.spent() + live).as_nanos() as u64 + 1_000_000_000;
                live += ask.sustain + Duration::from_secs(2);
                let clone = fixture::run().trials[1].clone();
                TrialRecord { purpose: ask.purpose, load, sustain: ask.sustain, began_ns, ..clone }
            });
            let loss = if ask.load <= carries { 0.0 } else { 1.0 - carries / ask.load };
            search.tell(crate::search::Tell {
                load: ask.load,
                passed: loss == 0.0,
                achieved: ask.load.min(carries),
                loss,
                duration: ask.sustain,
                setup_rate: None,
            });
            records.push(record);
            assert!(records.len() < 200, "the search does not end");
        }
        (records, new, search.found())
    }

    #[test]
    fn a_search_that_was_cut_anywhere_goes_on_to_the_same_end_without_repeating() {
        use crate::scenario::plan::SearchPlan;
        type Kind = fn(crate::scenario::plan::MaximumPlan) -> SearchPlan;
        let kinds: [Kind; 4] = [SearchPlan::Climb, SearchPlan::Mlr, SearchPlan::Bisect, SearchPlan::GoalSeek];
        for (kind, repeats) in kinds.into_iter().flat_map(|kind| [(kind, 1), (kind, 3)]) {
            let mut plan = fixture::run().plan.clone();
            let mut maximum = plan.search.maximum().unwrap().clone();
            maximum.repeats = repeats.try_into().unwrap();
            let whole = wire::units::Percent::default();
            maximum.goals = vec![crate::scenario::plan::GoalPlan {
                loss: None,
                exceed: whole,
                final_sustain: maximum.final_sustain,
                duration_sum: maximum.final_sustain,
                width: maximum.width,
            }];
            // The budget ends the repeats early: the time of the earlier run has to count.
            maximum.budget = Duration::from_secs(100);
            plan.search = kind(maximum);
            let (records, all, found) = walk(&plan, &mut Past::default(), 7_777.0);
            assert_eq!(all, records.len());
            for cut in 0..=records.len() {
                let mut past = Past { left: records[..cut].iter().cloned().collect(), ..Past::default() };
                let (again, new, found_again) = walk(&plan, &mut past, 7_777.0);
                let asked = |records: &[TrialRecord]| -> Vec<_> {
                    records.iter().map(|record| (record.purpose, record.load.amount(), record.sustain)).collect()
                };
                assert_eq!(new, records.len() - cut, "{} cut at {cut}", plan.search.method());
                assert_eq!((asked(&again), found_again), (asked(&records), found), "{}", plan.search.method());
            }
        }
    }
}
