//! One trial at one load.

use std::time::Duration;

use super::{Ask, Found, Search, Tell};
use crate::measure::record::Purpose;

/// The search that asks once.
#[derive(Clone, Debug)]
pub struct Fixed {
    load: f64,
    sustain: Duration,
    asked: bool,
    told: Option<bool>,
}

impl Fixed {
    /// One trial at `load`.
    pub fn new(load: f64, sustain: Duration) -> Self {
        Self { load, sustain, asked: false, told: None }
    }
}

impl Search for Fixed {
    fn next(&mut self, _elapsed: Duration) -> Option<Ask> {
        let first = !std::mem::replace(&mut self.asked, true);
        first.then_some(Ask { purpose: Purpose::Fixed, load: self.load, sustain: self.sustain })
    }

    fn tell(&mut self, result: Tell) {
        self.told = Some(result.passed);
    }

    fn found(&self) -> Found {
        let at = |passed: bool| (self.told == Some(passed)).then_some(self.load);
        Found { lower: at(true), upper: at(false), at_least: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_load_is_tried_once() {
        let mut search = Fixed::new(500.0, Duration::from_secs(3));
        let ask = search.next(Duration::ZERO).unwrap();
        assert_eq!((ask.purpose, ask.load), (Purpose::Fixed, 500.0));
        assert_eq!(search.next(Duration::ZERO), None);
        search.tell(Tell { load: 500.0, passed: false, achieved: 400.0, ..Tell::default() });
        assert_eq!(search.found(), Found { lower: None, upper: Some(500.0), at_least: false });
    }
}
