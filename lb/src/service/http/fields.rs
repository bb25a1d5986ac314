//! The fields of a head as byte ranges, and the ones that steer a connection, read once.
//!
//! Nothing is copied or allocated: a field is its place in the buffer and what kind it is. Names
//! the load balancer has no business with are all [`Kind::Other`].

use super::defect::Defect;
use super::grammar::{self, TOKEN};
use super::scan::FIELDS_MAX;

/// A range of bytes in a head. A head has at most 16 KiB, so 16 bits are enough.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Span {
    start: u16,
    end: u16,
}

impl Span {
    /// The range from `start` to before `end`, both below 64 KiB.
    pub(crate) fn new(start: usize, end: usize) -> Self {
        debug_assert!(start <= end && end <= usize::from(u16::MAX));
        Self { start: start as u16, end: end as u16 }
    }

    /// The bytes of this range of `head`.
    pub(crate) fn of(self, head: &[u8]) -> &[u8] {
        &head[usize::from(self.start)..usize::from(self.end)]
    }

    /// Offset of the first byte.
    pub(crate) fn start(self) -> usize {
        usize::from(self.start)
    }

    /// Offset behind the last byte.
    pub(crate) fn end(self) -> usize {
        usize::from(self.end)
    }
}

/// What the load balancer does about a field.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[allow(missing_docs, reason = "the variants are the names of the fields")]
pub(crate) enum Kind {
    Connection,
    ContentLength,
    Expect,
    ForwardedFor,
    ForwardedProto,
    Host,
    KeepAlive,
    MaxForwards,
    #[default]
    Other,
    ProxyConnection,
    Te,
    TransferEncoding,
    Upgrade,
}

impl Kind {
    fn of(name: &[u8]) -> Self {
        const KNOWN: [(&[u8], Kind); 12] = [
            (b"connection", Kind::Connection),
            (b"content-length", Kind::ContentLength),
            (b"expect", Kind::Expect),
            (b"x-forwarded-for", Kind::ForwardedFor),
            (b"x-forwarded-proto", Kind::ForwardedProto),
            (b"host", Kind::Host),
            (b"keep-alive", Kind::KeepAlive),
            (b"max-forwards", Kind::MaxForwards),
            (b"proxy-connection", Kind::ProxyConnection),
            (b"te", Kind::Te),
            (b"transfer-encoding", Kind::TransferEncoding),
            (b"upgrade", Kind::Upgrade),
        ];
        let known = KNOWN.iter().find(|(known, _)| name.eq_ignore_ascii_case(known));
        known.map_or(Self::Other, |&(_, kind)| kind)
    }
}

/// One field line.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Field {
    /// What it is to the load balancer.
    pub(crate) kind: Kind,
    /// Its name.
    pub(crate) name: Span,
    /// Its value without the whitespace around it.
    pub(crate) value: Span,
    /// The whole line, its CR LF included.
    pub(crate) line: Span,
}

/// The fields of one head, in order.
#[derive(Clone, Debug)]
pub(crate) struct Fields {
    count: usize,
    entries: [Field; FIELDS_MAX],
}

impl Default for Fields {
    fn default() -> Self {
        Self { count: 0, entries: [Field::default(); FIELDS_MAX] }
    }
}

impl Fields {
    /// Places the fields that httparse found in `head`; the last line ends before the final CR LF.
    pub(crate) fn locate(head: &[u8], parsed: &[httparse::Header<'_>]) -> Self {
        let mut fields = Self::default();
        let base = head.as_ptr().addr();
        let mut end = head.len().saturating_sub(2);
        for header in parsed.iter().take(FIELDS_MAX).rev() {
            let start = header.name.as_ptr().addr() - base;
            let colon = start + header.name.len();
            let raw = &head[colon + 1..end];
            // The value is cut here, not taken from httparse: an empty one may point anywhere.
            let value = grammar::trim(&raw[..raw.len().saturating_sub(2)]);
            let value_start = value.as_ptr().addr() - base;
            fields.entries[fields.count] = Field {
                kind: Kind::of(header.name.as_bytes()),
                name: Span::new(start, colon),
                value: Span::new(value_start, value_start + value.len()),
                line: Span::new(start, end),
            };
            fields.count += 1;
            end = start;
        }
        fields.entries[..fields.count].reverse();
        fields
    }

    /// The fields in the order of the head.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Field> {
        self.entries[..self.count].iter()
    }

    /// The values of the fields of one kind.
    pub(crate) fn values<'h>(&self, head: &'h [u8], kind: Kind) -> impl Iterator<Item = &'h [u8]> {
        self.iter().filter(move |field| field.kind == kind).map(|field| field.value.of(head))
    }
}

/// The options of all `Connection` fields of a head.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct ConnectionOptions {
    /// The sender closes after this exchange.
    pub(crate) close: bool,
    /// The sender of an HTTP/1.0 message keeps the connection.
    pub(crate) keep_alive: bool,
    /// The sender offers or announces another protocol.
    pub(crate) upgrade: bool,
    /// Fields are named that must not be forwarded.
    pub(crate) names_fields: bool,
}

impl ConnectionOptions {
    /// # Errors
    /// [`Defect::BadConnection`] if a member of a list is not a token.
    pub(crate) fn read(head: &[u8], fields: &Fields) -> Result<Self, Defect> {
        let mut options = Self::default();
        for option in fields.values(head, Kind::Connection).flat_map(grammar::list) {
            if !grammar::all(option, TOKEN) {
                return Err(Defect::BadConnection);
            }
            match option {
                _ if option.eq_ignore_ascii_case(b"close") => options.close = true,
                _ if option.eq_ignore_ascii_case(b"keep-alive") => options.keep_alive = true,
                _ if option.eq_ignore_ascii_case(b"upgrade") => options.upgrade = true,
                _ => options.names_fields = true,
            }
        }
        Ok(options)
    }
}

/// Whether a `Connection` field names the field `name`, so that it ends here (RFC 9110, 7.6.1).
pub(crate) fn is_named_by_connection(head: &[u8], fields: &Fields, name: &[u8]) -> bool {
    fields.values(head, Kind::Connection).flat_map(grammar::list).any(|option| option.eq_ignore_ascii_case(name))
}

/// The value of `Content-Length`, of which there may be one.
///
/// # Errors
/// [`Defect::DuplicateLength`], also for equal ones and for a list; [`Defect::BadLength`] for
/// anything but digits.
pub(crate) fn content_length(head: &[u8], fields: &Fields) -> Result<Option<u64>, Defect> {
    let mut values = fields.values(head, Kind::ContentLength);
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() || value.contains(&b',') {
        return Err(Defect::DuplicateLength);
    }
    grammar::decimal(value).map(Some).ok_or(Defect::BadLength)
}

/// Whether the message is chunked, the only transfer coding there is here.
///
/// # Errors
/// [`Defect::UnknownCoding`] if the list is sound but names other codings as well, else
/// [`Defect::BadCoding`].
pub(crate) fn is_chunked(head: &[u8], fields: &Fields) -> Result<bool, Defect> {
    let mut values = fields.values(head, Kind::TransferEncoding);
    let Some(value) = values.next() else { return Ok(false) };
    if value.eq_ignore_ascii_case(b"chunked") && values.next().is_none() {
        return Ok(true);
    }
    // RFC 9112, 6.1 and 6.3: chunked is applied once and last; a list that breaks this, or has no
    // chunked at all, has no end one could agree on. Only other codings inside it are merely not spoken.
    let codings = || fields.values(head, Kind::TransferEncoding).flat_map(grammar::list);
    let chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    let tokens = codings().all(|coding| grammar::all(coding, TOKEN));
    let once = codings().filter(|coding| chunked(coding)).count() == 1;
    let last = codings().last().is_some_and(chunked);
    let other = codings().count() > 1;
    Err(if tokens && once && last && other { Defect::UnknownCoding } else { Defect::BadCoding })
}
