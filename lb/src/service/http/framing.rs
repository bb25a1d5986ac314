//! Where the content of a message ends.
//!
//! A [`BodyDecoder`] is fed what arrives and says how much of it belongs to the message. It keeps
//! no bytes: a body is forwarded from the buffer it was read into, chunk framing included, once it
//! has been found sound. Only for an HTTP/1.0 client is the framing taken off ([`BodyDecoder::strip`]),
//! and trailers that must not be sent are dropped ([`trailer`]).
//! Invariant: the result does not depend on how the bytes were split.

mod trailer;

use super::defect::Defect;
use super::grammar::{self, TEXT, TOKEN};
use trailer::{Trailer, TrailerStep};

/// Longest extension of one chunk, in bytes. Nobody uses them; long ones are an attack.
const EXTENSION_MAX: u16 = 256;
/// Most hexadecimal digits of a chunk size, leading zeros included; 15 keep it below 2^60.
const SIZE_DIGITS_MAX: u8 = 15;

/// How the end of a message is found (RFC 9112, 6.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Framing {
    /// There is no content.
    None,
    /// So many bytes, at least 1.
    Length(u64),
    /// Chunks, the last one empty, then trailers.
    Chunked,
    /// All until the sender closes; responses only.
    Close,
}

/// How much of the bytes fed belongs to the message.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Progress {
    /// Bytes that belong to the message, framing included. What follows them does not, or is the
    /// beginning of a trailer's name and has to be fed again with the rest of it.
    pub(crate) consumed: usize,
    /// Of these, bytes of content.
    pub(crate) content: usize,
    /// Of these, bytes to be forwarded; they have been moved to the start.
    pub(crate) forward: usize,
}

/// Follows one message body.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct BodyDecoder(State);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Done,
    Length(u64),
    Close,
    Chunk(Chunk),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Chunk {
    Size { size: u64, digits: u8 },
    Extension { size: u64, length: u16, part: Part },
    SizeCr { size: u64 },
    Data { left: u64 },
    DataCr,
    DataLf,
    Trailer(Trailer),
}

/// Where in `*( ";" name [ "=" ( token / quoted-string ) ] )` an extension is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Part {
    NameStart,
    Name,
    ValueStart,
    Value,
    Quoted,
    Escaped,
    QuoteEnd,
}

impl BodyDecoder {
    /// A decoder at the first byte behind the head.
    pub(crate) fn new(framing: Framing) -> Self {
        Self(match framing {
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Chunk(Chunk::Size { size: 0, digits: 0 }),
            Framing::Close => State::Close,
        })
    }

    /// Whether the message is complete. One that ends with the connection never is before that.
    pub(crate) fn is_done(&self) -> bool {
        self.0 == State::Done
    }

    /// Follows the message through `bytes`, as far as it goes, and moves what is to be forwarded to
    /// their start: all of it, unless there are trailers that must not be.
    ///
    /// # Errors
    /// The defect of its chunk framing; the message cannot be followed any further.
    pub(crate) fn feed(&mut self, bytes: &mut [u8]) -> Result<Progress, Defect> {
        self.follow(bytes, |step| step.forward)
    }

    /// Like [`Self::feed`], but only the content is to be forwarded.
    ///
    /// # Errors
    /// As [`Self::feed`].
    pub(crate) fn strip(&mut self, bytes: &mut [u8]) -> Result<Progress, Defect> {
        self.follow(bytes, |step| step.content)
    }

    fn follow(&mut self, bytes: &mut [u8], kept: impl Fn(&Progress) -> usize) -> Result<Progress, Defect> {
        let mut total = Progress::default();
        while total.consumed < bytes.len() && !self.is_done() {
            let start = total.consumed;
            let step = self.step(&bytes[start..])?;
            if step.consumed == 0 {
                break;
            }
            // Each step is kept or dropped as a whole.
            let kept = kept(&step);
            if kept > 0 && total.forward < start {
                bytes.copy_within(start..start + kept, total.forward);
            }
            total.consumed += step.consumed;
            total.content += step.content;
            total.forward += kept;
        }
        Ok(total)
    }

    /// The sender has closed its side.
    ///
    /// # Errors
    /// [`Defect::Truncated`] if more was to come.
    pub(crate) fn end(&mut self) -> Result<(), Defect> {
        match self.0 {
            State::Done | State::Close => {
                self.0 = State::Done;
                Ok(())
            }
            State::Length(_) | State::Chunk(_) => Err(Defect::Truncated),
        }
    }

    /// One run of content, one byte of framing or one name of a trailer; `bytes` is not empty and the
    /// body not done. Nothing is consumed if the name is not complete.
    fn step(&mut self, bytes: &[u8]) -> Result<Progress, Defect> {
        let content = |length: usize| Ok(Progress { consumed: length, content: length, forward: length });
        match self.0 {
            State::Done => Ok(Progress::default()),
            State::Close => content(bytes.len()),
            State::Length(left) => {
                let length = clamp(left, bytes.len());
                let left = left - length as u64;
                self.0 = if left == 0 { State::Done } else { State::Length(left) };
                content(length)
            }
            State::Chunk(Chunk::Data { left }) => {
                let length = clamp(left, bytes.len());
                let left = left - length as u64;
                self.0 = State::Chunk(if left == 0 { Chunk::DataCr } else { Chunk::Data { left } });
                content(length)
            }
            State::Chunk(Chunk::Trailer(trailer)) => {
                let TrailerStep { next, consumed, forward } = trailer.step(bytes)?;
                self.0 = next.map_or(State::Done, |trailer| State::Chunk(Chunk::Trailer(trailer)));
                Ok(Progress { consumed, content: 0, forward })
            }
            State::Chunk(chunk) => {
                self.0 = State::Chunk(chunk.next(bytes[0])?);
                Ok(Progress { consumed: 1, content: 0, forward: 1 })
            }
        }
    }
}

fn clamp(left: u64, available: usize) -> usize {
    usize::try_from(left).map_or(available, |left| left.min(available))
}

impl Chunk {
    /// The state behind one byte of framing in front of the trailers.
    fn next(self, byte: u8) -> Result<Self, Defect> {
        Ok(match self {
            Self::Size { size, digits } => return Self::next_of_size(size, digits, byte),
            Self::Extension { length: EXTENSION_MAX, .. } => return Err(Defect::BadChunkExtension),
            Self::Extension { size, length, part } => match part.next(byte)? {
                Some(part) => Self::Extension { size, length: length + 1, part },
                None => Self::SizeCr { size },
            },
            Self::SizeCr { size } => match byte {
                b'\n' if size == 0 => Self::Trailer(Trailer::default()),
                b'\n' => Self::Data { left: size },
                _ => return Err(Defect::BareCr),
            },
            Self::DataCr if byte == b'\r' => Self::DataLf,
            Self::DataLf if byte == b'\n' => Self::Size { size: 0, digits: 0 },
            Self::DataCr | Self::DataLf | Self::Data { .. } => return Err(Defect::BadChunkEnd),
            Self::Trailer(_) => return Err(Defect::BadTrailer),
        })
    }

    fn next_of_size(size: u64, digits: u8, byte: u8) -> Result<Self, Defect> {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            b'\r' if digits > 0 => return Ok(Self::SizeCr { size }),
            b';' if digits > 0 => return Ok(Self::Extension { size, length: 1, part: Part::NameStart }),
            _ => return Err(Defect::BadChunkSize),
        };
        if digits == SIZE_DIGITS_MAX {
            return Err(Defect::BadChunkSize);
        }
        Ok(Self::Size { size: size << 4 | u64::from(digit), digits: digits + 1 })
    }
}

impl Part {
    /// `None` at the CR that ends the line.
    fn next(self, byte: u8) -> Result<Option<Self>, Defect> {
        let next = match (self, byte) {
            (Self::Name | Self::Value | Self::QuoteEnd, b'\r') => return Ok(None),
            (Self::Name | Self::Value | Self::QuoteEnd, b';') => Self::NameStart,
            (Self::NameStart | Self::Name, _) if grammar::is(byte, TOKEN) => Self::Name,
            (Self::Name, b'=') => Self::ValueStart,
            (Self::ValueStart, b'"') => Self::Quoted,
            (Self::ValueStart | Self::Value, _) if grammar::is(byte, TOKEN) => Self::Value,
            (Self::Quoted, b'"') => Self::QuoteEnd,
            (Self::Quoted, b'\\') => Self::Escaped,
            (Self::Quoted | Self::Escaped, _) if grammar::is(byte, TEXT) => Self::Quoted,
            _ => return Err(Defect::BadChunkExtension),
        };
        Ok(Some(next))
    }
}

#[cfg(test)]
mod tests;
