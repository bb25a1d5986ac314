//! The HTTP workload against scripted answers.

use super::*;
use crate::scenario::plan::BodyCheck;

fn workload(operation: Operation, requests: Option<u32>, close: CloseMode) -> Http {
    let plan = HttpPlan {
        request: "/?s=10".to_owned(),
        host: String::new(),
        headers: vec![("X-Test".to_owned(), "1".to_owned())],
        status: 200,
        body: BodyCheck::Table { length: 10 },
    };
    Http::new(HttpConfig {
        plan,
        host: "127.0.0.1:80".to_owned(),
        body: ExpectedBody::Table(10),
        operation,
        requests_per_connection: requests.and_then(NonZeroU32::new),
        close,
        seed: 7,
    })
}

/// What a reflector answers to this request.
fn answer(http: &mut Http, user: &HttpUser, fields: &str) -> Vec<u8> {
    let request = String::from_utf8(http.request(user).to_vec()).unwrap();
    let nonce = request.split("x-nadare-nonce: ").nth(1).unwrap()[..8].to_owned();
    let nonce = wire::identity::parse_nonce(nonce.as_bytes()).unwrap();
    let mut bytes =
        format!("HTTP/1.1 200 OK\r\nX-Nadare-Instance: r0\r\n{fields}Content-Length: 10\r\n\r\n").into_bytes();
    bytes.extend_from_slice(wire::body::window(nonce, 0, 10));
    bytes
}

#[test]
fn one_request_then_close_by_the_client() {
    let mut http = workload(Operation::Connection, Some(1), CloseMode::ClientFin);
    let mut user = HttpUser::default();
    assert_eq!(http.start(&mut user), Step::Send);
    let request = String::from_utf8(http.request(&user).to_vec()).unwrap();
    assert!(request.starts_with("GET /?s=10 HTTP/1.1\r\nHost: 127.0.0.1:80\r\nUser-Agent: nadare\r\nX-Test: 1\r\n"));
    assert!(request.ends_with("\r\n\r\n") && !request.contains("close"), "{request}");
    let bytes = answer(&mut http, &user, "");
    let mut noticed = Noticed::default();
    assert_eq!(http.received(&mut user, &bytes, &mut noticed), Step::Close(CloseMode::ClientFin));
    assert_eq!(noticed, Noticed { first_byte: true, transaction: true, body_bytes: 10 });
    assert_eq!(http.instances(), [("r0".to_owned(), 1)]);
}

#[test]
fn the_last_request_asks_the_server_to_close() {
    let mut http = workload(Operation::Connection, Some(2), CloseMode::ServerFin);
    let mut user = HttpUser::default();
    http.start(&mut user);
    assert!(!http.request(&user).windows(5).any(|w| w == b"close"));
    let bytes = answer(&mut http, &user, "");
    assert_eq!(http.received(&mut user, &bytes, &mut Noticed::default()), Step::Send);
    assert!(http.request(&user).windows(5).any(|w| w == b"close"));
    let bytes = answer(&mut http, &user, "Connection: close\r\n");
    assert_eq!(http.received(&mut user, &bytes, &mut Noticed::default()), Step::Close(CloseMode::ServerFin));
}

#[test]
fn a_response_is_the_same_however_it_is_cut() {
    let mut http = workload(Operation::Transaction, None, CloseMode::ClientFin);
    for cut in 1..110 {
        let mut user = HttpUser::default();
        http.start(&mut user);
        let mut bytes = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n".to_vec();
        bytes.extend(answer(&mut http, &user, ""));
        let cut = cut.min(bytes.len() - 1);
        let mut noticed = Noticed::default();
        assert_eq!(http.received(&mut user, &bytes[..cut], &mut noticed), Step::Need, "cut at {cut}");
        assert_eq!(http.received(&mut user, &bytes[cut..], &mut noticed), Step::Keep, "cut at {cut}");
        assert_eq!(noticed, Noticed { first_byte: true, transaction: true, body_bytes: 10 }, "cut at {cut}");
    }
}

#[test]
fn wrong_answers_fail_by_kind() {
    let long_head = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(20_000));
    let cases: [(&str, Outcome); 6] = [
        ("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", Outcome::BadStatus),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n012345678", Outcome::BadPayload),
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789", Outcome::BadPayload),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", Outcome::BadResponse),
        ("SSH-2.0-OpenSSH\r\n", Outcome::BadResponse),
        (&long_head, Outcome::BadResponse),
    ];
    for (text, outcome) in cases {
        let mut http = workload(Operation::Connection, Some(1), CloseMode::ClientFin);
        let mut user = HttpUser::default();
        http.start(&mut user);
        let mut step = Step::Need;
        for piece in text.as_bytes().chunks(1_000) {
            step = http.received(&mut user, piece, &mut Noticed::default());
            if step != Step::Need {
                break;
            }
        }
        assert_eq!(step, Step::Fail(outcome), "{}", &text[..text.len().min(60)]);
        assert!(!http.detail(&user).is_empty());
    }
}

#[test]
fn an_endless_body_fails_as_soon_as_it_is_too_long() {
    let mut http = workload(Operation::Connection, Some(1), CloseMode::ClientFin);
    let mut user = HttpUser::default();
    http.start(&mut user);
    let step = http.received(&mut user, b"HTTP/1.1 200 OK\r\n\r\n0123456789ABCDEF", &mut Noticed::default());
    assert_eq!(step, Step::Fail(Outcome::BadPayload));
}

#[test]
fn bytes_after_the_response_are_refused() {
    let mut http = workload(Operation::Transaction, None, CloseMode::ClientFin);
    let mut user = HttpUser::default();
    http.start(&mut user);
    let mut bytes = answer(&mut http, &user, "");
    bytes.push(b'x');
    assert_eq!(http.received(&mut user, &bytes, &mut Noticed::default()), Step::Fail(Outcome::BadResponse));
}

#[test]
fn a_fin_before_the_end_is_a_failure_and_after_an_unframed_body_its_end() {
    let mut http = workload(Operation::Connection, Some(1), CloseMode::ClientFin);
    let mut user = HttpUser::default();
    http.start(&mut user);
    assert_eq!(http.ended(&mut user, &mut Noticed::default()), Step::Fail(Outcome::ClosedEarly));

    let mut user = HttpUser::default();
    http.start(&mut user);
    let mut bytes = b"HTTP/1.0 200 OK\r\n\r\n".to_vec();
    bytes.extend_from_slice(wire::body::window(user.nonce, 0, 10));
    let mut noticed = Noticed::default();
    assert_eq!(http.received(&mut user, &bytes, &mut noticed), Step::Need);
    assert_eq!(http.ended(&mut user, &mut noticed), Step::Close(CloseMode::ClientFin));
    assert!(noticed.transaction);
}

#[test]
fn a_held_connection_goes_on_until_the_server_closes_it() {
    let mut http = workload(Operation::Held, None, CloseMode::ClientFin);
    let mut user = HttpUser::default();
    http.start(&mut user);
    for _ in 0..3 {
        let bytes = answer(&mut http, &user, "");
        assert_eq!(http.received(&mut user, &bytes, &mut Noticed::default()), Step::Hold);
        assert_eq!(http.woken(&mut user), Step::Send);
    }
    let bytes = answer(&mut http, &user, "Connection: close\r\n");
    assert_eq!(http.received(&mut user, &bytes, &mut Noticed::default()), Step::Fail(Outcome::HoldLost));
}

#[test]
fn the_first_answer_of_a_foreign_server_tells_its_length() {
    let wire =
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    for cut in 1..wire.len() {
        let mut answer = FirstAnswer::default();
        answer.take(&wire[..cut]).unwrap();
        assert!(!answer.is_complete());
        answer.take(&wire[cut..]).unwrap();
        assert!(answer.is_complete());
        assert_eq!((answer.status(), answer.body_bytes()), (200, 3));
    }
    assert!(FirstAnswer::default().take(b"").is_err());
    assert!(FirstAnswer::default().take(b"nonsense\r\n\r\n").is_err());
}
