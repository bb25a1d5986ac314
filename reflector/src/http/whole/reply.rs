//! From one request to its response, above hyper.
//!
//! The order is: read the body, book the request, wait for its turn and its delay, hold back for a
//! stall, answer. What is wrong with a request is answered with a reason in plain text.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode, Version};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use wire::identity;

use super::body::{Course, ReplyBody, Source};
use super::{Phase, Shared, lock};
use crate::behaviour::{Asked, Behaviour, HELP, ResetAt};
use crate::cap::Admission;
use crate::config::CapUnit;
use crate::http::answer::is_bodiless;
use crate::http::head::{self, Refusal};
use crate::server::Worker;

/// What is known of a request from its head.
struct Known {
    asked: Result<Asked, Refusal>,
    check: bool,
    nonce: u32,
    is_head: bool,
    version: Version,
}

/// Answers one request.
pub(super) async fn reply(
    worker: Arc<Worker>,
    peer: SocketAddr,
    state: Shared,
    request: Request<Incoming>,
) -> Response<ReplyBody> {
    lock(&state).enter(Phase::Working);
    let known = know(&worker, &request);
    let read = read_body(&worker, &state, request).await;
    let number = {
        let mut state = lock(&state);
        state.requests += 1;
        state.requests
    };
    let mut response = match read {
        Ok(()) => answer(&worker, &state, &known).await,
        Err(refusal) => {
            let mut state_now = lock(&state);
            state_now.linger = true;
            state_now.books.bad_request();
            drop(state_now);
            let mut response = text(&state, &known, &refusal);
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            response
        }
    };
    let connection = lock(&state).books.number();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    // The instance's name was checked when it was configured; numbers and addresses are always valid.
    let text = |value: String| HeaderValue::try_from(value).unwrap_or_else(|_| HeaderValue::from_static("?"));
    headers.insert(HeaderName::from_static(identity::INSTANCE), text(worker.shared.config.instance.clone()));
    headers.insert(HeaderName::from_static(identity::CLIENT), text(peer.to_string()));
    headers.insert(HeaderName::from_static(identity::CONNECTION), HeaderValue::from(connection));
    headers.insert(HeaderName::from_static(identity::REQUEST), HeaderValue::from(number));
    lock(&state).enter(Phase::Sending);
    response
}

fn know(worker: &Worker, request: &Request<Incoming>) -> Known {
    let headers = request.headers();
    let target = request.uri().to_string();
    let agent = headers.get(header::USER_AGENT).map_or(&[][..], HeaderValue::as_bytes);
    let nonce = headers.get(identity::NONCE).map_or(Ok(0), |value| head::nonce(value.as_bytes()));
    let hosts = headers.get_all(header::HOST).iter().count();
    let asked = match &nonce {
        Err(refusal) => Err(refusal.clone()),
        Ok(_) if hosts > 1 || (hosts == 0 && request.version() == Version::HTTP_11) => {
            Err(Refusal::new(400, format!("the request has {hosts} Host headers; expected one")))
        }
        Ok(_) => Asked::parse_target(&target).map_err(|reason| Refusal::new(400, reason)),
    };
    Known {
        asked,
        check: head::is_check(&worker.shared.config.checks, &target, agent),
        nonce: nonce.unwrap_or(0),
        is_head: request.method() == Method::HEAD,
        version: request.version(),
    }
}

/// Reads a request's body to its end and forgets it, within the limits of size and time.
async fn read_body(worker: &Worker, state: &Shared, request: Request<Incoming>) -> Result<(), Refusal> {
    let limits = &worker.shared.config.limits;
    let too_large = || Refusal::new(413, format!("the request's body has more than {} bytes", limits.body_bytes));
    let expects = expects_interim(&request);
    let mut body = request.into_body();
    if body.size_hint().exact().is_some_and(|length| length > limits.body_bytes) {
        return Err(too_large());
    }
    if expects {
        // The first read below makes hyper send it.
        lock(state).books.interim();
    }
    let read = async {
        let mut total = 0_u64;
        while let Some(frame) = body.frame().await {
            let frame =
                frame.map_err(|error| Refusal::new(400, format!("the request's body is malformed: {error}")))?;
            total += frame.data_ref().map_or(0, |data| data.len() as u64);
            if total > limits.body_bytes {
                return Err(too_large());
            }
        }
        Ok(())
    };
    let late = |_| {
        let allowed = limits.body_timeout;
        Refusal::new(408, format!("the request's body was not complete after {allowed:?}"))
    };
    tokio::time::timeout(limits.body_timeout, read).await.unwrap_or_else(|elapsed| Err(late(elapsed)))
}

/// Whether reading the body makes hyper send an interim response.
fn expects_interim(request: &Request<Incoming>) -> bool {
    let asks = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"100-continue");
    request.version() == Version::HTTP_11
        && request.headers().get(header::EXPECT).is_some_and(asks)
        && !request.body().is_end_stream()
}

async fn answer(worker: &Worker, state: &Shared, known: &Known) -> Response<ReplyBody> {
    let shared = &worker.shared;
    lock(state).books.request(known.check, host::clock::monotonic_ns());
    let asked = match &known.asked {
        Ok(asked) => asked,
        Err(refusal) => {
            lock(state).books.bad_request();
            return text(state, known, refusal);
        }
    };
    if let Some(cap) = shared.cap.as_ref().filter(|cap| !known.check && cap.counts(CapUnit::Requests)) {
        let admitted = match cap.admit(host::clock::monotonic_ns()) {
            Admission::Now => true,
            Admission::Wait(ticket) => ticket.await.is_ok(),
            Admission::Refused => false,
        };
        if !admitted {
            return text(state, known, &Refusal::new(503, "the rate cap is reached"));
        }
    }
    let number = if !known.check && shared.policy.needs_number(asked) { shared.draw_number() } else { 0 };
    let behaviour = shared.policy.decide(asked, number, known.check);
    if !behaviour.delay.is_zero() {
        tokio::time::sleep(behaviour.delay).await;
    }
    loop {
        let hold = shared.stall_remaining(host::clock::monotonic_ns(), !known.check);
        if hold.is_zero() {
            break;
        }
        tokio::time::sleep(hold).await;
    }
    behave(state, known, &behaviour).await
}

/// Builds the response that a behaviour describes; does not return when it is to be reset unanswered.
async fn behave(state: &Shared, known: &Known, behaviour: &Behaviour) -> Response<ReplyBody> {
    if behaviour.reset == Some(ResetAt::Accept) {
        // Pending for ever: hyper has nothing to write, and then the tap aborts.
        lock(state).reset = true;
        std::future::pending::<()>().await;
    }
    let (source, length) = if behaviour.help {
        (Source::Text(Bytes::from_static(HELP.as_bytes())), HELP.len() as u64)
    } else {
        (Source::Window { nonce: known.nonce }, behaviour.size)
    };
    let head_only = known.is_head || is_bodiless(behaviour.status);
    let course = Course {
        reset_at: match behaviour.reset {
            Some(ResetAt::Head) => Some(0),
            Some(ResetAt::Body) => Some(length / 2),
            _ => None,
        },
        stall: behaviour.stall,
        chunked: behaviour.chunked && !is_bodiless(behaviour.status),
        head_only,
    };
    if course.reset_at == Some(0) || (head_only && course.reset_at.is_some()) {
        // Without a body hyper never asks for one; the head is written before the tap looks.
        lock(state).reset = true;
    }
    let mut response = respond(state, known, behaviour.status, (source, length), course);
    let headers = response.headers_mut();
    if behaviour.no_cache {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    }
    if behaviour.close {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// A response of plain text: a reason.
fn text(state: &Shared, known: &Known, refusal: &Refusal) -> Response<ReplyBody> {
    let text = Bytes::from(format!("{}\n", refusal.reason));
    let length = text.len() as u64;
    let course = Course { head_only: known.is_head, ..Course::default() };
    respond(state, known, refusal.status, (Source::Text(text), length), course)
}

fn respond(
    state: &Shared,
    known: &Known,
    status: u16,
    (source, length): (Source, u64),
    course: Course,
) -> Response<ReplyBody> {
    let bodiless = is_bodiless(status);
    let sent = if bodiless { 0 } else { length };
    let body = ReplyBody::new(source, sent, course, Arc::clone(state), (status, known.check));
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if !bodiless && !course.chunked {
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    } else if known.version == Version::HTTP_10 {
        // HTTP/1.0 has no chunks: the end of the connection is the end of the body.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
