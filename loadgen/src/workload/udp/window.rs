//! The frames of one worker that are under way, and those decided not long ago.
//!
//! Frames are numbered through all streams of a worker, and each has a place in a ring: when it was due, when
//! it was sent, what became of it. So the loss of each single frame is decided after the same time, an answer
//! is told from a second one, and no duplicate ever makes up for a loss. The ring remembers decided frames
//! until their places are needed: at least as long as frames take to be given up. An answer to a frame that
//! it has forgotten is late; whether it was the first one nobody knows any more.
//!
//! Times are nanoseconds on one monotonic clock; the time of day plays no part.

/// A place: when the frame was due; and when it was sent, with its state in the upper bits.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    due: u64,
    sent: u64,
}

/// Times below 2^61 ns (73 years) leave the upper bits of a place free for the state.
const STATE: u32 = 61;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// Never sent.
    Unsent = 0,
    /// Claimed and to be sent.
    Claimed = 1,
    /// Sent, and neither answered nor given up.
    UnderWay = 2,
    /// Given up.
    Lost = 3,
    /// Answered, in time or late.
    Answered = 4,
}

impl Place {
    fn state(self) -> State {
        match self.sent >> STATE {
            0 => State::Unsent,
            1 => State::Claimed,
            2 => State::UnderWay,
            3 => State::Lost,
            _ => State::Answered,
        }
    }

    fn sent(self) -> u64 {
        self.sent & ((1 << STATE) - 1)
    }

    fn set(&mut self, state: State, sent: u64) {
        self.sent = (state as u64) << STATE | sent;
    }
}

/// When a frame was due and sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Times {
    /// Due.
    pub due: u64,
    /// Sent.
    pub sent: u64,
}

/// What an answer means to its frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Answer {
    /// The first one, in time.
    First(Times),
    /// The first one, and only it says that the frame is lost: it took too long.
    Late(Times),
    /// The first one to a frame that has been given up before.
    AfterLoss(Times),
    /// There has been one.
    Again(Times),
    /// The frame has been forgotten: it was given up or answered long ago.
    Forgotten,
    /// No such frame was sent, or not at that moment.
    Unknown,
}

/// The frames of one worker.
#[derive(Debug)]
pub struct Window {
    places: Box<[Place]>,
    /// The oldest frame that is not decided, and the next one to be claimed.
    oldest: u64,
    next: u64,
    under_way: u32,
    timeout: u64,
}

impl Window {
    /// A window with room for at least so many undecided frames; they are given up so long after they were
    /// sent.
    pub fn new(frames: u32, timeout: u64) -> Self {
        let capacity = frames.max(1).next_power_of_two() as usize;
        Self { places: vec![Place::default(); capacity].into(), oldest: 0, next: 0, under_way: 0, timeout }
    }

    /// The number that the next frame gets.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Frames sent and neither answered nor given up.
    pub fn under_way(&self) -> u32 {
        self.under_way
    }

    /// Whether another frame has a place.
    pub fn has_room(&self) -> bool {
        self.next - self.oldest < self.places.len() as u64
    }

    /// Gives a frame that was due then its number; `None` without room.
    pub fn claim(&mut self, due: u64) -> Option<u64> {
        let number = self.next;
        if !self.has_room() {
            return None;
        }
        self.next += 1;
        let place = self.place(number);
        place.due = due;
        place.set(State::Claimed, 0);
        Some(number)
    }

    /// When a frame was due that is claimed and neither sent nor given up; else `None`.
    pub fn claimed(&self, number: u64) -> Option<u64> {
        let place = self.places[self.index(number)];
        (place.state() == State::Claimed).then_some(place.due)
    }

    /// A claimed frame was sent then.
    pub fn sent(&mut self, number: u64, now: u64) {
        debug_assert!(self.claimed(number).is_some(), "a frame is sent once");
        self.place(number).set(State::UnderWay, now);
        self.under_way += 1;
    }

    /// A claimed frame is never sent.
    pub fn unsent(&mut self, number: u64) {
        debug_assert!(self.claimed(number).is_some(), "a frame that was sent is not given up so");
        self.place(number).set(State::Unsent, 0);
        self.advance();
    }

    /// An answer, not there before `now`, to a frame that says when it was sent. If that is not when it was, the answer's number may
    /// be as wrong as its time, and nothing is decided.
    pub fn answer(&mut self, number: u64, sent: u64, now: u64) -> Answer {
        if number >= self.next {
            return Answer::Unknown;
        }
        if number + (self.places.len() as u64) < self.next {
            return Answer::Forgotten;
        }
        let timeout = self.timeout;
        let place = self.place(number);
        let times = Times { due: place.due, sent: place.sent() };
        let state = place.state();
        if matches!(state, State::Unsent | State::Claimed) || times.sent != sent {
            return Answer::Unknown;
        }
        place.set(State::Answered, sent);
        match state {
            State::Answered => Answer::Again(times),
            State::Lost => Answer::AfterLoss(times),
            _ => {
                self.under_way -= 1;
                self.advance();
                if now.saturating_sub(sent) > timeout { Answer::Late(times) } else { Answer::First(times) }
            }
        }
    }

    /// The next frame that has waited for its answer too long; it is lost from now on.
    pub fn give_up(&mut self, now: u64) -> Option<(u64, Times)> {
        self.advance();
        let number = self.oldest;
        let deadline = self.deadline()?;
        if now <= deadline {
            return None;
        }
        let place = self.place(number);
        let times = Times { due: place.due, sent: place.sent() };
        place.set(State::Lost, times.sent);
        self.under_way -= 1;
        self.advance();
        Some((number, times))
    }

    /// The last moment at which an answer to the oldest frame is in time; `None` if none is under way, or if
    /// the oldest has not been sent.
    pub fn deadline(&self) -> Option<u64> {
        let place = self.places[self.index(self.oldest)];
        (self.oldest < self.next && place.state() == State::UnderWay).then(|| place.sent() + self.timeout)
    }

    /// Frames are given up in the order of their numbers, which is that of their sending but for those sent
    /// in one turn.
    fn advance(&mut self) {
        while self.oldest < self.next
            && !matches!(self.places[self.index(self.oldest)].state(), State::Claimed | State::UnderWay)
        {
            self.oldest += 1;
        }
    }

    fn index(&self, number: u64) -> usize {
        number as usize & (self.places.len() - 1)
    }

    fn place(&mut self, number: u64) -> &mut Place {
        &mut self.places[number as usize & (self.places.len() - 1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(window: &mut Window, due: u64, at: u64) -> u64 {
        let number = window.claim(due).unwrap();
        window.sent(number, at);
        number
    }

    #[test]
    fn a_place_is_16_bytes() {
        assert_eq!(size_of::<Place>(), 16);
    }

    #[test]
    fn every_answer_is_told_apart() {
        let mut window = Window::new(4, 100);
        let frame = sent(&mut window, 5, 10);
        let times = Times { due: 5, sent: 10 };
        assert_eq!(window.answer(frame, 11, 20), Answer::Unknown);
        assert_eq!(window.answer(frame + 1, 10, 20), Answer::Unknown);
        assert_eq!(window.answer(frame, 10, 110), Answer::First(times));
        assert_eq!(window.answer(frame, 10, 111), Answer::Again(times));
        let frame = sent(&mut window, 5, 10);
        assert_eq!(window.answer(frame, 10, 111), Answer::Late(times));
        assert_eq!(window.give_up(1_000), None);
        let frame = sent(&mut window, 5, 10);
        assert_eq!((window.give_up(110), window.give_up(111)), (None, Some((frame, times))));
        assert_eq!(window.answer(frame, 10, 112), Answer::AfterLoss(times));
        assert_eq!(window.answer(frame, 10, 113), Answer::Again(times));
        assert_eq!(window.under_way(), 0);
        for _ in 0..3 {
            sent(&mut window, 5, 10);
        }
        assert_eq!(window.answer(0, 10, 20), Answer::Forgotten);
    }

    #[test]
    fn a_full_window_takes_no_frame_and_a_frame_to_be_sent_holds_its_place() {
        let mut window = Window::new(3, 100);
        let first = window.claim(1).unwrap();
        let others: Vec<_> = (0..3).map(|_| sent(&mut window, 1, 2)).collect();
        assert_eq!((window.claim(1), window.has_room()), (None, false));
        // Younger ones wait behind it: its place is needed as long as it may still be sent.
        assert_eq!((window.give_up(1_000), window.deadline()), (None, None));
        assert_eq!(window.answer(first, 0, 9), Answer::Unknown);
        window.unsent(first);
        assert_eq!(window.answer(first, 0, 9), Answer::Unknown);
        assert_eq!(window.give_up(1_000).unwrap().0, others[0]);
        assert_eq!(window.claimed(first), None);
        assert!(window.has_room() && window.under_way() == 2);
    }
}
