//! How a reflector names itself and what it says it saw, and how a request asks for a body.
//!
//! All names are lower case; HTTP/1 compares them without regard to case (RFC 9110, 5.1).

/// Response header: which reflector instance answered.
pub const INSTANCE: &str = "x-nadare-instance";
/// Response header: the address and port that the reflector saw as its client.
pub const CLIENT: &str = "x-nadare-client";
/// Response header: number of the connection at this reflector instance, from 1.
pub const CONNECTION: &str = "x-nadare-connection";
/// Response header: number of the request on that connection, from 1.
pub const REQUEST: &str = "x-nadare-request";
/// Request header: eight hexadecimal digits that choose the body's bytes; see [`crate::body`].
pub const NONCE: &str = "x-nadare-nonce";

/// A `User-Agent` that starts with this is a health check: the ledger books it apart.
pub const CHECK_USER_AGENT: &str = "nadare-check";
/// The `User-Agent` of the generator (RFC 9411, 4.3.1.2 asks for one).
pub const GENERATOR_USER_AGENT: &str = "nadare";

/// Reads a nonce as [`NONCE`] carries it: one to eight hexadecimal digits.
pub fn parse_nonce(text: &[u8]) -> Option<u32> {
    if text.is_empty() || text.len() > 8 {
        return None;
    }
    text.iter().try_fold(0_u32, |value, &byte| Some(value << 4 | (byte as char).to_digit(16)?))
}

/// Writes a nonce as eight hexadecimal digits.
pub fn format_nonce(nonce: u32) -> [u8; 8] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    std::array::from_fn(|i| DIGITS[(nonce >> (28 - 4 * i) & 15) as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonces_survive_the_round_trip() {
        for nonce in [0, 1, 0xdead_beef, u32::MAX] {
            assert_eq!(parse_nonce(&format_nonce(nonce)), Some(nonce));
        }
    }

    #[test]
    fn refuses_what_is_not_a_nonce() {
        for text in ["", "123456789", "xyz", "-1", " 1"] {
            assert_eq!(parse_nonce(text.as_bytes()), None, "{text:?}");
        }
    }
}
