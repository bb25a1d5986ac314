//! What can be wrong with a message, as a client is told it.
//!
//! One list for requests and responses, since the grammar is the same: a defect of a request is
//! answered with its [`Defect::status`], a defect of a response always becomes 502.

/// Why a message is refused. The text goes into the body of the answer and into the access log.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[allow(missing_docs, reason = "the text of each variant says what it means")]
pub(crate) enum Defect {
    #[error("a line ends with LF alone instead of CR LF")]
    BareLf,
    #[error("a CR is not followed by LF")]
    BareCr,
    #[error("the head holds a control character")]
    ControlCharacter,
    #[error("a field line starts with whitespace (line folding is obsolete)")]
    Folded,
    #[error("there is whitespace between a field name and its colon")]
    SpaceBeforeColon,
    #[error("a field name is empty")]
    EmptyName,
    #[error("a field name holds a character that is not allowed")]
    BadName,
    #[error("a field line has no colon")]
    MissingColon,
    #[error("the request line is longer than 16 KiB")]
    TargetTooLong,
    #[error("the method is longer than 16 KiB")]
    MethodTooLong,
    #[error("the head is longer than 16 KiB")]
    HeadTooLarge,
    #[error("the head has more than 101 fields")]
    TooManyFields,
    #[error("the first line is malformed")]
    BadStartLine,
    #[error("the method is malformed")]
    BadMethod,
    #[error("the request target is malformed")]
    BadTarget,
    #[error("the protocol version is malformed")]
    BadVersion,
    #[error("only HTTP/1.0 and HTTP/1.1 are spoken here")]
    UnsupportedVersion,
    #[error("the status code is malformed")]
    BadStatus,
    #[error("CONNECT is not offered here")]
    Connect,
    #[error("an HTTP/1.1 request needs a Host field")]
    MissingHost,
    #[error("there is more than one Host field")]
    DuplicateHost,
    #[error("the Host field is malformed")]
    BadHost,
    #[error("the Host field and the request target name different hosts")]
    HostMismatch,
    #[error("the Content-Length field is malformed")]
    BadLength,
    #[error("there is more than one Content-Length")]
    DuplicateLength,
    #[error("Content-Length and Transfer-Encoding exclude each other")]
    LengthAndCoding,
    #[error("the Transfer-Encoding field is malformed")]
    BadCoding,
    #[error("the only transfer coding spoken here is chunked")]
    UnknownCoding,
    #[error("HTTP/1.0 has no Transfer-Encoding")]
    CodingInOldVersion,
    #[error("a TRACE request has no content")]
    TraceContent,
    #[error("the Max-Forwards field is malformed")]
    BadMaxForwards,
    #[error("Max-Forwards lets nobody else answer, and this method is not carried out here")]
    LastHop,
    #[error("the Connection field is malformed")]
    BadConnection,
    #[error("a chunk size is malformed")]
    BadChunkSize,
    #[error("a chunk extension is malformed or too long")]
    BadChunkExtension,
    #[error("chunk data is not followed by CR LF")]
    BadChunkEnd,
    #[error("a trailer field is malformed")]
    BadTrailer,
    #[error("the trailer section is longer than 4 KiB")]
    TrailerTooLarge,
    #[error("the message ended early")]
    Truncated,
    #[error("the server switched protocols without being asked to")]
    UnaskedSwitch,
    #[error("the server switched to a protocol that was not offered")]
    UnofferedProtocol,
    #[error("the server sent too many interim responses")]
    TooManyInterim,
}

impl Defect {
    /// The status a request with this defect is answered with.
    pub(crate) fn status(self) -> u16 {
        match self {
            Self::TargetTooLong => 414,
            Self::HeadTooLarge | Self::TooManyFields | Self::TrailerTooLarge => 431,
            Self::Connect | Self::LastHop | Self::MethodTooLong | Self::UnknownCoding => 501,
            Self::UnaskedSwitch | Self::UnofferedProtocol | Self::TooManyInterim => 502,
            Self::UnsupportedVersion => 505,
            _ => 400,
        }
    }
}
