//! Answers of the load balancer's own: errors, each with a text a person can act on.

use std::io::Write as _;

/// What is needed to answer instead of a server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reply<'t> {
    /// 400 to 599.
    pub(crate) status: u16,
    /// What went wrong, one line.
    pub(crate) reason: &'t str,
    /// Whether the client is told that its connection ends here.
    pub(crate) close: bool,
    /// Whether the request was HEAD, whose answer has no content.
    pub(crate) head_only: bool,
}

impl Reply<'_> {
    /// Appends the whole answer.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let phrase = phrase(self.status);
        // "503 Service Unavailable: reason\n"
        let length = 3 + 1 + phrase.len() + 2 + self.reason.len() + 1;
        let connection = if self.close { "Connection: close\r\n" } else { "" };
        let status = self.status;
        // Writing into a vector cannot fail.
        let _ = write!(
            out,
            "HTTP/1.1 {status} {phrase}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\
             Cache-Control: no-store\r\n{connection}\r\n"
        );
        if !self.head_only {
            let _ = writeln!(out, "{status} {phrase}: {}", self.reason);
        }
    }
}

fn phrase(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        408 => "Request Timeout",
        413 => "Content Too Large",
        414 => "URI Too Long",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Error",
    }
}

#[cfg(test)]
mod tests {
    use super::super::framing::Framing;
    use super::super::head::Method;
    use super::super::response::ResponseHead;
    use super::*;

    #[test]
    fn an_answer_is_a_sound_response() {
        for close in [false, true] {
            for status in [400, 408, 413, 414, 431, 501, 502, 503, 504, 505] {
                let mut out = Vec::new();
                Reply { status, reason: "no server is up", close, head_only: false }.write(&mut out);
                let end = out.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
                let head = ResponseHead::parse(&out[..end], Method::Get).unwrap();
                assert_eq!((head.status, head.is_persistent()), (status, !close));
                assert_eq!(head.framing, Framing::Length((out.len() - end) as u64));
            }
        }
    }

    #[test]
    fn an_answer_to_head_has_no_content() {
        let mut out = Vec::new();
        Reply { status: 503, reason: "x", close: true, head_only: true }.write(&mut out);
        assert!(out.ends_with(b"Connection: close\r\n\r\n"));
    }
}
