//! The books against a naive model, and against rubbish.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use wire::frame::{FrameSize, IpVersion};

use super::*;
use crate::scenario::mix::Mix;

const TIMEOUT: u64 = 1_000;
const SUSTAIN: Range<u64> = 5_000..9_000;

fn books(streams: u16, room: u32) -> Frames {
    let mix = Mix::Random { min: FrameSize::of_ip(47).unwrap(), max: FrameSize::of_ip(300).unwrap() };
    Frames::new(FramesConfig {
        sizes: Sizes::new(&mix, IpVersion::V4, 1).unwrap(),
        streams,
        first: 1,
        stride: 2,
        began: 1_000,
        sustain: SUSTAIN,
        room,
        timeout: TIMEOUT,
    })
}

/// A datagram on its way back.
#[derive(Clone, Debug)]
struct Flight {
    arrival: u64,
    frame: u64,
    bytes: Vec<u8>,
    intact: bool,
}

/// A frame that was sent, as the model knows it.
#[derive(Clone, Copy, Debug)]
struct Sent {
    due: u64,
    sent: u64,
}

/// Sends frames and lets a hostile network carry them: losses, duplicates, any delay, wrong bytes.
fn flights(frames: &mut Frames, count: u64, random: &mut Xoshiro256PlusPlus) -> (Vec<Sent>, Vec<Flight>) {
    let (mut sent, mut flights) = (Vec::new(), Vec::new());
    for number in 0..count {
        let (due, now) = (2_000 + number * 40, 2_000 + number * 40 + random.random_range(0..30));
        let frame = frames.claim(due).unwrap();
        let mut bytes = vec![0xEE; frames.payload_max()];
        frames.prepare(&mut bytes);
        bytes.truncate(frames.length(frame));
        frames.write(frame, now, &mut bytes);
        assert_eq!(frames.sent(frame, now), due);
        sent.push(Sent { due, sent: now });
        let copies = [0, 1, 1, 1, 1, 1, 2, 3][random.random_range(0..8)];
        for _ in 0..copies {
            // A third in order, a third out of order, a third around the limit of what is in time.
            let delay = [100, random.random_range(1..400), random.random_range(TIMEOUT - 20..TIMEOUT + 20)];
            let (mut bytes, intact) = (bytes.clone(), random.random_range(0..10) > 0);
            if !intact {
                match random.random_range(0..3) {
                    0 => bytes.push(7),
                    1 if bytes.len() > signature::LONG => drop(bytes.pop()),
                    _ if bytes.len() > signature::LONG => bytes[signature::LONG] ^= 0x40,
                    _ => bytes.push(0),
                }
            }
            flights.push(Flight { arrival: now + delay[random.random_range(0..3)], frame, bytes, intact });
        }
    }
    flights.sort_by_key(|flight| flight.arrival);
    (sent, flights)
}

/// What has to be counted, found out the slow way.
fn naive(sent: &[Sent], flights: &[Flight], streams: u64, counts: impl Fn(u64) -> bool) -> (FrameCounts, [u64; 3]) {
    let (mut expected, mut ends) = (FrameCounts::default(), [0; 3]);
    // Streams and sequences of the answers that counted, in the order in which they came.
    let mut answered: Vec<(u64, u64)> = Vec::new();
    let mut reordered = Vec::new();
    for (at, flight) in flights.iter().enumerate() {
        let times = sent[flight.frame as usize];
        let is_first = !flights[..at].iter().any(|earlier| earlier.frame == flight.frame);
        if is_first && flight.intact && flight.arrival - times.sent <= TIMEOUT {
            let (stream, sequence) = (flight.frame % streams, flight.frame / streams);
            reordered
                .extend(answered.iter().any(|other| other.0 == stream && other.1 > sequence).then_some(flight.frame));
            answered.push((stream, sequence));
        }
    }
    for (number, times) in sent.iter().enumerate().filter(|(_, times)| counts(times.due)) {
        let mut own = flights.iter().filter(|flight| flight.frame == number as u64);
        expected.sent += 1;
        let first = own.next();
        let in_time = first.filter(|flight| flight.arrival - times.sent <= TIMEOUT);
        ends[in_time.map_or(2, |flight| usize::from(!flight.intact))] += 1;
        if let Some(flight) = first {
            let counter = match (flight.intact, in_time.is_some()) {
                (false, _) => &mut expected.corrupted,
                (true, true) => &mut expected.answered,
                (true, false) => &mut expected.late,
            };
            *counter += 1;
        }
        for again in own {
            *if again.intact { &mut expected.duplicates } else { &mut expected.corrupted } += 1;
        }
        expected.reordered += u64::from(reordered.contains(&(number as u64)));
    }
    (expected, ends)
}

#[test]
fn thousands_of_random_fates_are_counted_as_a_naive_model_counts_them() {
    let mut seen = FrameCounts::default();
    for seed in 0..3_000 {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
        let streams = random.random_range(1..6);
        let mut frames = books(streams, 256);
        let (sent, flights) = flights(&mut frames, 200, &mut random);
        let mut ends = [0_u64; 3];
        let mut end = |outcome| {
            ends[match outcome {
                Outcome::Ok => 0,
                Outcome::BadPayload => 1,
                _ => 2,
            }] += 1;
        };
        for flight in &flights {
            // Sometimes the worker comes to its losses late.
            if random.random_range(0..3) > 0 {
                while let Some((_, ended)) = frames.give_up(flight.arrival) {
                    end(ended.outcome);
                }
            }
            let arrived = Arrived {
                stream: (flight.frame % u64::from(streams)) as usize,
                from_service: true,
                payload: &flight.bytes,
                truncated: false,
            };
            frames.received(arrived, flight.arrival, flight.arrival).into_iter().for_each(|ended| end(ended.outcome));
        }
        while let Some((_, ended)) = frames.give_up(u64::MAX) {
            end(ended.outcome);
        }
        let record = frames.record();
        let (all, all_ends) = naive(&sent, &flights, streams.into(), |_| true);
        let (sustain, _) = naive(&sent, &flights, streams.into(), |due| SUSTAIN.contains(&due));
        assert_eq!((record.all, record.sustain), (all, sustain), "seed {seed}");
        assert_eq!((ends, frames.under_way()), (all_ends, 0), "seed {seed}");
        assert_eq!(record.sizes.iter().map(|size| size.sent).sum::<u64>(), sustain.sent);
        assert_eq!(record.sizes.iter().map(|size| size.answered).sum::<u64>(), sustain.answered);
        let counted = all.answered + all.late + all.duplicates + all.corrupted;
        assert_eq!(counted, flights.len() as u64, "each datagram once, seed {seed}");
        seen.merge(&all);
    }
    // The fates that this is about did happen.
    let FrameCounts { reordered, duplicates, late, corrupted, .. } = seen;
    assert!([reordered, duplicates, late, corrupted].iter().all(|count| *count > 10_000), "{seen:?}");
}

#[test]
fn rubbish_is_counted_and_answers_nothing() {
    let mut frames = books(3, 64);
    let mut random = Xoshiro256PlusPlus::seed_from_u64(1);
    for _ in 0..30 {
        let frame = frames.claim(6_000).unwrap();
        frames.sent(frame, 6_000);
    }
    for _ in 0..20_000 {
        let mut bytes = vec![0; random.random_range(0..400)];
        random.fill(&mut bytes[..]);
        let from_service = random.random_range(0..2) == 1;
        let arrived =
            Arrived { stream: random.random_range(0..3), from_service, payload: &bytes, truncated: bytes.len() > 272 };
        assert_eq!(frames.received(arrived, 6_500, 6_500), None);
    }
    let FrameCounts { sent, answered, duplicates, late, corrupted, foreign, reordered } = frames.record().sustain;
    assert_eq!([sent, answered, duplicates, late, reordered], [30, 0, 0, 0, 0]);
    assert_eq!(corrupted + foreign, 20_000);
    assert!(corrupted > 100 && foreign > 10_000, "{corrupted} {foreign}");
}

#[test]
fn strange_streams_and_earlier_trials_are_foreign() {
    let mut frames = books(2, 64);
    let written = |frames: &Frames, frame, now| {
        let mut bytes = vec![0; frames.payload_max()];
        frames.prepare(&mut bytes);
        bytes.truncate(frames.length(frame));
        frames.write(frame, now, &mut bytes);
        bytes
    };
    let frame = frames.claim(6_000).unwrap();
    let (now, earlier) = (written(&frames, frame, 6_000), written(&frames, frame, 900));
    frames.sent(frame, 6_000);
    let arrived = |stream, payload| Arrived { stream, from_service: true, payload, truncated: false };
    assert_eq!(frames.received(arrived(1, &now), 6_100, 6_100), None);
    assert_eq!(frames.received(arrived(0, &earlier), 6_100, 6_100), None);
    assert_eq!(frames.received(Arrived { from_service: false, ..arrived(0, &now) }, 6_100, 6_100), None);
    assert_eq!(frames.record().all.foreign, 3);
    let ended = frames.received(arrived(0, &now), 6_100, 6_100).unwrap();
    assert_eq!((ended.outcome, ended.times), (Outcome::Ok, Times { due: 6_000, sent: 6_000 }));
}

#[test]
fn frames_that_are_never_sent_leave_gaps_and_no_losses() {
    let mut frames = books(2, 64);
    let claimed: Vec<_> = (0..10).map(|_| frames.claim(6_000).unwrap()).collect();
    claimed.iter().for_each(|frame| frames.unsent(*frame));
    frames.skip(6_000);
    assert_eq!((frames.give_up(u64::MAX), frames.under_way()), (None, 0));
    let record = frames.record();
    assert_eq!((record.all, record.sustain), (FrameCounts::default(), FrameCounts::default()));
    assert_eq!(record.sizes.iter().map(|size| size.due).sum::<u64>(), 11);
}

#[test]
fn an_answer_that_lay_unread_is_in_time() {
    for (absent, outcome) in [(7_000, Outcome::Ok), (7_001, Outcome::Lost)] {
        let mut frames = books(1, 64);
        let frame = frames.claim(6_000).unwrap();
        let mut bytes = vec![0; frames.payload_max()];
        frames.prepare(&mut bytes);
        bytes.truncate(frames.length(frame));
        frames.write(frame, 6_000, &mut bytes);
        frames.sent(frame, 6_000);
        let arrived = Arrived { stream: 0, from_service: true, payload: &bytes, truncated: false };
        assert_eq!(frames.received(arrived, 20_000, absent).unwrap().outcome, outcome);
    }
}
