//! What one thread counts of its datagrams, and how the counts of all threads become one ledger.
//!
//! Only [`LENGTHS_MAX`] lengths are kept apart, the same for all threads: those that came first.

use std::sync::{Arc, Mutex, PoisonError};

use wire::ledger::{LENGTHS_MAX, LengthCount, UdpLedger};

/// Lengths that a payload can have.
const LENGTHS: usize = 1 << 16;
/// The place of a length that has not come yet.
const UNKNOWN: u8 = u8::MAX;
/// The place of one that is not kept apart.
const UNKEPT: u8 = u8::MAX - 1;

/// The lengths that are kept apart, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Lengths(Mutex<Vec<u16>>);

impl Lengths {
    /// The place of a length; asked once per length and thread.
    fn place(&self, payload: u16) -> u8 {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known.iter().position(|length| *length == payload);
        match found.or_else(|| (known.len() < LENGTHS_MAX).then_some(known.len())) {
            Some(place) => {
                if place == known.len() {
                    known.push(payload);
                }
                place as u8
            }
            None => UNKEPT,
        }
    }
}

/// The counters of one thread.
#[derive(Debug)]
pub(super) struct Tally {
    /// Without `by_length` and `buffer_drops`.
    pub(super) sums: UdpLedger,
    counts: [LengthCount; LENGTHS_MAX],
    /// Where each length is counted.
    places: Box<[u8]>,
    lengths: Arc<Lengths>,
}

impl Tally {
    pub(super) fn new(lengths: Arc<Lengths>) -> Self {
        let places = vec![UNKNOWN; LENGTHS].into_boxed_slice();
        Self { sums: UdpLedger::default(), counts: [LengthCount::default(); LENGTHS_MAX], places, lengths }
    }

    /// Counts a datagram that came.
    pub(super) fn received(&mut self, payload: usize) {
        self.sums.received += 1;
        self.sums.bytes_in += payload as u64;
        self.sums.unsigned += u64::from(payload < wire::signature::SHORT);
        if let Some(count) = self.count(payload) {
            count.received += 1;
        }
    }

    /// Counts one that was handed to the kernel.
    pub(super) fn sent(&mut self, payload: usize) {
        self.sums.sent += 1;
        self.sums.bytes_out += payload as u64;
        if let Some(count) = self.count(payload) {
            count.sent += 1;
        }
    }

    fn count(&mut self, payload: usize) -> Option<&mut LengthCount> {
        let length = u16::try_from(payload).ok()?;
        let place = &mut self.places[payload];
        if *place == UNKNOWN {
            *place = self.lengths.place(length);
            if let Some(count) = self.counts.get_mut(usize::from(*place)) {
                count.payload = length;
            }
        }
        self.counts.get_mut(usize::from(*place))
    }

    /// Adds this thread's part to a ledger; the caller sorts `by_length`.
    pub(super) fn add_to(&self, ledger: &mut UdpLedger) {
        let sums = &self.sums;
        for (into, more) in [
            (&mut ledger.received, sums.received),
            (&mut ledger.sent, sums.sent),
            (&mut ledger.bytes_in, sums.bytes_in),
            (&mut ledger.bytes_out, sums.bytes_out),
            (&mut ledger.dropped, sums.dropped),
            (&mut ledger.duplicated, sums.duplicated),
            (&mut ledger.swapped, sums.swapped),
            (&mut ledger.corrupted, sums.corrupted),
            (&mut ledger.unsigned, sums.unsigned),
            (&mut ledger.send_errors, sums.send_errors),
            (&mut ledger.overflowed, sums.overflowed),
        ] {
            *into += more;
        }
        for count in self.counts.iter().filter(|count| count.received + count.sent > 0) {
            match ledger.by_length.iter_mut().find(|known| known.payload == count.payload) {
                Some(known) => {
                    known.received += count.received;
                    known.sent += count.sent;
                }
                None => ledger.by_length.push(*count),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_count_the_same_lengths_and_no_more_than_are_kept() {
        let lengths = Arc::new(Lengths::default());
        let mut tallies = [Tally::new(Arc::clone(&lengths)), Tally::new(lengths)];
        // The first thread sees even lengths, the second all, from the largest down.
        (0..100).for_each(|n| tallies[0].received(2 * n));
        (0..200).rev().for_each(|n| tallies[1].received(n));
        tallies[1].sent(0);
        let mut ledger = UdpLedger::default();
        tallies.iter().for_each(|tally| tally.add_to(&mut ledger));
        assert_eq!((ledger.received, ledger.unsigned, ledger.sent), (300, 6 + 12, 1));
        assert_eq!((ledger.bytes_in, ledger.bytes_out), (99 * 100 + 199 * 100, 0));
        assert_eq!(ledger.by_length.len(), LENGTHS_MAX);
        for count in &ledger.by_length {
            assert!(count.payload % 2 == 0 && count.payload < 128, "{count:?}");
            assert_eq!((count.received, count.sent), (2, u64::from(count.payload == 0)));
        }
    }

    #[test]
    fn the_longest_payload_is_counted() {
        let mut tally = Tally::new(Arc::default());
        tally.received(65_535);
        let mut ledger = UdpLedger::default();
        tally.add_to(&mut ledger);
        assert_eq!(ledger.by_length, [LengthCount { payload: u16::MAX, received: 1, sent: 0 }]);
    }
}
