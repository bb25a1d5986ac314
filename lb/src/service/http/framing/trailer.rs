//! The trailer section behind the last chunk: field lines, some of which must not be sent on.
//!
//! A name is looked at as a whole, so it has to be there as a whole; values pass byte by byte. What is
//! dropped has to be as sound as what is not. A recipient that merges trailers into the head would
//! otherwise take framing, routing or an identity from where nobody has looked for it.

use super::super::defect::Defect;
use super::super::grammar::{self, TEXT, TOKEN};

/// Longest trailer section, in bytes.
const TRAILER_MAX: u16 = 4096;

/// Names that RFC 9110 (6.5.1) keeps out of trailers, in lower case: framing, routing, request
/// modifiers, authentication, response control data, the form of the content. Besides, what this load
/// balancer and others in front say about a client.
const FORBIDDEN: [&[u8]; 44] = [
    b"age",
    b"authorization",
    b"cache-control",
    b"connection",
    b"content-encoding",
    b"content-length",
    b"content-range",
    b"content-type",
    b"cookie",
    b"date",
    b"expect",
    b"expires",
    b"forwarded",
    b"host",
    b"http2-settings",
    b"if-match",
    b"if-modified-since",
    b"if-none-match",
    b"if-range",
    b"if-unmodified-since",
    b"keep-alive",
    b"location",
    b"max-forwards",
    b"pragma",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"proxy-connection",
    b"range",
    b"retry-after",
    b"set-cookie",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
    b"vary",
    b"via",
    b"warning",
    b"www-authenticate",
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-port",
    b"x-forwarded-proto",
    b"x-forwarded-server",
    b"x-real-ip",
];

/// Where in the trailer section a message is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Trailer {
    /// Bytes of the section so far.
    length: u16,
    part: Part,
    /// Whether the line is not sent on.
    dropped: bool,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Part {
    #[default]
    LineStart,
    Value,
    Cr,
    FinalCr,
}

/// What a step has come to.
pub(super) struct TrailerStep {
    /// `None` when the message is complete.
    pub(super) next: Option<Trailer>,
    pub(super) consumed: usize,
    /// All that was consumed, or nothing.
    pub(super) forward: usize,
}

impl Trailer {
    /// A name with its colon, or one byte of anything else; nothing, if the name is not complete.
    pub(super) fn step(self, bytes: &[u8]) -> Result<TrailerStep, Defect> {
        if self.part == Part::LineStart && bytes[0] != b'\r' {
            return self.name(bytes);
        }
        let length = self.longer(1)?;
        let part = match (self.part, bytes[0]) {
            (Part::FinalCr, b'\n') => return Ok(TrailerStep { next: None, consumed: 1, forward: 1 }),
            (Part::LineStart, b'\r') => Part::FinalCr,
            (Part::Value, b'\r') => Part::Cr,
            (Part::Value, byte) if grammar::is(byte, TEXT) => Part::Value,
            (Part::Cr, b'\n') => Part::LineStart,
            _ => return Err(Defect::BadTrailer),
        };
        let dropped = self.dropped && part != Part::LineStart;
        let forward = usize::from(!self.dropped);
        Ok(TrailerStep { next: Some(Self { length, part, dropped }), consumed: 1, forward })
    }

    fn name(self, bytes: &[u8]) -> Result<TrailerStep, Defect> {
        let count = grammar::run(bytes, TOKEN);
        // Before the end of the name: a name that never ends must not be waited for.
        self.longer(count)?;
        match bytes.get(count) {
            None => Ok(TrailerStep { next: Some(self), consumed: 0, forward: 0 }),
            Some(b':') if count > 0 => {
                let dropped = is_forbidden(&bytes[..count]);
                let next = Some(Self { length: self.longer(count + 1)?, part: Part::Value, dropped });
                Ok(TrailerStep { next, consumed: count + 1, forward: if dropped { 0 } else { count + 1 } })
            }
            Some(_) => Err(Defect::BadTrailer),
        }
    }

    /// The length with so many bytes more.
    fn longer(self, count: usize) -> Result<u16, Defect> {
        let length = usize::from(self.length) + count;
        if length > usize::from(TRAILER_MAX) { Err(Defect::TrailerTooLarge) } else { Ok(length as u16) }
    }
}

fn is_forbidden(name: &[u8]) -> bool {
    FORBIDDEN.iter().any(|forbidden| name.eq_ignore_ascii_case(forbidden))
}
