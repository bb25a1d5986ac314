//! Answers that have to wait: for their time, for their turn at a rate cap, or for a neighbour.
//!
//! Times are nanoseconds that the caller has read from the monotonic clock. Both are bounded: one too many
//! is not taken, and the caller counts it. Buffers are used again, so holding answers allocates nothing
//! once as many as usual are held.

use std::collections::VecDeque;

use super::outbox::Way;

/// Answers that one socket holds at most.
pub(super) const ANSWERS_MAX: usize = 65_536;
/// Bytes of payload that one socket holds at most.
pub(super) const BYTES_MAX: usize = 64 << 20;
/// First ones of a swap that one socket holds at most; each stream has one at a time.
pub(super) const SWAPS_MAX: usize = 1024;
/// Buffers that are kept for further answers.
const SPARE_MAX: usize = 1024;

/// An answer as it will be sent.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) way: Way,
    pub(super) payload: Vec<u8>,
    /// How often it is sent.
    pub(super) copies: usize,
}

/// Answers in the order in which they are due.
#[derive(Debug, Default)]
pub(super) struct Held {
    queue: VecDeque<(u64, Answer)>,
    bytes: usize,
    spare: Vec<Vec<u8>>,
}

impl Held {
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Makes an answer; its buffer comes back with [`Self::reuse`].
    pub(super) fn answer(&mut self, way: Way, payload: &[u8], copies: usize) -> Answer {
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.clear();
        buffer.extend_from_slice(payload);
        Answer { way, payload: buffer, copies }
    }

    /// Takes the buffer of an answer that is done. Buffers for rare giants are not kept.
    pub(super) fn reuse(&mut self, answer: Answer) {
        if self.spare.len() < SPARE_MAX && answer.payload.capacity() <= 2048 {
            self.spare.push(answer.payload);
        }
    }

    /// Holds an answer until `due_ns`, which must not lie before that of the last one; whether there was room.
    pub(super) fn push(&mut self, due_ns: u64, answer: Answer) -> bool {
        let bytes = self.bytes + answer.payload.len();
        if self.queue.len() >= ANSWERS_MAX || bytes > BYTES_MAX {
            self.reuse(answer);
            return false;
        }
        self.bytes = bytes;
        self.queue.push_back((due_ns, answer));
        true
    }

    /// The first answer and when it is due.
    pub(super) fn first(&self) -> Option<(u64, &Answer)> {
        self.queue.front().map(|(due_ns, answer)| (*due_ns, answer))
    }

    /// Takes the first answer.
    pub(super) fn pop(&mut self) -> Option<Answer> {
        let (_, answer) = self.queue.pop_front()?;
        self.bytes -= answer.payload.len();
        Some(answer)
    }
}

/// Which stream of which peer a datagram belongs to; those without a signature have none.
pub(super) type Stream = (std::net::SocketAddr, Option<u16>);

/// First ones of a swap, each waiting for the next datagram of its stream; in the order of their deadlines.
#[derive(Debug, Default)]
pub(super) struct Swaps {
    waiting: VecDeque<(u64, Stream, Answer)>,
}

impl Swaps {
    /// Whether another one can wait.
    pub(super) fn has_room(&self) -> bool {
        self.waiting.len() < SWAPS_MAX
    }

    /// Lets an answer wait until `deadline_ns`, which must not lie before that of the last one.
    pub(super) fn wait(&mut self, deadline_ns: u64, stream: Stream, answer: Answer) {
        self.waiting.push_back((deadline_ns, stream, answer));
    }

    /// The answer that waited for a datagram of this stream.
    pub(super) fn partner(&mut self, stream: &Stream) -> Option<Answer> {
        let at = self.waiting.iter().position(|(_, waiting, _)| waiting == stream)?;
        self.waiting.remove(at).map(|(_, _, answer)| answer)
    }

    /// When the first one has waited long enough.
    pub(super) fn deadline_ns(&self) -> Option<u64> {
        self.waiting.front().map(|(deadline_ns, ..)| *deadline_ns)
    }

    /// An answer whose neighbour did not come in time.
    pub(super) fn expired(&mut self, now_ns: u64) -> Option<Answer> {
        self.waiting.pop_front_if(|(deadline_ns, ..)| *deadline_ns <= now_ns).map(|(_, _, answer)| answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way() -> Way {
        Way { to: "127.0.0.1:9".parse().unwrap(), from: None }
    }

    #[test]
    fn answers_are_held_up_to_a_number_and_a_sum_of_bytes() {
        let mut held = Held::default();
        let mut push = |length: usize| {
            let answer = held.answer(way(), &vec![0; length], 1);
            held.push(0, answer)
        };
        assert!((0..ANSWERS_MAX).all(|_| push(0)));
        assert!(!push(0));
        let mut held = Held::default();
        let giant = vec![7; 65_507];
        let taken = (0..).take_while(|n| {
            let answer = held.answer(way(), &giant, 1);
            held.push(*n, answer)
        });
        assert_eq!(taken.count(), BYTES_MAX / 65_507);
        // One leaves, one may come.
        assert_eq!(held.pop().map(|answer| answer.payload.len()), Some(65_507));
        assert_eq!(held.first().map(|(due_ns, _)| due_ns), Some(1));
        let answer = held.answer(way(), &giant, 1);
        assert!(held.push(9, answer));
    }

    #[test]
    fn a_swap_ends_with_its_own_stream_or_in_time() {
        let (mut held, mut swaps) = (Held::default(), Swaps::default());
        let stream = |stream| (way().to, Some(stream));
        for (number, deadline_ns) in [(1, 100), (2, 200), (3, 300)] {
            let answer = held.answer(way(), &[number as u8], 1);
            swaps.wait(deadline_ns, stream(number), answer);
        }
        assert!(swaps.partner(&(way().to, None)).is_none() && swaps.partner(&stream(4)).is_none());
        assert_eq!(swaps.partner(&stream(2)).unwrap().payload, [2]);
        assert_eq!(swaps.deadline_ns(), Some(100));
        assert!(swaps.expired(99).is_none());
        assert_eq!(swaps.expired(250).unwrap().payload, [1]);
        assert!(swaps.expired(250).is_none());
        assert_eq!(swaps.expired(300).unwrap().payload, [3]);
        assert_eq!(swaps.deadline_ns(), None);
    }
}
