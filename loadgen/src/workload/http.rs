//! HTTP/1.1 requests: one or several on a connection, or one every so often on a held one.
//!
//! The request is built once; only the nonce changes. A response counts when its status is the
//! expected one and its body is right: the bytes that the nonce asks for, or for servers that are
//! not ours the expected length.

mod chunked;
mod response;

use std::num::NonZeroU32;

use self::response::{Malformed, State};
use super::{Noticed, Operation, Step, Workload};
use crate::measure::Outcome;
use crate::scenario::plan::{CloseMode, HttpPlan};

/// Most reflector instances that are told apart; the rest is counted as `(other)`.
const INSTANCES_MAX: usize = 256;

/// What a right body is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ExpectedBody {
    /// So many bytes of the reflectors' table.
    Table(u64),
    /// So many bytes of anything.
    Length(u64),
}

/// What a workload is made from.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// Path, headers and status.
    pub plan: HttpPlan,
    /// `Host` header.
    pub host: String,
    /// What a right body is.
    pub body: ExpectedBody,
    /// What one operation spans.
    pub operation: Operation,
    /// Requests before a connection is closed; `None` = as many as it carries.
    pub requests_per_connection: Option<NonZeroU32>,
    /// Who closes.
    pub close: CloseMode,
    /// Start of the nonces.
    pub seed: u64,
}

/// The workload of one worker.
#[derive(Debug)]
pub struct Http {
    config: HttpConfig,
    /// The request with room for the nonce, and the one that ends the connection.
    keep: Request,
    last: Request,
    nonce: u32,
    instances: Vec<(Vec<u8>, u64)>,
    other_instances: u64,
}

/// What is known of one connection.
#[derive(Debug, Default)]
pub struct HttpUser {
    nonce: u32,
    state: State,
    status: u16,
    closes: bool,
    wrong_body: bool,
    /// Body bytes so far.
    position: u64,
    /// Requests sent on the connection.
    requests: u32,
    malformed: Option<Malformed>,
    /// A head that is not complete; nothing for nearly every response.
    partial: Option<Vec<u8>>,
}

impl Http {
    /// Builds the requests.
    pub fn new(config: HttpConfig) -> Self {
        let nonce = (config.seed ^ config.seed >> 32) as u32;
        Self {
            keep: Request::new(&config, false),
            last: Request::new(&config, true),
            nonce,
            instances: Vec::new(),
            other_instances: 0,
            config,
        }
    }

    fn next_request(&mut self, user: &mut HttpUser) -> Step {
        self.nonce = self.nonce.wrapping_add(1);
        user.nonce = self.nonce;
        user.state = State::Head;
        user.position = 0;
        user.wrong_body = false;
        user.requests += 1;
        Step::Send
    }

    fn is_last(&self, user: &HttpUser) -> bool {
        self.config.requests_per_connection.is_some_and(|limit| user.requests >= limit.get())
    }

    /// What a complete response means.
    fn judge(&self, user: &HttpUser, noticed: &mut Noticed) -> Option<Outcome> {
        if user.status != self.config.plan.status {
            return Some(Outcome::BadStatus);
        }
        let (ExpectedBody::Table(expected) | ExpectedBody::Length(expected)) = self.config.body;
        if user.wrong_body || user.position != expected {
            return Some(Outcome::BadPayload);
        }
        noticed.transaction = true;
        None
    }

    fn after_response(&mut self, user: &mut HttpUser, noticed: &mut Noticed) -> Step {
        if let Some(outcome) = self.judge(user, noticed) {
            return Step::Fail(outcome);
        }
        let last = self.is_last(user);
        match self.config.operation {
            Operation::Connection if last => Step::Close(self.config.close),
            Operation::Connection if user.closes => Step::Fail(Outcome::ClosedEarly),
            Operation::Connection => self.next_request(user),
            Operation::Transaction if last || user.closes => Step::Close(self.config.close),
            Operation::Transaction => Step::Keep,
            Operation::Held if user.closes => Step::Fail(Outcome::HoldLost),
            Operation::Held => Step::Hold,
        }
    }

    /// Reads a head from partial bytes and new ones; `Ok(None)` while it is not complete.
    fn head(&mut self, user: &mut HttpUser, bytes: &[u8]) -> Result<Option<usize>, Malformed> {
        let before = user.partial.as_ref().map_or(0, Vec::len);
        let joined = user.partial.take().map(|mut partial| {
            let room = response::HEAD_MAX.saturating_sub(before) + 1;
            partial.extend_from_slice(&bytes[..bytes.len().min(room)]);
            partial
        });
        let text = joined.as_deref().unwrap_or(bytes);
        let mut named = None;
        let parsed = response::parse_head(text, |name| named = Some(self.instance_index(name)))?;
        let Some((head, length)) = parsed else {
            user.partial = Some(joined.unwrap_or_else(|| bytes.to_vec()));
            return Ok(None);
        };
        // An interim response (RFC 9110, 15.2) is not the answer: read the next head.
        if head.status >= 200 {
            user.status = head.status;
            user.closes = head.closes;
            user.state = State::after(head.framing);
            match named {
                Some(Some(index)) => self.instances[index].1 += 1,
                Some(None) => self.other_instances += 1,
                None => {}
            }
        }
        Ok(Some(length - before))
    }

    fn instance_index(&mut self, name: &[u8]) -> Option<usize> {
        let known = self.instances.iter().position(|(instance, _)| instance == name);
        if known.is_none() && self.instances.len() < INSTANCES_MAX {
            self.instances.push((name.to_vec(), 0));
            return Some(self.instances.len() - 1);
        }
        known
    }

    fn take(&mut self, user: &mut HttpUser, mut bytes: &[u8], noticed: &mut Noticed) -> Result<(), Malformed> {
        while !bytes.is_empty() && user.state == State::Head {
            let Some(length) = self.head(user, bytes)? else { return Ok(()) };
            bytes = &bytes[length..];
        }
        let begun = user.position > 0;
        let (nonce, table) = (user.nonce, matches!(self.config.body, ExpectedBody::Table(_)));
        let (mut position, mut wrong) = (user.position, user.wrong_body);
        let taken = user.state.body(bytes, |data| {
            wrong = wrong || table && !wire::body::matches(nonce, position, data);
            position += data.len() as u64;
        })?;
        noticed.body_bytes += position - user.position;
        (user.position, user.wrong_body) = (position, wrong);
        noticed.first_byte |= !begun && (position > 0 || user.state == State::Complete);
        // An endless body would otherwise be read until the timeout: it is wrong once it is too long.
        let (ExpectedBody::Table(expected) | ExpectedBody::Length(expected)) = self.config.body;
        user.wrong_body |= position > expected;
        if taken < bytes.len() { Err(Malformed::BytesAfterEnd) } else { Ok(()) }
    }
}

impl Workload for Http {
    type User = HttpUser;

    fn start(&mut self, user: &mut HttpUser) -> Step {
        self.next_request(user)
    }

    fn request(&mut self, user: &HttpUser) -> &[u8] {
        let last = self.config.close == CloseMode::ServerFin && self.is_last(user);
        let request = if last { &mut self.last } else { &mut self.keep };
        request.with_nonce(user.nonce)
    }

    fn received(&mut self, user: &mut HttpUser, bytes: &[u8], noticed: &mut Noticed) -> Step {
        if let Err(malformed) = self.take(user, bytes, noticed) {
            user.malformed = Some(malformed);
            return Step::Fail(Outcome::BadResponse);
        }
        match user.state {
            State::Complete => self.after_response(user, noticed),
            _ if user.wrong_body && user.status != self.config.plan.status => Step::Fail(Outcome::BadStatus),
            _ if user.wrong_body => Step::Fail(Outcome::BadPayload),
            _ => Step::Need,
        }
    }

    fn ended(&mut self, user: &mut HttpUser, noticed: &mut Noticed) -> Step {
        if user.state == State::UntilClose {
            user.state = State::Complete;
            noticed.first_byte |= user.position == 0;
            return self.after_response(user, noticed);
        }
        Step::Fail(Outcome::ClosedEarly)
    }

    fn woken(&mut self, user: &mut HttpUser) -> Step {
        self.next_request(user)
    }

    fn close(&self) -> CloseMode {
        self.config.close
    }

    fn detail(&self, user: &HttpUser) -> String {
        let (ExpectedBody::Table(expected) | ExpectedBody::Length(expected)) = self.config.body;
        match user.malformed {
            Some(malformed) => malformed.text().to_owned(),
            None if user.state == State::Head => "no complete response head arrived".to_owned(),
            None if user.status != self.config.plan.status => {
                format!("status {} instead of {}", user.status, self.config.plan.status)
            }
            None => format!(
                "status {}, {} of {expected} body bytes{}",
                user.status,
                user.position,
                if user.wrong_body { ", and not the ones that were asked for" } else { "" }
            ),
        }
    }

    fn instances(&self) -> Vec<(String, u64)> {
        let other = (self.other_instances > 0).then(|| ("(other)".to_owned(), self.other_instances));
        let named = self.instances.iter().filter(|(_, responses)| *responses > 0);
        named.map(|(name, responses)| (String::from_utf8_lossy(name).into_owned(), *responses)).chain(other).collect()
    }
}

/// One response read on its own, to learn what a server answers.
#[derive(Debug, Default)]
pub struct FirstAnswer {
    head: Vec<u8>,
    state: State,
    status: u16,
    body_bytes: u64,
}

impl FirstAnswer {
    /// Takes bytes as they arrive; none means that the server closed.
    ///
    /// # Errors
    /// What is wrong with the response.
    pub fn take(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        if bytes.is_empty() {
            let ends = self.state == State::UntilClose;
            self.state = State::Complete;
            return if ends { Ok(()) } else { Err("it ends too soon") };
        }
        let mut rest = bytes.to_vec();
        while self.state == State::Head && !rest.is_empty() {
            self.head.append(&mut rest);
            let Some((head, length)) = response::parse_head(&self.head, |_| {}).map_err(Malformed::text)? else {
                return Ok(());
            };
            rest = self.head.split_off(length);
            self.head.clear();
            if head.status >= 200 {
                (self.status, self.state) = (head.status, State::after(head.framing));
            }
        }
        let body_bytes = &mut self.body_bytes;
        self.state.body(&rest, |data| *body_bytes += data.len() as u64).map_err(Malformed::text)?;
        Ok(())
    }

    /// Whether nothing is missing.
    pub fn is_complete(&self) -> bool {
        self.state == State::Complete
    }

    /// The status; 0 before the head is complete.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Body bytes so far.
    pub fn body_bytes(&self) -> u64 {
        self.body_bytes
    }
}

/// A request with room for a nonce.
#[derive(Debug)]
struct Request {
    bytes: Vec<u8>,
    /// Where the nonce stands; `None` when bodies are not checked byte by byte.
    nonce_at: Option<usize>,
}

impl Request {
    fn new(config: &HttpConfig, last: bool) -> Self {
        let plan = &config.plan;
        let mut text = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: {}\r\n",
            plan.request,
            config.host,
            wire::identity::GENERATOR_USER_AGENT
        );
        for (name, value) in &plan.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if last {
            text.push_str("Connection: close\r\n");
        }
        let nonce_at = matches!(config.body, ExpectedBody::Table(_)).then(|| {
            text.push_str(&format!("{}: 00000000\r\n", wire::identity::NONCE));
            text.len() - 10
        });
        text.push_str("\r\n");
        Self { bytes: text.into_bytes(), nonce_at }
    }

    fn with_nonce(&mut self, nonce: u32) -> &[u8] {
        if let Some(at) = self.nonce_at {
            self.bytes[at..at + 8].copy_from_slice(&wire::identity::format_nonce(nonce));
        }
        &self.bytes
    }
}

#[cfg(test)]
mod tests;
