//! The bytes of a response body, so that a receiver can tell a right body from a wrong one.
//!
//! Every body is a window on one repeating table of 64 KiB. The request carries a nonce; the nonce
//! gives the offset at which the window starts. The receiver compares with `memcmp` and needs no
//! checksum: a body that was cached, truncated, shifted or taken from another request differs.
//! Invariant: the table is the same on every machine and in every version.

use std::sync::LazyLock;

use crate::hash::SplitMix64;

/// Length of the repeating table in bytes.
pub const TABLE_LEN: usize = 64 * 1024;

/// The table twice in a row, so that any window of up to [`TABLE_LEN`] bytes is one slice.
static DOUBLE_TABLE: LazyLock<Box<[u8]>> = LazyLock::new(|| {
    let mut table = Vec::with_capacity(2 * TABLE_LEN);
    let mut numbers = SplitMix64::new(0x4e61_6461_7265_0001);
    while table.len() < TABLE_LEN {
        // Folded to printable ASCII so that a body is readable.
        for byte in numbers.number().to_le_bytes() {
            table.push(b'0' + byte % 64);
        }
    }
    table.extend_from_within(..);
    table.into_boxed_slice()
});

/// Where the body of the request with this nonce starts in the table: 0 to [`TABLE_LEN`] − 1.
///
/// Nonce 0, also used when a request carries none, starts at the front.
pub fn offset(nonce: u32) -> usize {
    // Fibonacci hashing, so that consecutive nonces give distant windows.
    (nonce.wrapping_mul(0x9e37_79b1) >> 16) as usize
}

/// The bytes of the body from byte `position` on, at most `len` and at most [`TABLE_LEN`] of them.
pub fn window(nonce: u32, position: u64, len: usize) -> &'static [u8] {
    let start = (offset(nonce) + (position % TABLE_LEN as u64) as usize) % TABLE_LEN;
    &DOUBLE_TABLE[start..start + len.min(TABLE_LEN)]
}

/// Whether `bytes` is what the body of `nonce` has at `position`. Any length is allowed.
pub fn matches(nonce: u32, position: u64, bytes: &[u8]) -> bool {
    let mut at = position;
    bytes.chunks(TABLE_LEN).all(|chunk| {
        let right = window(nonce, at, chunk.len()) == chunk;
        at += chunk.len() as u64;
        right
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_matches_itself_however_it_is_cut() {
        let body: Vec<u8> = (0..3).flat_map(|i| window(7, i * TABLE_LEN as u64, TABLE_LEN).to_vec()).collect();
        for cut in [0, 1, 1000, TABLE_LEN - 1, TABLE_LEN, TABLE_LEN + 1, 2 * TABLE_LEN + 5] {
            assert!(matches(7, 0, &body[..cut]), "cut {cut}");
            assert!(matches(7, cut as u64, &body[cut..]), "rest from {cut}");
        }
    }

    #[test]
    fn a_shifted_or_foreign_body_is_told_apart() {
        let body = window(7, 0, 1024);
        assert!(!matches(7, 1, body));
        assert!(!matches(8, 0, body));
        let mut flipped = body.to_vec();
        flipped[1023] ^= 1;
        assert!(!matches(7, 0, &flipped));
    }

    #[test]
    fn the_table_never_changes() {
        assert_eq!(String::from_utf8_lossy(window(0, 0, 16)), "\\=\\4?LGIjCU13_bc");
    }
}
