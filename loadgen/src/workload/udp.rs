//! Datagrams that come back: which one is next, and what each answer means.
//!
//! One operation is one frame and its echo. [`Frames`] keeps the books of one worker's streams: it numbers
//! frames, writes them, and judges what arrives. Loss, reordering (RFC 4737: an answer is reordered when one
//! to a later frame of its stream came before), duplicates, lateness, wrong bytes and strange datagrams are
//! told apart: whatever arrives is counted exactly once, by the first of these that fits. Every counter only
//! grows and belongs to the moment at which its frame was due; strange ones to the moment of their arrival.
//!
//! - [`sizes`]: which size each frame has.
//! - [`tuples`]: where each stream is sent from.
//! - [`window`]: which frames are under way.

pub mod sizes;
pub mod tuples;
pub mod window;

use std::ops::Range;

use wire::signature::{self, Near, SHORT, Signature};

use self::sizes::{Length, Sizes};
use self::window::{Answer, Times, Window};
use crate::measure::Outcome;
use crate::measure::record::{FrameCounts, FrameRecord, SizeCount};

/// Answers to frames that were sent so long before the trial, in nanoseconds, belong to an earlier one.
const EARLIER: u64 = 60_000_000_000;

/// What the books of one worker begin with.
#[derive(Clone, Debug)]
pub struct FramesConfig {
    /// The sizes of all frames.
    pub sizes: Sizes,
    /// Streams of this worker, at least one.
    pub streams: u16,
    /// The number of its first stream, and the distance to its next one.
    pub first: u16,
    /// See `first`.
    pub stride: u16,
    /// When the trial begins, in nanoseconds.
    pub began: u64,
    /// When frames that count are due, in nanoseconds.
    pub sustain: Range<u64>,
    /// Frames under way for which there has to be room.
    pub room: u32,
    /// How long an answer may take, in nanoseconds.
    pub timeout: u64,
}

/// The books of one worker's streams.
#[derive(Debug)]
pub struct Frames {
    sizes: Sizes,
    /// The bytes behind a signature.
    filler: Box<[u8]>,
    window: Window,
    /// For each stream the number behind the highest one that was answered.
    expected: Box<[u64]>,
    first: u16,
    stride: u16,
    /// When frames of earlier trials with the same streams were sent.
    before: Range<u64>,
    sustain: Range<u64>,
    skipped: u64,
    by_size: Vec<SizeCount>,
    measured: FrameCounts,
    all: FrameCounts,
}

/// How a frame ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ended {
    /// When it was due and sent.
    pub times: Times,
    /// `ok`, `bad_payload` or `lost`.
    pub outcome: Outcome,
}

/// A datagram that arrived on the socket of a stream.
#[derive(Clone, Copy, Debug)]
pub struct Arrived<'a> {
    /// Which of this worker's streams.
    pub stream: usize,
    /// Whether it came from where that stream is sent to.
    pub from_service: bool,
    /// Its bytes, or the first of them.
    pub payload: &'a [u8],
    /// Whether there were more bytes than any frame has.
    pub truncated: bool,
}

impl Frames {
    /// Empty books.
    pub fn new(config: FramesConfig) -> Self {
        let FramesConfig { sizes, streams, first, stride, began, sustain, room, timeout } = config;
        let mut filler = vec![0; sizes.payload_max()].into_boxed_slice();
        signature::fill(&mut filler);
        Self {
            by_size: sizes.classes(),
            sizes,
            filler,
            window: Window::new(room, timeout),
            expected: vec![0; streams.max(1).into()].into(),
            first,
            stride,
            before: began.saturating_sub(EARLIER)..began,
            sustain,
            skipped: 0,
            measured: FrameCounts::default(),
            all: FrameCounts::default(),
        }
    }

    /// Frames sent and neither answered nor given up.
    pub fn under_way(&self) -> u32 {
        self.window.under_way()
    }

    /// How many streams there are.
    pub fn streams(&self) -> usize {
        self.expected.len()
    }

    /// Whether another frame can be claimed.
    pub fn has_room(&self) -> bool {
        self.window.has_room()
    }

    /// Bytes of the longest payload.
    pub fn payload_max(&self) -> usize {
        self.sizes.payload_max()
    }

    /// The number of the next frame that is claimed.
    pub fn next(&self) -> u64 {
        self.window.next()
    }

    /// The last moment at which the oldest frame under way is answered in time.
    pub fn deadline(&self) -> Option<u64> {
        self.window.deadline()
    }

    // === sending ===

    /// A frame is due: it is the next one of the stream whose turn it is. `None` if too many are under way.
    pub fn claim(&mut self, due: u64) -> Option<u64> {
        let frame = self.window.claim(due)?;
        self.count_due(frame, due);
        Some(frame)
    }

    /// A frame that was due is never sent and does not even get a number.
    pub fn skip(&mut self, due: u64) {
        // Sizes still take turns, so that what was due of each is known.
        self.count_due(self.window.next() + self.skipped, due);
        self.skipped += 1;
    }

    /// When a frame was due that is claimed and has neither been sent nor given up.
    pub fn claimed(&self, frame: u64) -> Option<u64> {
        self.window.claimed(frame)
    }

    /// Bytes of payload of a frame.
    pub fn length(&self, frame: u64) -> usize {
        self.length_of(frame).payload.into()
    }

    /// Writes a frame that leaves now. `payload` has its length; only places in which [`Self::prepare`] was
    /// done once will do.
    pub fn write(&self, frame: u64, now: u64, payload: &mut [u8]) {
        let (stream, sequence) = self.position(frame);
        let written = Signature { stream: self.id(stream), sequence, sent_ns: now }.write(payload);
        if written == SHORT {
            // Here a longer frame may have left a part of its signature.
            let rest = payload.len() - SHORT;
            payload[SHORT..].copy_from_slice(&self.filler[..rest]);
        }
    }

    /// Makes a buffer of the longest payload's length ready for frames of any length.
    pub fn prepare(&self, payload: &mut [u8]) {
        if let Some(rest) = payload.get_mut(signature::LONG..) {
            signature::fill(rest);
        }
    }

    /// A claimed frame has been sent; when it was due.
    pub fn sent(&mut self, frame: u64, now: u64) -> u64 {
        let due = self.window.claimed(frame).unwrap_or(now);
        self.window.sent(frame, now);
        self.all.sent += 1;
        if self.sustain.contains(&due) {
            self.measured.sent += 1;
            let class = self.length_of(frame).class;
            self.by_size[usize::from(class)].sent += 1;
        }
        due
    }

    /// A claimed frame is never sent.
    pub fn unsent(&mut self, frame: u64) {
        self.window.unsent(frame);
    }

    /// The stream of a frame, as an index into this worker's.
    pub fn stream(&self, frame: u64) -> usize {
        self.position(frame).0
    }

    /// The number of a stream in its frames.
    pub fn id(&self, stream: usize) -> u16 {
        self.first + stream as u16 * self.stride
    }

    /// Number of a frame within its stream.
    pub fn sequence(&self, frame: u64) -> u64 {
        self.position(frame).1
    }

    /// Streams take turns, so that the place of a frame follows from its number.
    fn position(&self, frame: u64) -> (usize, u64) {
        let streams = self.expected.len() as u64;
        ((frame % streams) as usize, frame / streams)
    }

    fn length_of(&self, frame: u64) -> Length {
        let (stream, sequence) = self.position(frame);
        self.sizes.of(self.id(stream), sequence)
    }

    fn count_due(&mut self, frame: u64, due: u64) {
        if self.sustain.contains(&due) {
            let class = self.length_of(frame).class;
            self.by_size[usize::from(class)].due += 1;
        }
    }

    // === receiving ===

    /// Judges a datagram that was read now and is known not to have been there at `absent`; says which frame has
    /// ended by it, if one has. It is late only if it was not there when its time was over: what lay unread
    /// longer is the reader's doing.
    pub fn received(&mut self, arrived: Arrived<'_>, now: u64, absent: u64) -> Option<Ended> {
        let near = Near { sequence: self.window.next() / self.expected.len() as u64, now_ns: now };
        let id = self.id(arrived.stream);
        let Some(signature) = Signature::read(arrived.payload, near).filter(|_| arrived.from_service) else {
            let kind = if arrived.from_service { Kind::Corrupted } else { Kind::Foreign };
            self.count(kind, now);
            return None;
        };
        if signature.stream != id || self.before.contains(&signature.sent_ns) {
            self.count(Kind::Foreign, now);
            return None;
        }
        let streams = self.expected.len() as u64;
        let frame = signature.sequence.checked_mul(streams).and_then(|row| row.checked_add(arrived.stream as u64));
        let Some(frame) = frame else {
            self.count(Kind::Corrupted, now);
            return None;
        };
        let answer = self.window.answer(frame, signature.sent_ns, absent);
        let intact = self.is_intact(frame, arrived);
        self.judge(answer, intact, arrived.stream, frame, now)
    }

    fn judge(&mut self, answer: Answer, intact: bool, stream: usize, frame: u64, now: u64) -> Option<Ended> {
        let (kind, times, outcome) = match answer {
            Answer::First(times) if intact => (Kind::Answered, Some(times), Some(Outcome::Ok)),
            Answer::First(times) => (Kind::Corrupted, Some(times), Some(Outcome::BadPayload)),
            Answer::Late(times) => (Kind::Late, Some(times), Some(Outcome::Lost)),
            Answer::AfterLoss(times) => (Kind::Late, Some(times), None),
            Answer::Again(times) => (Kind::Duplicate, Some(times), None),
            Answer::Forgotten => (Kind::Late, None, None),
            Answer::Unknown => (Kind::Corrupted, None, None),
        };
        let due = times.map_or(now, |times| times.due);
        self.count(if intact { kind } else { Kind::Corrupted }, due);
        if outcome == Some(Outcome::Ok) {
            self.note_order(stream, frame / self.expected.len() as u64, due);
            if self.sustain.contains(&due) {
                let class = self.length_of(frame).class;
                self.by_size[usize::from(class)].answered += 1;
            }
        }
        times.zip(outcome).map(|(times, outcome)| Ended { times, outcome })
    }

    fn is_intact(&self, frame: u64, arrived: Arrived<'_>) -> bool {
        let payload = arrived.payload;
        let signed = if payload.len() >= signature::LONG { signature::LONG } else { SHORT };
        !arrived.truncated
            && payload.len() == self.length(frame)
            && payload.get(signed..).is_some_and(|rest| *rest == self.filler[..rest.len()])
    }

    /// RFC 4737, 3.3: reordered is what is smaller than the next expected number.
    fn note_order(&mut self, stream: usize, sequence: u64, due: u64) {
        let expected = &mut self.expected[stream];
        if sequence < *expected {
            self.count(Kind::Reordered, due);
        } else {
            *expected = sequence + 1;
        }
    }

    fn count(&mut self, kind: Kind, at: u64) {
        kind.count(&mut self.all);
        if self.sustain.contains(&at) {
            kind.count(&mut self.measured);
        }
    }

    /// The next frame that has waited for its answer too long; `now` is the last moment at which no answer lay
    /// unread.
    pub fn give_up(&mut self, now: u64) -> Option<(u64, Ended)> {
        let (frame, times) = self.window.give_up(now)?;
        Some((frame, Ended { times, outcome: Outcome::Lost }))
    }

    /// What was counted; the rest of the record is known to whoever has the sockets.
    pub fn record(&self) -> FrameRecord {
        FrameRecord { sizes: self.by_size.clone(), sustain: self.measured, all: self.all, ..FrameRecord::default() }
    }
}

/// What a datagram is counted as.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Answered,
    /// Besides `Answered`.
    Reordered,
    Duplicate,
    Late,
    Corrupted,
    Foreign,
}

impl Kind {
    fn count(self, counts: &mut FrameCounts) {
        let counter = match self {
            Self::Answered => &mut counts.answered,
            Self::Reordered => &mut counts.reordered,
            Self::Duplicate => &mut counts.duplicates,
            Self::Late => &mut counts.late,
            Self::Corrupted => &mut counts.corrupted,
            Self::Foreign => &mut counts.foreign,
        };
        *counter += 1;
    }
}

#[cfg(test)]
mod tests;
