//! A part of a request head has come; no server has been chosen yet. HTTP only.

use crate::row::{Bound, Content, End, Fault, HTTP, Phase, Row, Sees, Side, Step::*, Timeout};

const BY_CLIENT: Row = Row { phase: Phase::Head, side: Side::Client, ..HTTP };
const PART: &str = "GET / HTTP/1.1\r\nHost: h\r\nA: ";

pub(crate) const ROWS: &[Row] = &[
    Row {
        fault: Fault::Kill,
        how: "closes within the head",
        client: &[Say(PART), Close],
        counted: &["request_errors", "4xx"],
        ..BY_CLIENT
    },
    Row {
        fault: Fault::Stall,
        how: "says no more",
        client: &[Say(PART)],
        client_sees: Sees(Content::Status(408), End::Fin),
        bound: Bound::After(Timeout::ClientHead),
        counted: &["timeouts", "request_errors", "4xx"],
        ..BY_CLIENT
    },
    Row {
        fault: Fault::HalfClose,
        how: "sends a FIN within the head",
        client: &[Say(PART), HalfClose],
        client_sees: Sees(Content::Status(400), End::Fin),
        counted: &["request_errors", "4xx"],
        ..BY_CLIENT
    },
    Row { fault: Fault::Reset, how: "sends a RST within the head", client: &[Say(PART), Reset], ..BY_CLIENT },
    Row {
        fault: Fault::Trickle,
        how: "goes on byte by byte: the bound is for the whole head",
        client: &[Say(PART), Trickle("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")],
        client_sees: Sees(Content::Status(408), End::Fin),
        bound: Bound::After(Timeout::ClientHead),
        counted: &["timeouts", "request_errors", "4xx"],
        ..BY_CLIENT
    },
];

#[test]
fn faults_within_a_request_head() {
    crate::judge::judge(ROWS);
}
