//! One step of a row: who does or sees what, read from a line of text.

use std::fmt;

/// Somebody at one end of the load balancer, numbered from 1 in the order of the connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Client(usize),
    Server(usize),
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(number) => write!(f, "client{number}"),
            Self::Server(number) => write!(f, "server{number}"),
        }
    }
}

/// What somebody does or sees.
#[derive(Debug)]
pub(crate) enum Act {
    /// Writes these bytes.
    Sends(Bytes),
    /// The next bytes are these.
    Gets(Bytes),
    /// The next bytes are this answer of the load balancer's own.
    Told(Reply),
    /// As [`Act::Told`], and then the connection ends.
    Refused(Reply),
    /// Closes its direction.
    Ends,
    /// Resets the connection.
    Resets,
    /// Nothing more comes, and the connection ends with a FIN.
    SeesEnd,
    /// Nothing more comes, and the connection is reset.
    SeesReset,
    /// Nothing more comes, and the connection ends in either way.
    SeesClose,
    /// Nothing has come so far, whatever the load balancer has got until now.
    HearsNothing,
    /// One more request from this client over that server connection is answered.
    Stays {
        /// Number of the server connection.
        over: usize,
    },
}

/// One step.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) who: Who,
    pub(crate) act: Act,
}

impl Step {
    pub(crate) fn new(who: Who, act: Act) -> Self {
        Self { who, act }
    }

    /// Reads `client sends GET ...`.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let (who, rest) = text.split_once(' ').ok_or("a step is somebody and an act")?;
        let who = Who::read(who)?;
        let (verb, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let act = match (verb, rest) {
            ("sends", bytes) => Act::Sends(Bytes::read(bytes)?),
            ("gets", bytes) => Act::Gets(Bytes::read(bytes)?),
            ("ends", "") => Act::Ends,
            ("resets", "") => Act::Resets,
            ("sees", "end") => Act::SeesEnd,
            ("sees", "reset") => Act::SeesReset,
            ("sees", "close") => Act::SeesClose,
            ("hears", "nothing") => Act::HearsNothing,
            ("is", rest) => match rest.split_once(' ') {
                Some(("told", reply)) => Act::Told(Reply { close: false, ..Reply::read(reply)? }),
                Some(("refused", reply)) => Act::Refused(Reply::read(reply)?),
                _ => return Err("somebody is told or refused".to_owned()),
            },
            ("stays", over) => match over.strip_prefix("over ").map(Who::read) {
                Some(Ok(Who::Server(over))) => Act::Stays { over },
                _ => return Err("one stays over a server".to_owned()),
            },
            _ => return Err(format!("nobody can do {verb:?}")),
        };
        Ok(Self { who, act })
    }
}

impl Who {
    fn read(text: &str) -> Result<Self, String> {
        let digits = text.trim_start_matches(|it: char| !it.is_ascii_digit());
        let number = if digits.is_empty() { 1 } else { digits.parse().map_err(|_| format!("who is {text:?}"))? };
        match &text[..text.len() - digits.len()] {
            "client" => Ok(Self::Client(number)),
            "server" => Ok(Self::Server(number)),
            _ => Err(format!("who is {text:?}")),
        }
    }
}

/// An answer that the load balancer gives itself.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    status: u16,
    reason: String,
    /// Whether it says that the connection ends.
    pub(crate) close: bool,
}

impl Reply {
    /// Reads `400 the Host field is malformed`.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let (status, reason) = text.split_once(' ').ok_or("an answer is a status and a reason")?;
        let status = status.parse().map_err(|_| format!("{status:?} is no status"))?;
        phrase(status).ok_or_else(|| format!("{status} is not answered here"))?;
        Ok(Self { status, reason: reason.to_owned(), close: true })
    }

    /// The whole answer.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let Self { status, reason, close } = self;
        let phrase = phrase(*status).unwrap();
        let content = format!("{status} {phrase}: {reason}\n");
        let connection = if *close { "Connection: close\r\n" } else { "" };
        format!(
            "HTTP/1.1 {status} {phrase}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
             Cache-Control: no-store\r\n{connection}\r\n{content}",
            content.len()
        )
        .into_bytes()
    }
}

fn phrase(status: u16) -> Option<&'static str> {
    Some(match status {
        400 => "Bad Request",
        408 => "Request Timeout",
        414 => "URI Too Long",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => return None,
    })
}

/// Bytes as a row writes them: text with `\r \n \t \0 \\ \xNN`, with `{text*N}` for N repetitions and
/// `{vip}` for the port of the virtual service.
#[derive(Debug)]
pub(crate) struct Bytes(Vec<Piece>);

#[derive(Debug)]
enum Piece {
    Plain(Vec<u8>),
    VipPort,
}

impl Bytes {
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((plain, from)) = rest.split_once('{') {
            let (inner, behind) = from.split_once('}').ok_or("a { without }; the character is \\x7b")?;
            pieces.push(Piece::Plain(unescape(plain)?));
            pieces.push(match inner.rsplit_once('*') {
                None if inner == "vip" => Piece::VipPort,
                Some((text, count)) => {
                    let count = count.parse().map_err(|_| format!("{count:?} is no number"))?;
                    Piece::Plain(unescape(text)?.repeat(count))
                }
                None => return Err(format!("nothing is called {{{inner}}}")),
            });
            rest = behind;
        }
        pieces.push(Piece::Plain(unescape(rest)?));
        Ok(Self(pieces))
    }

    pub(crate) fn fill(&self, vip_port: u16) -> Vec<u8> {
        let mut bytes = Vec::new();
        for piece in &self.0 {
            match piece {
                Piece::Plain(plain) => bytes.extend_from_slice(plain),
                Piece::VipPort => bytes.extend_from_slice(vip_port.to_string().as_bytes()),
            }
        }
        bytes
    }
}

fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let byte = match byte {
            b'\n' => return Err("a line break is written \\r\\n".to_owned()),
            b'\\' => match rest.next() {
                Some(b'r') => b'\r',
                Some(b'n') => b'\n',
                Some(b't') => b'\t',
                Some(b'0') => 0,
                Some(b'\\') => b'\\',
                Some(b'x') => {
                    let mut digit = || (rest.next()? as char).to_digit(16);
                    let (high, low) = digit().zip(digit()).ok_or("\\x needs two digits")?;
                    (high * 16 + low) as u8
                }
                _ => return Err("an escape is one of \\r \\n \\t \\0 \\\\ \\xNN".to_owned()),
            },
            byte => byte,
        };
        bytes.push(byte);
    }
    Ok(bytes)
}
