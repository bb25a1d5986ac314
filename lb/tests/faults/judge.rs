//! Plays a row and judges it: what both sides saw and when, what was counted, what is left.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use crate::play::{Actor, Stage};
use crate::process::{Lb, until};
use crate::row::{Content, End, Fault, LONG, MUCH, Mode, Row, SHORT, Side, Timeout};
use crate::servers::{GOOD, GOOD_ANSWER, Servers};

/// Plays all rows and says which of them failed.
pub(crate) fn judge(rows: &'static [Row]) {
    let failed = rows.iter().filter(|row| catch_unwind(AssertUnwindSafe(|| judge_row(row))).is_err());
    let failed: Vec<_> = failed.map(name).collect();
    assert!(failed.is_empty(), "{} of {} rows failed: {failed:#?}", failed.len(), rows.len());
}

fn name(row: &Row) -> String {
    format!("{:?} {:?} {:?} by the {:?}: {}", row.mode, row.phase, row.fault, row.side, row.how)
}

fn judge_row(row: &'static Row) {
    let stage = Arc::new(Stage::default());
    let mut servers = Servers::start(row, &stage);
    let lb = Lb::start(&service(row), &servers.addresses);
    let before = lb.counters();
    // Its own timeouts are not the row's: it has been there for less time when the row ends.
    let holder = (row.fault == Fault::Full).then(|| lb.connect());
    let others = usize::from(holder.is_some() && row.mode == Mode::Tcp);
    stage.wait("the server's connection of the other client", |state| state.server_ends.len() == others);
    let began = Instant::now();
    let mut client = Actor::new(&stage, Side::Client, lb.connect());
    client.play(row.client);
    hear_the_end(row, &mut client);
    stage.change(|state| state.client_end = client.end);
    await_server_ends(row, &stage);
    judge_views(row, &client, &stage, others);
    let mut expected: BTreeMap<String, u64> = BTreeMap::new();
    row.counted.iter().for_each(|name| *expected.entry((*name).to_owned()).or_default() += 1);
    if row.client_sees.1 == End::Kept {
        servers.heal();
        client.heard.clear();
        client.say(GOOD[row.mode as usize]);
        hear_the_end(row, &mut client);
        assert!(client.heard.ends_with(b"good"), "{}: the connection was not kept", name(row));
        *expected.entry("2xx".to_owned()).or_default() += 1;
    }
    drop((client, holder));
    until(|| "nobody was accepted".to_owned(), || lb.counters()["sessions"] > before["sessions"]);
    lb.is_idle();
    judge_times(row, &stage, began, Instant::now());
    let mut after = lb.counters();
    after.remove("sessions");
    let counted: BTreeMap<_, _> = after
        .iter()
        .map(|(name, count)| (name.clone(), count - before[name]))
        .filter(|(_, count)| *count > 0)
        .collect();
    assert_eq!(counted, expected, "{}: counted, expected", name(row));
    servers.heal();
    good_request(row, &lb);
    for (number, end) in row.server_sees.iter().enumerate() {
        let is_kept = stage.state().good_on.contains(&number);
        assert!(is_kept || *end != End::Kept, "{}: server connection {number} was not kept", name(row));
    }
    stage.end();
    lb.settles();
}

fn service(row: &Row) -> String {
    let timeouts: Vec<_> = Timeout::ALL
        .iter()
        .map(|timeout| {
            let time = if row.bound.timeout() == Some(*timeout) { SHORT } else { LONG };
            format!("{} = '{}ms'", timeout.key(), time.as_millis())
        })
        .collect();
    let mode = match row.mode {
        Mode::Http => "mode = 'http'\nreuse = 'always'",
        Mode::Tcp => "mode = 'tcp'",
    };
    format!(
        "{mode}\nretries = {}\ntimeouts = {{ {} }}\n{}",
        u8::from(row.second_server),
        timeouts.join(", "),
        row.service
    )
}

/// Reads to the end that the row expects.
fn hear_the_end(row: &Row, client: &mut Actor) {
    match row.client_sees.1 {
        End::Gone => {}
        End::Kept => {
            while !is_whole(&client.heard) && client.read(1 << 16) {}
            client.end = client.end.or_else(|| Some((End::Kept, Instant::now())));
        }
        End::Fin | End::Reset | End::Closed => while !client.is_closed() && client.read(1 << 16) {},
    }
}

/// Waits until the server has seen as many connections end as the row says.
fn await_server_ends(row: &Row, stage: &Stage) {
    for (number, end) in row.server_sees.iter().enumerate().filter(|(_, end)| **end != End::Kept) {
        stage.wait(&format!("{}: server connection {number} to see {end:?}", name(row)), |state| {
            state.server_ends.get(number).is_some_and(Option::is_some)
        });
    }
}

/// `others` is how many server connections are those of another client.
fn judge_views(row: &Row, client: &Actor, stage: &Stage, others: usize) {
    let name = name(row);
    let heard = || client.heard[..client.heard.len().min(400)].escape_ascii().to_string();
    let end = client.end.map(|(end, _)| end);
    assert!(
        end.is_some_and(|end| matches(row.client_sees.1, end)),
        "{name}: the client sees {end:?} after {}",
        heard()
    );
    let is_expected = match row.client_sees.0 {
        // Who has gone sees nothing; what came before its fault is part of the steps.
        _ if row.client_sees.1 == End::Gone => true,
        Content::Nothing => client.heard.is_empty(),
        Content::Status(status) => status_of(&client.heard) == Some(status) && is_whole(&client.heard),
        Content::Part(status) => status_of(&client.heard) == Some(status) && !is_whole(&client.heard),
        Content::Bytes(bytes) => client.heard == bytes.as_bytes(),
        Content::Some => (1..MUCH).contains(&client.heard.len()),
        Content::All => client.heard.len() == MUCH,
    };
    assert!(is_expected, "{name}: the client got {} bytes: {}", client.heard.len(), heard());
    let seen: Vec<_> =
        stage.state().server_ends.iter().skip(others).map(|end| end.map_or(End::Kept, |(end, _)| end)).collect();
    let is_expected = seen.len() == row.server_sees.len()
        && row.server_sees.iter().zip(&seen).all(|(expected, end)| matches(*expected, *end));
    assert!(is_expected, "{name}: the server sees {seen:?}, not {:?}", row.server_sees);
}

fn matches(expected: End, seen: End) -> bool {
    expected == seen || expected == End::Closed && matches!(seen, End::Fin | End::Reset)
}

fn judge_times(row: &Row, stage: &Stage, began: Instant, idle: Instant) {
    let state = stage.state();
    let seen = |end: &(End, Instant)| (end.0 != End::Gone).then_some(end.1);
    let client = state.client_end.as_ref().and_then(seen);
    let last = client.into_iter().chain(state.server_ends.iter().flatten().filter_map(seen)).max().unwrap_or(idle);
    let (shortest, longest) = row.bound.range();
    let (took, first) = (last - began, client.unwrap_or(last) - began);
    assert!(took <= longest && first >= shortest, "{}: took {took:?}, not {shortest:?} to {longest:?}", name(row));
}

/// A fresh client is served.
fn good_request(row: &Row, lb: &Lb) {
    let mut stream = lb.connect();
    stream.write_all(GOOD[row.mode as usize].as_bytes()).unwrap();
    if row.mode == Mode::Http {
        // One that is over with its answer.
        stream.shutdown(Shutdown::Write).unwrap();
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap_or_else(|error| panic!("{}: then {error} after {answer:?}", name(row)));
    let good = GOOD_ANSWER[row.mode as usize];
    let is_good = if row.mode == Mode::Http { answer.ends_with("\r\n\r\ngood") } else { answer == good };
    assert!(is_good, "{}: the next good request got {answer:?}", name(row));
}

fn status_of(heard: &[u8]) -> Option<u16> {
    std::str::from_utf8(heard.get(9..12)?).ok()?.parse().ok()
}

/// Whether a response is as long as it says; one that does not say ends with its connection.
fn is_whole(heard: &[u8]) -> bool {
    let Some(end) = heard.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&heard[..end]);
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    length.is_none_or(|length| heard.len() - end - 4 == length.parse::<usize>().unwrap())
}
