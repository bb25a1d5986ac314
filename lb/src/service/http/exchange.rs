//! One request and its response: which part is where, and what may happen afterwards.
//!
//! The driver moves bytes and asks here what they were. Answered are the questions that decide
//! whether a load balancer is safe: may the client connection carry another request, may the
//! server connection be given to another client, may the request be sent a second time?
//! Invariant: a connection is kept only if both messages ended where their framing said and
//! nothing followed them.

use super::defect::Defect;
use super::fields::Kind;
use super::framing::{BodyDecoder, Framing, Progress};
use super::grammar;
use super::head::{Method, RequestHead, Version};
use super::response::ResponseHead;
use super::rewrite::ClientConnection;

/// Most interim (1xx) responses to one request.
pub(crate) const INTERIM_MAX: u8 = 16;

/// What a response head means for the exchange.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    /// Another head follows. An HTTP/1.0 client does not know interim responses, so it gets none.
    Interim {
        /// Whether the client gets it.
        forward: bool,
    },
    /// The response that counts.
    Final {
        /// What the client is told.
        connection: ClientConnection,
        /// Whether the client gets the content without chunk framing, and no word of it in the head, which
        /// may mention it without content (HEAD, 304): an HTTP/1.0 client does not know it.
        strip: bool,
    },
    /// 101: behind this head the connections carry another protocol.
    Switch,
}

/// The state of one exchange.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    method: Method,
    version: Version,
    wants_persistence: bool,
    /// The protocols the client offers to switch to, as a list; empty if there is no offer.
    offer: Box<[u8]>,
    has_content: bool,
    interim: u8,
    response_begun: bool,
    request: BodyDecoder,
    answer: Option<Answer>,
}

#[derive(Clone, Debug)]
struct Answer {
    body: BodyDecoder,
    client_persists: bool,
    server_persists: bool,
    strip: bool,
}

impl Exchange {
    /// The exchange that `request`, read from `head`, begins; its content, if any, is still to come.
    pub(crate) fn new(head: &[u8], request: &RequestHead) -> Self {
        let offers = || request.fields.values(head, Kind::Upgrade).collect::<Vec<_>>().join(b",".as_slice());
        let offer = if request.upgrade { offers().into() } else { Box::default() };
        Self {
            method: request.method,
            version: request.version,
            wants_persistence: request.wants_persistence(),
            offer,
            has_content: request.framing != Framing::None,
            interim: 0,
            response_begun: false,
            request: BodyDecoder::new(request.framing),
            answer: None,
        }
    }

    /// The method of the request, which decides what a response head means.
    pub(crate) fn method(&self) -> Method {
        self.method
    }

    /// Whether the request has content.
    pub(crate) fn has_content(&self) -> bool {
        self.has_content
    }

    /// Follows the request content through what the client sent; the first `forward` bytes are then
    /// for the server.
    ///
    /// # Errors
    /// The defect of its framing.
    pub(crate) fn request_bytes(&mut self, bytes: &mut [u8]) -> Result<Forward, Defect> {
        let Progress { consumed, forward, .. } = self.request.feed(bytes)?;
        Ok(Forward { consumed, forward })
    }

    /// Whether the whole request has come from the client.
    pub(crate) fn request_is_complete(&self) -> bool {
        self.request.is_done()
    }

    /// A byte of the response has come.
    pub(crate) fn response_begins(&mut self) {
        self.response_begun = true;
    }

    /// Whether a byte of the response has come.
    pub(crate) fn response_has_begun(&self) -> bool {
        self.response_begun
    }

    /// Takes the next response head, read from `head`. `keep` is whether the client connection may stay
    /// at all.
    ///
    /// # Errors
    /// [`Defect::UnaskedSwitch`], [`Defect::UnofferedProtocol`], [`Defect::TooManyInterim`].
    pub(crate) fn response_head(&mut self, head: &[u8], response: &ResponseHead, keep: bool) -> Result<Step, Defect> {
        debug_assert!(self.answer.is_none(), "one final response to a request");
        self.response_begun = true;
        if response.is_interim() {
            self.interim += 1;
            let forward = self.version == Version::Http11;
            return if self.interim > INTERIM_MAX {
                Err(Defect::TooManyInterim)
            } else {
                Ok(Step::Interim { forward })
            };
        }
        if response.status == 101 {
            // Before 101 nothing may leave HTTP, or a request could hide behind its own upgrade.
            let asked = !self.offer.is_empty() && self.request.is_done();
            return match asked {
                true if self.is_offered(head, response) => Ok(Step::Switch),
                true => Err(Defect::UnofferedProtocol),
                false => Err(Defect::UnaskedSwitch),
            };
        }
        let strip = self.version == Version::Http10 && response.framing == Framing::Chunked;
        let ends_with_connection = strip || response.framing == Framing::Close;
        // While the request is still coming this may be an early answer, after which the rest of
        // the request would have to be read by somebody: the connection ends here.
        let client_persists = keep && self.wants_persistence && self.request.is_done() && !ends_with_connection;
        self.answer = Some(Answer {
            body: BodyDecoder::new(response.framing),
            client_persists,
            server_persists: response.is_persistent(),
            strip,
        });
        let connection = match (client_persists, self.version) {
            (true, Version::Http11) => ClientConnection::Implied,
            (true, Version::Http10) => ClientConnection::KeepAlive,
            (false, _) => ClientConnection::Close,
        };
        Ok(Step::Final { connection, strip: self.version == Version::Http10 })
    }

    /// Whether a 101 names protocols, and only such as the client has offered (RFC 9110, 7.8).
    fn is_offered(&self, head: &[u8], response: &ResponseHead) -> bool {
        let mut chosen = response.fields.values(head, Kind::Upgrade).flat_map(grammar::list).peekable();
        let offered = |it: &[u8]| grammar::list(&self.offer).any(|offer| offer.eq_ignore_ascii_case(it));
        chosen.peek().is_some() && chosen.all(offered)
    }

    /// Follows the response content through what the server sent; the first `forward` bytes are then
    /// for the client.
    ///
    /// # Errors
    /// The defect of its framing.
    pub(crate) fn response_bytes(&mut self, bytes: &mut [u8]) -> Result<Forward, Defect> {
        let Some(answer) = &mut self.answer else { return Ok(Forward::default()) };
        let Progress { consumed, forward, .. } =
            if answer.strip { answer.body.strip(bytes)? } else { answer.body.feed(bytes)? };
        Ok(Forward { consumed, forward })
    }

    /// The server has closed its side.
    ///
    /// # Errors
    /// [`Defect::Truncated`] unless the response may end so.
    pub(crate) fn response_ends(&mut self) -> Result<(), Defect> {
        self.answer.as_mut().ok_or(Defect::Truncated)?.body.end()
    }

    /// Whether a response that counts has begun.
    pub(crate) fn is_answered(&self) -> bool {
        self.answer.is_some()
    }

    /// Whether the whole response has come from the server.
    pub(crate) fn response_is_complete(&self) -> bool {
        self.answer.as_ref().is_some_and(|answer| answer.body.is_done())
    }

    /// Whether the client connection may carry another request.
    pub(crate) fn client_persists(&self) -> bool {
        let persists = self.answer.as_ref().is_some_and(|answer| answer.client_persists);
        persists && self.request_is_complete() && self.response_is_complete()
    }

    /// Whether the server connection may carry another request; `excess` bytes followed the response.
    pub(crate) fn server_persists(&self, excess: usize) -> bool {
        let persists = self.answer.as_ref().is_some_and(|answer| answer.server_persists);
        persists && excess == 0 && self.request_is_complete() && self.response_is_complete()
    }

    /// Whether an answer of our own may leave the client connection open. An HTTP/1.0 client would have
    /// to be told that it does, which is not worth the trouble.
    pub(crate) fn may_answer_and_stay(&self) -> bool {
        let stays = self.wants_persistence && self.version == Version::Http11;
        stays && self.request_is_complete() && self.answer.is_none()
    }

    /// Whether the client would take a second sending of the request for the first (RFC 9110, 9.2.2).
    pub(crate) fn may_repeat(&self) -> bool {
        self.method.is_idempotent() && !self.has_content && !self.response_begun
    }
}

/// What has become of the bytes of a message.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Forward {
    /// Bytes that belonged to it.
    pub(crate) consumed: usize,
    /// Bytes at the start of the buffer that are for the other side.
    pub(crate) forward: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(line: &str, fields: &str) -> Exchange {
        let head = format!("{line}\r\nHost: h\r\n{fields}\r\n");
        Exchange::new(head.as_bytes(), &RequestHead::parse(head.as_bytes()).unwrap())
    }

    fn answer(exchange: &mut Exchange, head: &str, body: &[u8]) -> Result<Step, Defect> {
        let head = format!("HTTP/1.1 {head}\r\n\r\n");
        let response = ResponseHead::parse(head.as_bytes(), exchange.method())?;
        let step = exchange.response_head(head.as_bytes(), &response, true)?;
        exchange.response_bytes(&mut body.to_vec())?;
        Ok(step)
    }

    #[test]
    fn both_connections_stay_after_two_complete_messages() {
        let mut it = exchange("GET / HTTP/1.1", "");
        let step = answer(&mut it, "200 OK\r\nContent-Length: 2", b"ab");
        assert_eq!(step, Ok(Step::Final { connection: ClientConnection::Implied, strip: false }));
        assert!(it.client_persists() && it.server_persists(0));
        assert!(!it.server_persists(1), "bytes behind the response belong to nobody");
    }

    #[test]
    fn an_incomplete_message_keeps_nothing() {
        let mut it = exchange("GET / HTTP/1.1", "");
        answer(&mut it, "200 OK\r\nContent-Length: 3", b"ab").unwrap();
        assert!(!it.client_persists() && !it.server_persists(0));
        assert_eq!(it.response_ends(), Err(Defect::Truncated));
    }

    #[test]
    fn an_early_answer_ends_the_client_connection() {
        let mut it = exchange("POST / HTTP/1.1", "Content-Length: 5\r\n");
        assert_eq!(it.request_bytes(&mut b"ab".to_vec()), Ok(Forward { consumed: 2, forward: 2 }));
        let step = answer(&mut it, "413 Too Large\r\nContent-Length: 0", b"");
        assert_eq!(step, Ok(Step::Final { connection: ClientConnection::Close, strip: false }));
        assert!(!it.client_persists() && !it.server_persists(0));
        assert_eq!(it.request_bytes(&mut b"cdenext".to_vec()), Ok(Forward { consumed: 3, forward: 3 }));
        assert!(!it.client_persists(), "the client has been told that it ends");
        assert!(it.server_persists(0));
    }

    #[test]
    fn a_response_that_ends_with_its_connection_ends_both() {
        let mut it = exchange("GET / HTTP/1.1", "");
        let step = answer(&mut it, "200 OK", b"ab");
        assert_eq!(step, Ok(Step::Final { connection: ClientConnection::Close, strip: false }));
        assert!(!it.response_is_complete());
        assert_eq!(it.response_ends(), Ok(()));
        assert!(it.response_is_complete() && !it.client_persists() && !it.server_persists(0));
    }

    #[test]
    fn an_old_client_gets_content_without_chunks_and_no_interim() {
        let mut it = exchange("GET / HTTP/1.0", "Connection: keep-alive\r\n");
        assert_eq!(answer(&mut it, "100 Continue", b""), Ok(Step::Interim { forward: false }));
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let response = ResponseHead::parse(head, it.method()).unwrap();
        let step = it.response_head(head, &response, true);
        assert_eq!(step, Ok(Step::Final { connection: ClientConnection::Close, strip: true }));
        let mut body = b"2\r\nab\r\n0\r\n\r\nx".to_vec();
        assert_eq!(it.response_bytes(&mut body), Ok(Forward { consumed: 12, forward: 2 }));
        assert_eq!(&body[..2], b"ab");
        assert!(!it.client_persists() && it.server_persists(0));
    }

    #[test]
    fn protocols_are_switched_only_when_asked() {
        let mut it = exchange("GET / HTTP/1.1", "Connection: upgrade\r\nUpgrade: x\r\n");
        assert_eq!(answer(&mut it, "101 Go\r\nUpgrade: X", b""), Ok(Step::Switch));
        for other in ["101 Go", "101 Go\r\nUpgrade: y", "101 Go\r\nUpgrade: x, y"] {
            assert_eq!(answer(&mut it, other, b""), Err(Defect::UnofferedProtocol), "{other}");
        }
        let mut it = exchange("GET / HTTP/1.1", "");
        assert_eq!(answer(&mut it, "101 Go", b""), Err(Defect::UnaskedSwitch));
        let mut it = exchange("PUT / HTTP/1.1", "Connection: upgrade\r\nUpgrade: x\r\nContent-Length: 1\r\n");
        assert_eq!(answer(&mut it, "101 Go", b""), Err(Defect::UnaskedSwitch));
    }

    #[test]
    fn interim_responses_are_bounded() {
        let mut it = exchange("GET / HTTP/1.1", "");
        for _ in 0..INTERIM_MAX {
            assert_eq!(answer(&mut it, "103 Early Hints", b""), Ok(Step::Interim { forward: true }));
        }
        assert_eq!(answer(&mut it, "103 Early Hints", b""), Err(Defect::TooManyInterim));
    }

    #[test]
    fn only_safe_requests_are_repeated() {
        for (line, fields, repeats) in [
            ("GET / HTTP/1.1", "", true),
            ("DELETE / HTTP/1.1", "", true),
            ("POST / HTTP/1.1", "", false),
            ("PATCH / HTTP/1.1", "", false),
            ("PUT / HTTP/1.1", "Content-Length: 1\r\n", false),
        ] {
            let mut it = exchange(line, fields);
            assert_eq!(it.may_repeat(), repeats, "{line} {fields}");
            it.response_begins();
            assert!(!it.may_repeat(), "a server that answers has seen the request");
        }
    }
}
