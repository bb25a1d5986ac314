//! A search done several times; the lowest answer counts, because that is what one can plan with.
//!
//! A repeat that found nothing counts as one that found 0: leaving it out would flatter a device that
//! sometimes fails from the first load on. A repeat that the budget cut short would drag the lowest
//! answer down for no fault of the device; it is only counted as missing, unless it was the first.

use std::num::NonZeroU32;
use std::time::Duration;

use super::{Ask, Details, Found, Repeats, Search, Tell};

/// Makes the search of one repeat.
pub type Make = Box<dyn Fn() -> Box<dyn Search + Send> + Send>;

/// One search after another, in one budget.
pub struct Repeated {
    make: Make,
    current: Box<dyn Search + Send>,
    asked: NonZeroU32,
    budget: Duration,
    /// What each finished search found, in order, with what else it has to say.
    done: Vec<(Found, Details)>,
    is_over: bool,
}

impl Repeated {
    /// So many searches, none of which begins after `budget`.
    pub fn new(make: Make, repeats: NonZeroU32, budget: Duration) -> Self {
        let current = make();
        Self { make, current, asked: repeats, budget, done: Vec::new(), is_over: false }
    }

    fn finish_current(&mut self, elapsed: Duration) {
        let found = self.current.found();
        let is_spent = elapsed >= self.budget;
        // Cut short it has found a load that is carried, but not how high it could have gone.
        let is_cut = is_spent && (found.lower.is_none() || found.at_least);
        if !is_cut || self.done.is_empty() {
            self.done.push((found, self.current.details()));
        }
        // What cannot be found the first time can not be planned with, whatever comes after.
        let is_hopeless = self.done.len() == 1 && found.lower.is_none();
        self.is_over = is_spent || is_hopeless || self.done.len() >= self.asked.get() as usize;
    }

    fn lowest(&self) -> Option<&(Found, Details)> {
        let value = |found: &Found| found.lower.unwrap_or(0.0);
        self.done.iter().min_by(|(a, _), (b, _)| value(a).total_cmp(&value(b)))
    }
}

impl Search for Repeated {
    fn next(&mut self, elapsed: Duration) -> Option<Ask> {
        while !self.is_over {
            if let Some(ask) = self.current.next(elapsed) {
                return Some(ask);
            }
            self.finish_current(elapsed);
            if !self.is_over {
                self.current = (self.make)();
            }
        }
        None
    }

    fn tell(&mut self, result: Tell) {
        self.current.tell(result);
    }

    fn found(&self) -> Found {
        self.lowest().map_or_else(|| self.current.found(), |(found, _)| *found)
    }

    fn details(&self) -> Details {
        let details = self.lowest().map_or_else(|| self.current.details(), |(_, details)| details.clone());
        let values: Vec<f64> = self.done.iter().map(|(found, _)| found.lower.unwrap_or(0.0)).collect();
        let repeats = Repeats::of(self.asked.get(), values).filter(|_| self.asked.get() > 1);
        Details { repeats, ..details }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::record::Purpose;
    use crate::search::Fixed;

    /// Searches of one trial each; the trial passes or fails as told.
    fn walk(repeats: u32, passes: &[bool], budget: u64) -> (Repeated, usize) {
        let make: Make = Box::new(|| Box::new(Fixed::new(500.0, Duration::from_secs(1))));
        let repeats = NonZeroU32::new(repeats).unwrap();
        let mut search = Repeated::new(make, repeats, Duration::from_secs(budget));
        let mut asks = 0;
        while let Some(ask) = search.next(Duration::from_secs(asks as u64)) {
            assert_eq!(ask.purpose, Purpose::Fixed);
            search.tell(Tell { load: ask.load, passed: passes[asks], ..Tell::default() });
            asks += 1;
        }
        (search, asks)
    }

    #[test]
    fn a_repeat_that_found_nothing_counts_as_nothing() {
        let (search, asks) = walk(4, &[true, true, false, true], 100);
        assert_eq!((asks, search.found().lower), (4, None));
        let repeats = search.details().repeats.unwrap();
        assert_eq!((repeats.asked, repeats.n, repeats.min, repeats.median, repeats.max), (4, 4, 0.0, 500.0, 500.0));
    }

    #[test]
    fn a_first_search_that_found_nothing_is_not_repeated() {
        let (search, asks) = walk(5, &[false], 100);
        assert_eq!((asks, search.found().upper), (1, Some(500.0)));
        assert_eq!(search.details().repeats.unwrap().n, 1);
    }

    #[test]
    fn the_budget_ends_the_repeats_and_the_missing_ones_show() {
        let (search, asks) = walk(5, &[true; 5], 2);
        assert_eq!((asks, search.found().lower), (2, Some(500.0)));
        let repeats = search.details().repeats.unwrap();
        assert_eq!((repeats.asked, repeats.n), (5, 2));
    }

    #[test]
    fn one_search_has_no_spread() {
        assert_eq!(walk(1, &[true], 100).0.details(), Details::default());
    }
}
