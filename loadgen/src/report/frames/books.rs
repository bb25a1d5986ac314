//! Where frames of one trial went: client to reflectors and back, as both sides counted. Pure.
//!
//! The counters are those of the whole trial, ramps included, because the reflectors' books know no
//! phases. What was dropped at the tester's or at the reflectors' own buffers is never booked as lost
//! on the way, and no difference is negative: more than expected is counted as extra. Duplicates never
//! make up for a loss: on the way back only first answers count. The reflectors do not tell duplicates
//! apart, so one that a device makes on the way out hides a loss there and shows it on the way back.

use wire::frame::{FrameSize, IpVersion};
use wire::ledger::UdpLedger;

use crate::measure::Latency;
use crate::measure::TrialRecord;
use crate::measure::record::{FrameRecord, SizeCount};
use crate::report::rows::{Row, load_kind, percent};
use crate::report::text::{bare, bare_us, maybe_bare};

/// Both directions of one trial.
pub(in crate::report) struct Directions<'a> {
    /// The trial.
    pub(in crate::report) record: &'a TrialRecord,
    /// What the clients counted.
    pub(in crate::report) frames: &'a FrameRecord,
    /// What all reflectors of the run counted together; `None` where none kept books.
    pub(in crate::report) reflectors: Option<UdpLedger>,
}

/// Frames of one direction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::report) struct Way {
    /// Handed to the kernel at its begin.
    pub(in crate::report) sent: u64,
    /// Taken from the kernel at its end.
    pub(in crate::report) received: u64,
    /// Dropped at the receiver's own buffers: not lost on the way.
    pub(in crate::report) dropped_at_end: u64,
}

impl Way {
    /// Frames that did not arrive.
    pub(in crate::report) fn lost(self) -> u64 {
        self.sent.saturating_sub(self.received + self.dropped_at_end)
    }

    /// Frames that arrived and were not sent.
    pub(in crate::report) fn extra(self) -> u64 {
        (self.received + self.dropped_at_end).saturating_sub(self.sent)
    }

    /// Lost share of what was sent, 0 to 1; `None` if nothing was.
    pub(in crate::report) fn loss(self) -> Option<f64> {
        (self.sent > 0).then(|| self.lost() as f64 / self.sent as f64)
    }
}

impl<'a> Directions<'a> {
    /// The directions of a trial; `None` for one without frames.
    pub(in crate::report) fn of(record: &'a TrialRecord) -> Option<Self> {
        let frames = record.frames.as_ref()?;
        let sum = record.ledgers.iter().map(|ledger| &ledger.udp).fold(UdpLedger::default(), |mut sum, ledger| {
            sum.received += ledger.received;
            sum.sent += ledger.sent;
            sum.dropped += ledger.dropped;
            sum.duplicated += ledger.duplicated;
            sum.swapped += ledger.swapped;
            sum.corrupted += ledger.corrupted;
            sum.send_errors += ledger.send_errors;
            sum.overflowed += ledger.overflowed;
            sum.buffer_drops += ledger.buffer_drops;
            sum
        });
        Some(Self { record, frames, reflectors: (!record.ledgers.is_empty()).then_some(sum) })
    }

    /// Client to reflectors.
    pub(in crate::report) fn forward(&self) -> Option<Way> {
        let books = self.reflectors.as_ref()?;
        Some(Way { sent: self.frames.all.sent, received: books.received, dropped_at_end: books.buffer_drops })
    }

    /// Reflectors to client, each frame once.
    pub(in crate::report) fn back(&self) -> Option<Way> {
        let books = self.reflectors.as_ref()?;
        Some(Way {
            sent: books.sent.saturating_sub(books.duplicated),
            received: self.came_back() - self.frames.all.duplicates,
            dropped_at_end: self.frames.own_drops,
        })
    }

    /// Datagrams that the clients took as answers to theirs, right or wrong, early or late.
    pub(in crate::report) fn came_back(&self) -> u64 {
        let all = &self.frames.all;
        all.answered + all.late + all.duplicates + all.corrupted
    }

    fn book(&self, entry: fn(&UdpLedger) -> u64) -> String {
        self.reflectors.as_ref().map(|books| entry(books).to_string()).unwrap_or_default()
    }
}

/// A field of `directions.csv`.
type DirectionsField = fn(&Directions<'_>) -> String;

fn way(way: Option<Way>, of: fn(Way) -> u64) -> String {
    way.map(|way| of(way).to_string()).unwrap_or_default()
}

/// Columns of `directions.csv`: the whole of each trial, ramps included.
pub(in crate::report) const DIRECTIONS: &[(&str, DirectionsField)] = &[
    ("trial", |d| d.record.number.to_string()),
    ("purpose", |d| d.record.purpose.name().to_owned()),
    ("load_kind", |d| load_kind(d.record.load).to_owned()),
    ("load", |d| bare(d.record.load.amount())),
    ("streams", |d| d.frames.streams.to_string()),
    ("client_sent", |d| d.frames.all.sent.to_string()),
    ("reflectors_received", |d| d.book(|b| b.received)),
    ("forward_lost", |d| way(d.forward(), Way::lost)),
    ("forward_loss_pct", |d| percent(d.forward().and_then(Way::loss))),
    ("forward_extra", |d| way(d.forward(), Way::extra)),
    ("reflectors_sent", |d| d.book(|b| b.sent)),
    ("client_received", |d| d.came_back().to_string()),
    ("return_lost", |d| way(d.back(), Way::lost)),
    ("return_loss_pct", |d| percent(d.back().and_then(Way::loss))),
    ("return_extra", |d| way(d.back(), Way::extra)),
    ("answered", |d| d.frames.all.answered.to_string()),
    ("reordered", |d| d.frames.all.reordered.to_string()),
    ("duplicates", |d| d.frames.all.duplicates.to_string()),
    ("late", |d| d.frames.all.late.to_string()),
    ("corrupted", |d| d.frames.all.corrupted.to_string()),
    ("foreign", |d| d.frames.all.foreign.to_string()),
    ("own_drops", |d| d.frames.own_drops.to_string()),
    ("reflector_drops", |d| d.book(|b| b.buffer_drops)),
    ("unreachable", |d| d.frames.unreachable.to_string()),
    ("checksum_errors", |d| d.frames.checksum_errors.map(|errors| errors.to_string()).unwrap_or_default()),
    ("reflector_dropped_on_purpose", |d| d.book(|b| b.dropped)),
    ("reflector_duplicated_on_purpose", |d| d.book(|b| b.duplicated)),
    ("reflector_swapped_on_purpose", |d| d.book(|b| b.swapped)),
    ("reflector_corrupted_on_purpose", |d| d.book(|b| b.corrupted)),
    ("reflector_overflowed", |d| d.book(|b| b.overflowed)),
    ("reflector_send_errors", |d| d.book(|b| b.send_errors)),
    ("send_calls", |d| d.frames.send_calls.to_string()),
    ("batch_mean", |d| maybe_bare(batch_mean(d.frames))),
    ("batch_max", |d| d.frames.batch_max.to_string()),
    ("inter_departure_us_p50", |d| departure(d.record, 50.0)),
    ("inter_departure_us_p99", |d| departure(d.record, 99.0)),
    ("inter_departure_us_max", |d| departure(d.record, 100.0)),
];

/// Frames per system call that sent; `None` if none did.
pub(in crate::report) fn batch_mean(frames: &FrameRecord) -> Option<f64> {
    (frames.send_calls > 0).then(|| frames.all.sent as f64 / frames.send_calls as f64)
}

/// A percentile of the gaps between departures, bare; nothing where none was measured.
pub(in crate::report) fn departure(record: &TrialRecord, percentile: f64) -> String {
    if record.latencies.of(Latency::Departure).is_empty() {
        return String::new();
    }
    bare_us(record.latencies.percentile(Latency::Departure, percentile))
}

/// Frames of one size in one trial.
pub(in crate::report) struct SizeRow<'a> {
    /// The trial.
    pub(in crate::report) record: &'a TrialRecord,
    /// What was counted of the size.
    pub(in crate::report) count: SizeCount,
    /// The size below, if the row stands for all lengths above it.
    pub(in crate::report) above: Option<FrameSize>,
    /// What carried the frames.
    pub(in crate::report) version: IpVersion,
}

impl SizeRow<'_> {
    fn lost(&self) -> u64 {
        self.count.sent.saturating_sub(self.count.answered)
    }
}

type SizeField = fn(&SizeRow<'_>) -> String;

/// Columns of `sizes.csv`: frames due in sustain of each trial by size.
pub(in crate::report) const SIZES: &[(&str, SizeField)] = &[
    ("trial", |s| s.record.number.to_string()),
    ("purpose", |s| s.record.purpose.name().to_owned()),
    ("load_kind", |s| load_kind(s.record.load).to_owned()),
    ("load", |s| bare(s.record.load.amount())),
    ("frame_b", |s| s.count.size.frame().to_string()),
    ("ip_b", |s| s.count.size.ip().to_string()),
    ("payload_b", |s| s.count.size.payload(s.version).map(|bytes| bytes.to_string()).unwrap_or_default()),
    // Random lengths are counted in ranges; this is the longest IP packet of the range below.
    ("above_ip_b", |s| s.above.map(|size| size.ip().to_string()).unwrap_or_default()),
    ("due", |s| s.count.due.to_string()),
    ("sent", |s| s.count.sent.to_string()),
    ("answered", |s| s.count.answered.to_string()),
    ("unsent", |s| s.count.due.saturating_sub(s.count.sent).to_string()),
    ("lost", |s| s.lost().to_string()),
    ("loss_pct", |s| percent((s.count.sent > 0).then(|| s.lost() as f64 / s.count.sent as f64))),
];

/// The rows of `sizes.csv` of one trial; `ranges` = the sizes are upper ends of ranges.
pub(in crate::report) fn size_rows(record: &TrialRecord, version: IpVersion, ranges: bool) -> Vec<Row> {
    let sizes = record.frames.as_ref().map_or(&[][..], |frames| &frames.sizes);
    let row = |(at, &count): (usize, &SizeCount)| {
        let above = at.checked_sub(1).filter(|_| ranges).map(|below| sizes[below].size);
        crate::report::rows::row(SIZES, &SizeRow { record, count, above, version })
    };
    sizes.iter().enumerate().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_lost_or_extra_and_never_negative() {
        let way = |sent, received, dropped_at_end| Way { sent, received, dropped_at_end };
        assert_eq!((way(1_000, 990, 4).lost(), way(1_000, 990, 4).extra()), (6, 0));
        assert_eq!((way(1_000, 1_002, 0).lost(), way(1_000, 1_002, 0).extra()), (0, 2));
        assert_eq!((way(1_000, 990, 4).loss(), way(0, 0, 0).loss()), (Some(0.006), None));
    }
}
