//! The chunked transfer coding (RFC 9112, 7.1), decoded piece by piece without a buffer.

/// Longest chunk extension or trailer line that is skipped.
const LINE_MAX: u16 = 4096;

/// Where in a chunked body we are.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Chunked {
    place: Place,
    /// Size being read, or data left.
    size: u64,
    /// Bytes of the line being read.
    line: u16,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Place {
    #[default]
    Size,
    Extension,
    SizeEnd,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    Trailer,
    TrailerEnd,
    LastLf,
}

/// What the next bytes are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Piece {
    /// So many bytes of data.
    Data(usize),
    /// So many bytes of framing.
    Framing(usize),
    /// So many bytes of framing, and the body is complete.
    End(usize),
    Malformed,
}

impl Chunked {
    /// Looks at the front of `bytes`, which is not empty.
    pub(super) fn next(&mut self, bytes: &[u8]) -> Piece {
        if self.place == Place::Data {
            let length = bytes.len().min(usize::try_from(self.size).unwrap_or(usize::MAX));
            self.size -= length as u64;
            if self.size == 0 {
                self.place = Place::DataCr;
            }
            return Piece::Data(length);
        }
        for (at, &byte) in bytes.iter().enumerate() {
            match self.step(byte) {
                Some(false) => return Piece::Malformed,
                Some(true) => return Piece::End(at + 1),
                None if self.place == Place::Data => return Piece::Framing(at + 1),
                None => {}
            }
        }
        Piece::Framing(bytes.len())
    }

    /// Takes one byte of framing: `Some(true)` at the end of the body, `Some(false)` if it is wrong.
    fn step(&mut self, byte: u8) -> Option<bool> {
        self.line += 1;
        if self.line > LINE_MAX {
            return Some(false);
        }
        let next = match (self.place, byte) {
            (Place::Size, b'\r') if self.line > 1 => Place::SizeEnd,
            (Place::Size, b';' | b' ' | b'\t') if self.line > 1 => Place::Extension,
            (Place::Size, digit) => {
                let Some(value) = (digit as char).to_digit(16) else { return Some(false) };
                if self.size >> 59 != 0 {
                    return Some(false);
                }
                self.size = self.size << 4 | u64::from(value);
                Place::Size
            }
            (Place::Extension, b'\r') => Place::SizeEnd,
            (Place::Extension, b'\n') => return Some(false),
            (Place::Extension, _) => Place::Extension,
            (Place::SizeEnd, b'\n') if self.size == 0 => Place::TrailerStart,
            (Place::SizeEnd, b'\n') => Place::Data,
            (Place::DataCr, b'\r') => Place::DataLf,
            (Place::DataLf, b'\n') => Place::Size,
            (Place::TrailerStart, b'\r') => Place::LastLf,
            (Place::LastLf, b'\n') => return Some(true),
            (Place::TrailerStart | Place::Trailer, byte) if byte != b'\n' && byte != b'\r' => Place::Trailer,
            (Place::Trailer, b'\r') => Place::TrailerEnd,
            (Place::TrailerEnd, b'\n') => Place::TrailerStart,
            _ => return Some(false),
        };
        if matches!(next, Place::Data | Place::TrailerStart) || (next == Place::Size && self.place == Place::DataLf) {
            self.line = 0;
        }
        self.place = next;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(mut bytes: &[u8]) -> Option<Vec<u8>> {
        let (mut chunked, mut body) = (Chunked::default(), Vec::new());
        while !bytes.is_empty() {
            match chunked.next(bytes) {
                Piece::Data(length) => {
                    body.extend_from_slice(&bytes[..length]);
                    bytes = &bytes[length..];
                }
                Piece::Framing(length) => bytes = &bytes[length..],
                Piece::End(length) => return (length == bytes.len()).then_some(body),
                Piece::Malformed => return None,
            }
        }
        None
    }

    #[test]
    fn malformed_chunks_are_refused() {
        assert_eq!(decode(b"a\r\n0123456789\r\n0\r\n\r\n").unwrap(), b"0123456789");
        for bad in [
            "\r\n",
            "x\r\n",
            "-1\r\n",
            "5\nhello\r\n0\r\n\r\n",
            "5\r\nhelloo\r\n0\r\n\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "1000000000000000000\r\n",
            "0\r\nA\nB\r\n\r\n",
        ] {
            assert_eq!(decode(bad.as_bytes()), None, "{bad:?}");
        }
        let endless = format!("5;{}", "x".repeat(5_000));
        assert_eq!(decode(endless.as_bytes()), None);
    }
}
