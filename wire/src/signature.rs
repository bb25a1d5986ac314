//! What a test datagram says about itself: its stream, its number and when it was sent.
//!
//! 18 bytes fill a 64-byte IPv4 frame exactly: `stream u16 | sequence u64 | sent u64`. A payload of 12 to
//! 17 bytes (the 40-byte packet of an IMIX) has the short form `stream u16 | sequence u32 | sent u48`.
//! All numbers are big-endian, times are nanoseconds of `CLOCK_MONOTONIC`. Which form it is follows from
//! the length of the payload, so both ends agree without a word. The bytes after it count up from 0.

/// Length of the long form.
pub const LONG: usize = 18;
/// Length of the short form; a shorter payload has no signature.
pub const SHORT: usize = 12;

/// The signature of one datagram.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Signature {
    /// The stream, a 5-tuple of the sender.
    pub stream: u16,
    /// Number within the stream, from 0; the short form keeps the lowest 32 bits.
    pub sequence: u64,
    /// When it was sent; the short form keeps the lowest 48 bits (78 hours).
    pub sent_ns: u64,
}

impl Signature {
    /// Writes it to the begin of a payload. Returns the bytes taken; 0 if the payload has no room.
    pub fn write(&self, payload: &mut [u8]) -> usize {
        if let Some(place) = payload.first_chunk_mut::<LONG>() {
            place[..2].copy_from_slice(&self.stream.to_be_bytes());
            place[2..10].copy_from_slice(&self.sequence.to_be_bytes());
            place[10..].copy_from_slice(&self.sent_ns.to_be_bytes());
            LONG
        } else if let Some(place) = payload.first_chunk_mut::<SHORT>() {
            place[..2].copy_from_slice(&self.stream.to_be_bytes());
            place[2..6].copy_from_slice(&self.sequence.to_be_bytes()[4..]);
            place[6..].copy_from_slice(&self.sent_ns.to_be_bytes()[2..]);
            SHORT
        } else {
            0
        }
    }

    /// Reads it from a payload; `None` if that is too short. `near` gives what the short form leaves out:
    /// the result is the signature closest to it in sequence and time.
    pub fn read(payload: &[u8], near: Near) -> Option<Self> {
        let stream = u16::from_be_bytes(*payload.first_chunk()?);
        if let Some(place) = payload.first_chunk::<LONG>() {
            let [_, _, s0, s1, s2, s3, s4, s5, s6, s7, t0, t1, t2, t3, t4, t5, t6, t7] = *place;
            let sequence = u64::from_be_bytes([s0, s1, s2, s3, s4, s5, s6, s7]);
            let sent_ns = u64::from_be_bytes([t0, t1, t2, t3, t4, t5, t6, t7]);
            return Some(Self { stream, sequence, sent_ns });
        }
        let [_, _, s0, s1, s2, s3, t0, t1, t2, t3, t4, t5] = *payload.first_chunk::<SHORT>()?;
        let sequence = closest(u32::from_be_bytes([s0, s1, s2, s3]).into(), 32, near.sequence);
        let sent_ns = closest(u64::from_be_bytes([0, 0, t0, t1, t2, t3, t4, t5]), 48, near.now_ns);
        Some(Self { stream, sequence, sent_ns })
    }

    /// The stream of a payload, whatever its form.
    pub fn stream_of(payload: &[u8]) -> Option<u16> {
        if payload.len() < SHORT { None } else { payload.first_chunk().map(|bytes| u16::from_be_bytes(*bytes)) }
    }
}

/// Where the bits that a short signature leaves out are looked for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Near {
    /// A sequence number not more than 2³¹ away.
    pub sequence: u64,
    /// A moment not more than 39 hours away.
    pub now_ns: u64,
}

/// The number with these lowest `bits` that is closest to `near`.
fn closest(low: u64, bits: u32, near: u64) -> u64 {
    let (span, mask) = (1_u64 << bits, (1_u64 << bits) - 1);
    let ahead = low.wrapping_sub(near) & mask;
    let candidate = near.wrapping_add(ahead);
    // More than half a span ahead is nearer behind, unless that would be before 0.
    if ahead > span / 2 { candidate.checked_sub(span).unwrap_or(candidate) } else { candidate }
}

/// Fills the bytes behind a signature: they count up from 0 and wrap (RFC 2544, C.2.6.4).
pub fn fill(rest: &mut [u8]) {
    rest.iter_mut().enumerate().for_each(|(at, byte)| *byte = at as u8);
}

/// Whether the bytes behind a signature are as [`fill`] made them.
pub fn is_filled(rest: &[u8]) -> bool {
    rest.iter().enumerate().all(|(at, byte)| *byte == at as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNATURE: Signature = Signature { stream: 0xC020, sequence: 0x1_0000_0007, sent_ns: 0x0003_4567_89AB_CDEF };

    #[test]
    fn the_long_form_is_18_bytes_big_endian() {
        let mut payload = [0xFF_u8; 20];
        assert_eq!(SIGNATURE.write(&mut payload), LONG);
        let expected = [0xC0, 0x20, 0, 0, 0, 1, 0, 0, 0, 7, 0, 3, 0x45, 0x67, 0x89, 0xAB, 0xCD, 0xEF, 0xFF, 0xFF];
        assert_eq!(payload, expected);
        assert_eq!(Signature::read(&payload, Near::default()), Some(SIGNATURE));
    }

    #[test]
    fn the_short_form_finds_what_it_leaves_out() {
        let mut payload = [0_u8; SHORT];
        assert_eq!(SIGNATURE.write(&mut payload), SHORT);
        assert_eq!(payload, [0xC0, 0x20, 0, 0, 0, 7, 0x45, 0x67, 0x89, 0xAB, 0xCD, 0xEF]);
        let near = |sequence, now_ns| Signature::read(&payload, Near { sequence, now_ns }).unwrap();
        // A little before, a little after, and across the wrap on either side.
        for sequence in [0xFFFF_FFF0, 0x1_0000_0000, 0x1_0000_0008, 0x1_7FFF_FFFF] {
            for now in [SIGNATURE.sent_ns - 9, SIGNATURE.sent_ns + 1_000_000_000, SIGNATURE.sent_ns + (1 << 46)] {
                assert_eq!(near(sequence, now), SIGNATURE, "{sequence:#x} {now:#x}");
            }
        }
        assert_eq!(near(0, SIGNATURE.sent_ns).sequence, 7);
    }

    #[test]
    fn a_payload_without_room_has_no_signature() {
        for length in 0..SHORT {
            let mut payload = vec![0; length];
            assert_eq!(SIGNATURE.write(&mut payload), 0);
            assert_eq!(Signature::read(&payload, Near::default()), None);
            assert_eq!(Signature::stream_of(&payload), None);
        }
        assert_eq!(Signature::stream_of(&[0xC0, 0x20, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0]), Some(0xC020));
    }

    #[test]
    fn the_rest_counts_up() {
        let mut rest = [9; 300];
        fill(&mut rest);
        assert!(is_filled(&rest) && rest[255] == 255 && rest[256] == 0);
        rest[299] ^= 1;
        assert!(!is_filled(&rest));
    }
}
