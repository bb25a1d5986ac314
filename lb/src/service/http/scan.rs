//! Finds the end of a message head and refuses what two parsers could read differently.
//!
//! It runs before httparse, which accepts a bare LF and more, and it can be fed a head in pieces:
//! every byte is looked at once, so a trickled head costs no more than a whole one. It knows lines
//! and characters, not meanings; those are in [`super::head`] and [`super::response`].
//! Invariant: the result does not depend on how the bytes were split.

use super::defect::Defect;
use super::grammar::{self, TEXT, TOKEN};

/// Longest head in bytes, its first line and final empty line included.
pub(crate) const HEAD_MAX: usize = 16 * 1024;
/// Most fields in a head.
pub(crate) const FIELDS_MAX: usize = 101;

/// How far the scan of a head came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Scanned {
    /// The head is sound so far; its end has not arrived.
    Partial,
    /// The head is `bytes[start..end]`; what precedes it is an empty line to be ignored.
    Complete {
        /// Offset of the first line.
        start: usize,
        /// Offset behind the final empty line.
        end: usize,
    },
}

/// A scan that resumes where the last bytes ended.
#[derive(Clone, Debug)]
pub(crate) struct HeadScan {
    at: usize,
    start: usize,
    fields: usize,
    state: State,
    is_request: bool,
    /// Bytes that [`Self::forget_empty_line`] has forgotten: at most those of one empty line.
    forgotten: u8,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// Before a request, where one empty line is tolerated (RFC 9112, 2.2).
    Before,
    BeforeCr,
    /// The first byte of the first line, which cannot be an empty line.
    First,
    StartLine,
    StartLineCr,
    FieldStart,
    Name,
    Value,
    ValueCr,
    FinalCr,
}

impl HeadScan {
    /// A scan for a request.
    pub(crate) fn request() -> Self {
        Self { at: 0, start: 0, fields: 0, state: State::Before, is_request: true, forgotten: 0 }
    }

    /// A scan for a response.
    pub(crate) fn response() -> Self {
        Self { at: 0, start: 0, fields: 0, state: State::First, is_request: false, forgotten: 0 }
    }

    /// Whether bytes of a message have been seen; an empty line before a request is none.
    pub(crate) fn has_begun(&self) -> bool {
        !matches!(self.state, State::Before | State::BeforeCr) && self.start < self.at
    }

    /// How many bytes in front of the message the caller can drop, which the next call then must not
    /// have any more: what has come of an empty line, as long as nothing follows it.
    pub(crate) fn forget_empty_line(&mut self) -> usize {
        if self.has_begun() {
            return 0;
        }
        // An empty line has two bytes, and there is only one.
        self.forgotten += self.at as u8;
        self.start = 0;
        std::mem::take(&mut self.at)
    }

    /// Looks at the bytes that are new since the last call; `bytes` starts at the same place each time.
    ///
    /// # Errors
    /// The first defect of the head, a head longer than [`HEAD_MAX`] included.
    pub(crate) fn advance(&mut self, bytes: &[u8]) -> Result<Scanned, Defect> {
        let room = HEAD_MAX - usize::from(self.forgotten);
        let window = &bytes[..bytes.len().min(room)];
        while let Some(&byte) = window.get(self.at) {
            if let Some(class) = self.state.bulk() {
                let run = grammar::run(&window[self.at..], class);
                if run > 0 {
                    self.at += run;
                    continue;
                }
            }
            let state = self.state.next(byte)?;
            self.at += 1;
            if self.state == State::FinalCr {
                return Ok(Scanned::Complete { start: self.start, end: self.at });
            }
            self.enter(state)?;
        }
        match self.state {
            _ if window.len() < room => Ok(Scanned::Partial),
            State::StartLine if self.is_request => {
                let has_target = window[self.start..].contains(&b' ');
                Err(if has_target { Defect::TargetTooLong } else { Defect::MethodTooLong })
            }
            _ => Err(Defect::HeadTooLarge),
        }
    }

    fn enter(&mut self, state: State) -> Result<(), Defect> {
        if self.state == State::BeforeCr {
            self.start = self.at;
        }
        if state == State::Name {
            self.fields += 1;
            if self.fields > FIELDS_MAX {
                return Err(Defect::TooManyFields);
            }
        }
        self.state = state;
        Ok(())
    }
}

impl State {
    /// The class of bytes that leave this state as it is.
    fn bulk(self) -> Option<u8> {
        match self {
            Self::StartLine | Self::Value => Some(TEXT),
            Self::Name => Some(TOKEN),
            _ => None,
        }
    }

    fn next(self, byte: u8) -> Result<Self, Defect> {
        match (self, byte) {
            (Self::Before, b'\r') => Ok(Self::BeforeCr),
            (Self::BeforeCr, b'\n') => Ok(Self::First),
            (Self::StartLine, b'\r') => Ok(Self::StartLineCr),
            (Self::StartLineCr | Self::ValueCr | Self::FinalCr, b'\n') => Ok(Self::FieldStart),
            (Self::FieldStart, b'\r') => Ok(Self::FinalCr),
            (Self::Name, b':') => Ok(Self::Value),
            (Self::Value, b'\r') => Ok(Self::ValueCr),
            (Self::BeforeCr | Self::StartLineCr | Self::ValueCr | Self::FinalCr, _) => Err(Defect::BareCr),
            (_, b'\n') => Err(Defect::BareLf),
            (Self::Before | Self::First, _) if grammar::is(byte, TOKEN) => Ok(Self::StartLine),
            (Self::FieldStart, _) if grammar::is(byte, TOKEN) => Ok(Self::Name),
            (Self::FieldStart, b' ' | b'\t') => Err(Defect::Folded),
            (Self::FieldStart, b':') => Err(Defect::EmptyName),
            (Self::Name, b' ' | b'\t') => Err(Defect::SpaceBeforeColon),
            (Self::Name, b'\r') => Err(Defect::MissingColon),
            (Self::Before | Self::First, _) if grammar::is(byte, TEXT) || byte == b'\r' => Err(Defect::BadStartLine),
            (Self::Name | Self::FieldStart, _) if grammar::is(byte, TEXT) => Err(Defect::BadName),
            _ => Err(Defect::ControlCharacter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(bytes: &[u8]) -> Result<Scanned, Defect> {
        HeadScan::request().advance(bytes)
    }

    #[test]
    fn finds_the_end_of_a_head() {
        assert_eq!(whole(b"GET / HTTP/1.1\r\nA: b\r\n\r\nrest"), Ok(Scanned::Complete { start: 0, end: 24 }));
        assert_eq!(whole(b"\r\nGET / HTTP/1.0\r\n\r\n"), Ok(Scanned::Complete { start: 2, end: 20 }));
        assert_eq!(whole(b"GET / HTTP/1.1\r\nA:\r\n"), Ok(Scanned::Partial));
        assert_eq!(whole(b""), Ok(Scanned::Partial));
    }

    #[test]
    fn refuses_what_parsers_read_differently() {
        let rows: [(&[u8], Defect); 17] = [
            (b"GET / HTTP/1.1\nA: b\r\n\r\n", Defect::BareLf),
            (b"GET / HTTP/1.1\r\nA: b\n\r\n", Defect::BareLf),
            (b"GET / HTTP/1.1\r\nA: b\r\n\n", Defect::BareLf),
            (b"GET / HTTP/1.1\rA: b\r\n\r\n", Defect::BareCr),
            (b"GET / HTTP/1.1\r\nA: b\rc\r\n\r\n", Defect::BareCr),
            (b"GET / HTTP/1.1\r\nA: b\r\n\rX", Defect::BareCr),
            (b"GET / HTTP/1.1\r\nA: b\0c\r\n\r\n", Defect::ControlCharacter),
            (b"GET /\0 HTTP/1.1\r\n\r\n", Defect::ControlCharacter),
            (b"GET / HTTP/1.1\r\nA: b\x7f\r\n\r\n", Defect::ControlCharacter),
            (b"GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", Defect::Folded),
            (b"GET / HTTP/1.1\r\n\tA: b\r\n\r\n", Defect::Folded),
            (b"GET / HTTP/1.1\r\nA : b\r\n\r\n", Defect::SpaceBeforeColon),
            (b"GET / HTTP/1.1\r\n: b\r\n\r\n", Defect::EmptyName),
            (b"GET / HTTP/1.1\r\nA\r\n\r\n", Defect::MissingColon),
            (b"GET / HTTP/1.1\r\nA(b): c\r\n\r\n", Defect::BadName),
            (b"\r\n\r\nGET / HTTP/1.1\r\n\r\n", Defect::BadStartLine),
            (b" GET / HTTP/1.1\r\n\r\n", Defect::BadStartLine),
        ];
        for (bytes, defect) in rows {
            assert_eq!(whole(bytes), Err(defect), "{}", bytes.escape_ascii());
        }
        assert_eq!(HeadScan::response().advance(b"\r\nHTTP/1.1 200 OK\r\n\r\n"), Err(Defect::BadStartLine));
    }

    #[test]
    fn a_split_anywhere_changes_nothing() {
        let heads: [&[u8]; 4] = [
            b"\r\nGET /a?b HTTP/1.1\r\nHost: h\r\nEmpty:\r\nA: \t b \r\n\r\ntail",
            b"GET / HTTP/1.1\r\nA: b\nC: d\r\n\r\n",
            b"GET / HTTP/1.1\r\nA : b\r\n\r\n",
            b"GET / HTTP/1.1\r\nA: b\r\n\rX\r\n",
        ];
        for head in heads {
            for split in 0..=head.len() {
                let mut scan = HeadScan::request();
                let first = scan.advance(&head[..split]);
                let last = if first == Ok(Scanned::Partial) { scan.advance(head) } else { first };
                assert_eq!(last, whole(head), "split at {split} of {}", head.escape_ascii());
            }
        }
    }

    #[test]
    fn an_empty_line_in_front_can_be_forgotten_and_counts_all_the_same() {
        let long = [b"\r\nGET / HTTP/1.1\r\nA: ".as_slice(), &vec![b'a'; HEAD_MAX], b"\r\n\r\n"].concat();
        let fits = [&long[..HEAD_MAX - 4], b"\r\n\r\n"].concat();
        let heads: [&[u8]; 4] = [&long, &fits, b"\r\n\r\nGET / HTTP/1.1\r\n\r\n", b"\rGET / HTTP/1.1\r\n\r\n"];
        for head in heads {
            for split in 0..=2 {
                let mut scan = HeadScan::request();
                let mut rest = head;
                let mut found = scan.advance(&rest[..split]);
                assert!(!scan.has_begun());
                while found == Ok(Scanned::Partial) {
                    let forgotten = scan.forget_empty_line();
                    rest = &rest[forgotten..];
                    found = scan.advance(rest);
                    if rest.len() == head.len() - split && forgotten == 0 {
                        break;
                    }
                }
                let whole = whole(head).map(|whole| match whole {
                    Scanned::Complete { end, .. } => end,
                    Scanned::Partial => 0,
                });
                let found = found.map(|found| match found {
                    Scanned::Complete { end, .. } => end + head.len() - rest.len(),
                    Scanned::Partial => 0,
                });
                assert_eq!(found, whole, "split at {split} of {} bytes", head.len());
            }
        }
    }

    #[test]
    fn limits_hold_to_the_byte() {
        let mut head = b"GET / HTTP/1.1\r\nA: ".to_vec();
        head.resize(HEAD_MAX - 4, b'a');
        head.extend_from_slice(b"\r\n\r\n");
        assert_eq!(whole(&head), Ok(Scanned::Complete { start: 0, end: HEAD_MAX }));
        head.insert(20, b'a');
        assert_eq!(whole(&head), Err(Defect::HeadTooLarge));
        assert_eq!(whole(&vec![b'G'; HEAD_MAX]), Err(Defect::MethodTooLong));
        let line = [b"GET /".as_slice(), &vec![b'a'; HEAD_MAX]].concat();
        assert_eq!(whole(&line), Err(Defect::TargetTooLong));
        assert_eq!(HeadScan::response().advance(&line), Err(Defect::HeadTooLarge));
        let fields = |count: usize| [b"GET / HTTP/1.1\r\n".as_slice(), &b"a:b\r\n".repeat(count), b"\r\n"].concat();
        assert!(matches!(whole(&fields(FIELDS_MAX)), Ok(Scanned::Complete { .. })));
        assert_eq!(whole(&fields(FIELDS_MAX + 1)), Err(Defect::TooManyFields));
    }
}
