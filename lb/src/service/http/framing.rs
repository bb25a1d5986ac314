//! Where the content of a message ends.
//!
//! A [`BodyDecoder`] is fed what arrives and says how much of it belongs to the message. It keeps
//! no bytes: a body is forwarded from the buffer it was read into, chunk framing included, once it
//! has been found sound. Only for an HTTP/1.0 client is the framing taken off ([`BodyDecoder::strip`]).
//! Invariant: the result does not depend on how the bytes were split.

use super::defect::Defect;
use super::grammar::{self, TEXT, TOKEN};

/// Longest extension of one chunk, in bytes. Nobody uses them; long ones are an attack.
const EXTENSION_MAX: u16 = 256;
/// Longest trailer section, in bytes.
const TRAILER_MAX: u16 = 4096;
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
    /// Bytes that belong to the message, framing included. What follows them does not.
    pub(crate) consumed: usize,
    /// Of these, bytes of content.
    pub(crate) content: usize,
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
    Trailer { length: u16, part: TrailerPart },
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

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum TrailerPart {
    LineStart,
    Name,
    Value,
    Cr,
    FinalCr,
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

    /// Follows the message through `bytes`, as far as it goes.
    ///
    /// # Errors
    /// The defect of its chunk framing; the message cannot be followed any further.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<Progress, Defect> {
        let mut total = Progress::default();
        while total.consumed < bytes.len() && !self.is_done() {
            let step = self.step(&bytes[total.consumed..])?;
            total.consumed += step.consumed;
            total.content += step.content;
        }
        Ok(total)
    }

    /// Like [`Self::feed`], and moves the content to the start of `bytes`, without chunk framing.
    ///
    /// # Errors
    /// As [`Self::feed`].
    pub(crate) fn strip(&mut self, bytes: &mut [u8]) -> Result<Progress, Defect> {
        let mut total = Progress::default();
        while total.consumed < bytes.len() && !self.is_done() {
            let start = total.consumed;
            let step = self.step(&bytes[start..])?;
            if step.content > 0 {
                bytes.copy_within(start..start + step.content, total.content);
            }
            total.consumed += step.consumed;
            total.content += step.content;
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

    /// One run of content or one byte of framing; `bytes` is not empty and the body not done.
    fn step(&mut self, bytes: &[u8]) -> Result<Progress, Defect> {
        let content = |length: usize| Ok(Progress { consumed: length, content: length });
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
            State::Chunk(chunk) => {
                let next = chunk.next(bytes[0])?;
                self.0 = next.map_or(State::Done, State::Chunk);
                Ok(Progress { consumed: 1, content: 0 })
            }
        }
    }
}

fn clamp(left: u64, available: usize) -> usize {
    usize::try_from(left).map_or(available, |left| left.min(available))
}

impl Chunk {
    /// The state behind one byte of framing; `None` when the message is complete.
    fn next(self, byte: u8) -> Result<Option<Self>, Defect> {
        let next = match self {
            Self::Size { size, digits } => return Self::next_of_size(size, digits, byte).map(Some),
            Self::Extension { length: EXTENSION_MAX, .. } => return Err(Defect::BadChunkExtension),
            Self::Extension { size, length, part } => match part.next(byte)? {
                Some(part) => Self::Extension { size, length: length + 1, part },
                None => Self::SizeCr { size },
            },
            Self::SizeCr { size } => match byte {
                b'\n' if size == 0 => Self::Trailer { length: 0, part: TrailerPart::LineStart },
                b'\n' => Self::Data { left: size },
                _ => return Err(Defect::BareCr),
            },
            Self::DataCr if byte == b'\r' => Self::DataLf,
            Self::DataLf if byte == b'\n' => Self::Size { size: 0, digits: 0 },
            Self::DataCr | Self::DataLf | Self::Data { .. } => return Err(Defect::BadChunkEnd),
            Self::Trailer { length: TRAILER_MAX, .. } => return Err(Defect::TrailerTooLarge),
            Self::Trailer { length, part } => match part.next(byte)? {
                Some(part) => Self::Trailer { length: length + 1, part },
                None => return Ok(None),
            },
        };
        Ok(Some(next))
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

impl TrailerPart {
    /// `None` at the LF that ends the message.
    fn next(self, byte: u8) -> Result<Option<Self>, Defect> {
        let next = match (self, byte) {
            (Self::FinalCr, b'\n') => return Ok(None),
            (Self::LineStart, b'\r') => Self::FinalCr,
            (Self::LineStart | Self::Name, _) if grammar::is(byte, TOKEN) => Self::Name,
            (Self::Name, b':') => Self::Value,
            (Self::Value, b'\r') => Self::Cr,
            (Self::Value, _) if grammar::is(byte, TEXT) => Self::Value,
            (Self::Cr, b'\n') => Self::LineStart,
            _ => return Err(Defect::BadTrailer),
        };
        Ok(Some(next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(framing: Framing, bytes: &[u8]) -> Result<(Progress, bool), Defect> {
        let mut decoder = BodyDecoder::new(framing);
        let progress = decoder.feed(bytes)?;
        Ok((progress, decoder.is_done()))
    }

    fn progress(consumed: usize, content: usize) -> Progress {
        Progress { consumed, content }
    }

    #[test]
    fn a_message_ends_where_its_framing_says() {
        assert_eq!(whole(Framing::None, b"next"), Ok((progress(0, 0), true)));
        assert_eq!(whole(Framing::Length(3), b"abcnext"), Ok((progress(3, 3), true)));
        assert_eq!(whole(Framing::Length(9), b"abc"), Ok((progress(3, 3), false)));
        assert_eq!(whole(Framing::Close, b"abc"), Ok((progress(3, 3), false)));
        assert_eq!(whole(Framing::Chunked, b"3\r\nabc\r\n0\r\n\r\nnext"), Ok((progress(13, 3), true)));
        assert_eq!(whole(Framing::Chunked, b"00\r\nA: b\r\nC:\r\n\r\n"), Ok((progress(16, 0), true)));
        assert_eq!(whole(Framing::Chunked, b"1;a;b=c;d=\"e\\\"\"\r\nx\r\n0;z\r\n\r\n"), Ok((progress(27, 1), true)));
    }

    #[test]
    fn bad_chunk_framing_is_refused() {
        let rows: [(&str, Defect); 24] = [
            ("\r\n", Defect::BadChunkSize),
            ("g\r\n", Defect::BadChunkSize),
            ("-1\r\n", Defect::BadChunkSize),
            ("+1\r\n", Defect::BadChunkSize),
            (" 1\r\n", Defect::BadChunkSize),
            ("1 \r\n", Defect::BadChunkSize),
            ("0x1\r\n", Defect::BadChunkSize),
            ("1_0\r\n", Defect::BadChunkSize),
            ("1\n", Defect::BadChunkSize),
            ("1000000000000000\r\n", Defect::BadChunkSize),
            ("ffffffffffffffffffff\r\n", Defect::BadChunkSize),
            ("1\rx", Defect::BareCr),
            ("1\r\nab\r\n", Defect::BadChunkEnd),
            ("1\r\na\n", Defect::BadChunkEnd),
            ("1\r\na\rb", Defect::BadChunkEnd),
            ("1;\r\na\r\n", Defect::BadChunkExtension),
            ("1;a=\r\n", Defect::BadChunkExtension),
            ("1;a\n", Defect::BadChunkExtension),
            ("1; a\r\n", Defect::BadChunkExtension),
            ("1;a=\"b\r\n", Defect::BadChunkExtension),
            ("0\r\n\n", Defect::BadTrailer),
            ("0\r\nA\r\n", Defect::BadTrailer),
            ("0\r\n a: b\r\n", Defect::BadTrailer),
            ("0\r\na: b\n", Defect::BadTrailer),
        ];
        for (bytes, defect) in rows {
            assert_eq!(whole(Framing::Chunked, bytes.as_bytes()), Err(defect), "{bytes:?}");
        }
    }

    #[test]
    fn extensions_and_trailers_are_bounded() {
        let extension = |length: usize| format!("0;{}\r\n\r\n", "a".repeat(length));
        assert!(whole(Framing::Chunked, extension(254).as_bytes()).unwrap().1);
        assert_eq!(whole(Framing::Chunked, extension(300).as_bytes()), Err(Defect::BadChunkExtension));
        let trailers = format!("0\r\n{}\r\n", "a: b\r\n".repeat(700));
        assert_eq!(whole(Framing::Chunked, trailers.as_bytes()), Err(Defect::TrailerTooLarge));
    }

    #[test]
    fn a_split_anywhere_changes_nothing() {
        let bodies: [(Framing, &[u8]); 4] = [
            (Framing::Chunked, b"5;x=\"y z\"\r\nhello\r\nA\r\n0123456789\r\n0\r\nT: v\r\n\r\nGET /next"),
            (Framing::Chunked, b"5\r\nhello\r\n5\r\nwor\r\nld"),
            (Framing::Length(7), b"sevenxxGET /next"),
            (Framing::Close, b"whatever there is"),
        ];
        for (framing, body) in bodies {
            let expected = whole(framing, body);
            for split in 0..=body.len() {
                let mut decoder = BodyDecoder::new(framing);
                let found = decoder.feed(&body[..split]).and_then(|first| {
                    let rest = decoder.feed(&body[first.consumed..])?;
                    let sum = progress(first.consumed + rest.consumed, first.content + rest.content);
                    Ok((sum, decoder.is_done()))
                });
                assert_eq!(found, expected, "split at {split} of {}", body.escape_ascii());
            }
        }
    }

    #[test]
    fn stripping_leaves_the_content() {
        let body = b"5\r\nhello\r\n7;a=b\r\n, world\r\n0\r\nT: v\r\n\r\nnext";
        for split in 0..=body.len() {
            let mut decoder = BodyDecoder::new(Framing::Chunked);
            let mut content = Vec::new();
            for piece in [&body[..split], &body[split..]] {
                let mut bytes = piece.to_vec();
                let progress = decoder.strip(&mut bytes).unwrap();
                content.extend_from_slice(&bytes[..progress.content]);
            }
            assert_eq!((content.as_slice(), decoder.is_done()), (b"hello, world".as_slice(), true), "{split}");
        }
    }

    #[test]
    fn a_close_ends_only_what_may_end_so() {
        for (framing, result) in [
            (Framing::Close, Ok(())),
            (Framing::None, Ok(())),
            (Framing::Length(1), Err(Defect::Truncated)),
            (Framing::Chunked, Err(Defect::Truncated)),
        ] {
            assert_eq!(BodyDecoder::new(framing).end(), result, "{framing:?}");
        }
    }
}
