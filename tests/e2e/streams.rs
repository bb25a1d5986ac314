//! Seeded streams, good and evil, through a real `lb`: it neither hangs nor grows, a server gets only
//! what a client sent, and a client gets only the answer to its own request.

use std::collections::VecDeque;
use std::time::Duration;

use crate::corpus;
use crate::forwarded::{Hop, check_request, check_response};
use crate::harness::{exclusive, until};
use crate::proxies::Proxy;
use crate::random::{Random, seeds};
use crate::recorder::{Answer, Client, End, PATIENCE, Recorder};
use crate::strict::{self, Message, Tail};

/// Who may use a server connection again; each has its own ways to go wrong.
const REUSE: [&str; 3] = ["always", "safe", "never"];
/// Most descriptors when all clients are gone: 64 server connections are kept, and the program has its own.
const DESCRIPTORS_MAX: u64 = 100;
/// Rounds after which every buffer has been used; a shorter run is asked neither for growth nor for variety.
const WARM_ROUNDS: usize = 300;
/// How much anonymous memory may grow: every buffer there is, and the allocator's habits.
const GROWTH_MAX: u64 = 8 << 20;

/// Sends a stream in a few pieces, waits for what has to be answered, ends; returns what came back.
pub(crate) fn converse(proxy: &Proxy, bytes: &[u8], random: &mut Random, patience: Duration) -> Client {
    let mut client = Client::connect(proxy.address);
    let mut rest = bytes;
    for _ in 0..random.below(3) {
        let (piece, left) = rest.split_at(random.below(rest.len() + 1));
        client.send(piece);
        rest = left;
    }
    client.send(rest);
    let (meant, tail) = strict::requests(bytes);
    let expected = meant.len() + usize::from(matches!(tail, Tail::Bad(_)));
    if expected > 0 {
        let mut answers = 0;
        let mut seen = 0;
        client.read_until(patience, |got| {
            // Counted anew only when there is something new: this is asked after every read.
            if got.len() > seen {
                seen = got.len();
                answers = count_answers(got);
            }
            answers >= expected
        });
    }
    client.half_close();
    client.read_until(PATIENCE, |_| false);
    assert_ne!(client.end, End::Open, "{} hangs after {}", proxy.name, bytes.escape_ascii());
    client
}

fn count_answers(mut got: &[u8]) -> usize {
    let mut count = 0;
    while let Ok(Some(message)) = strict::response(got, false, false) {
        got = &got[message.length..];
        count += usize::from(message.start[1][0] != b'1');
    }
    count
}

/// The content of a request that is not whole, as far as it is there.
fn partial_content(bytes: &[u8]) -> Option<&[u8]> {
    bytes.windows(4).position(|it| it == b"\r\n\r\n").map(|end| &bytes[end + 4..])
}

/// Whether `rest`, which a server got of a request that never became whole, is of what a client sent last.
fn is_of(rest: &[u8], sent: &[u8]) -> bool {
    let whole: usize = strict::requests(sent).0.iter().map(|message| message.length).sum();
    let first = |bytes: &[u8]| bytes.split(|&byte| byte == b' ').next().map(<[u8]>::to_vec);
    let last = sent[whole..].strip_prefix(b"\r\n").unwrap_or_else(|| &sent[whole..]);
    let content = (partial_content(rest), partial_content(last));
    let (Some(got), Some(meant)) = content else { return false };
    first(rest) == first(last) && meant.starts_with(got)
}

/// `memory` is what each had when it was warm, if it ever was.
fn assert_settled(proxies: &mut [Proxy; 3], memory: Option<[u64; 3]>) {
    for (at, proxy) in proxies.iter_mut().enumerate() {
        proxy.assert_well();
        if let Some(memory) = memory.map(|memory| memory[at]) {
            let grown = proxy.memory().saturating_sub(memory);
            assert!(memory > 0 && grown < GROWTH_MAX, "anonymous memory grew by {grown} bytes");
        }
        let bounded = until(PATIENCE, || (proxy.descriptors() < DESCRIPTORS_MAX).then_some(()));
        assert!(bounded.is_some(), "{} descriptors are left", proxy.descriptors());
    }
}

/// A stream, sometimes behind a request that fits into no buffer, and that may be cut off or broken.
fn stream(random: &mut Random) -> Vec<u8> {
    let rest = corpus::request_stream(random);
    if !random.once_in(4) {
        return rest;
    }
    let content: Vec<u8> = corpus::request(random, 9, false).into_iter().cycle().take(random.below(60_000)).collect();
    let mut bytes = b"PUT /large HTTP/1.1\r\nHost: h\r\nN: 9\r\n".to_vec();
    if random.once_in(2) {
        bytes.extend(format!("Content-Length: {}\r\n\r\n", content.len()).into_bytes());
        bytes.extend(content);
    } else {
        bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
        for chunk in content.chunks(1 + random.below(20_000)) {
            let bad = random.once_in(20);
            bytes.extend(format!("{:x}\r\n", chunk.len() + usize::from(bad)).into_bytes());
            bytes.extend([chunk, b"\r\n"].concat());
        }
        bytes.extend_from_slice(b"0\r\n\r\n");
    }
    bytes.extend(rest);
    if random.once_in(3) {
        bytes.truncate(random.below(bytes.len() + 1));
    }
    bytes
}

#[test]
fn no_request_reaches_a_server_that_the_client_did_not_send() {
    let _alone = exclusive();
    let recorder = Recorder::start();
    let mut proxies = REUSE.map(|reuse| Proxy::lb(recorder.address, &format!("reuse = '{reuse}'")));
    let (mut whole, mut cut, mut rounds, mut memory) = (0, 0, 0, None);
    let mut recent: VecDeque<Vec<u8>> = VecDeque::new();
    for (round, seed) in seeds("requests over sockets", 2_000).enumerate() {
        rounds = round + 1;
        if round >= WARM_ROUNDS && memory.is_none() {
            memory = Some(proxies.each_ref().map(Proxy::memory));
        }
        let mut random = Random::new(seed);
        let bytes = stream(&mut random);
        let proxy = &proxies[round % REUSE.len()];
        let host = proxy.address.to_string();
        let hop = Hop { client: "127.0.0.1", host: &host };
        let client = converse(proxy, &bytes, &mut random, PATIENCE);
        let record = recorder.take();
        let meant = strict::requests(&bytes).0;
        let told = |what: &str| {
            let (sent, got) = (bytes.escape_ascii(), client.got.escape_ascii());
            format!("seed {seed}: {what}: {sent} became {:?}, answered {got}", record.whole)
        };
        assert!(record.whole.len() <= meant.len(), "{}", told("a request that nobody sent"));
        for (sent, got) in meant.iter().zip(&record.whole) {
            check_request(sent, got, &hop).unwrap_or_else(|why| panic!("{}", told(&why)));
        }
        for rest in &record.rests {
            // It may be known some moments after its client is gone.
            let known = is_of(rest, &bytes) || recent.iter().any(|before| is_of(rest, before));
            assert!(known, "{} and left {}", told("a rest that nobody sent"), rest.escape_ascii());
        }
        assert!(recorder.open() < DESCRIPTORS_MAX as usize, "seed {seed}: {} server connections", recorder.open());
        whole += record.whole.len();
        cut += record.rests.len();
        recent.push_back(bytes);
        recent.drain(..recent.len().saturating_sub(100));
    }
    println!("{whole} requests came whole, {cut} cut");
    let tests = rounds < WARM_ROUNDS || whole > rounds / 2 && cut > rounds / 200;
    assert!(tests, "{whole} whole, {cut} cut in {rounds} rounds: this tests nothing");
    assert_settled(&mut proxies, memory);
}

const ASKED: [&[u8]; 5] = [
    b"GET /first HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /first HTTP/1.0\r\n\r\n",
    b"GET /first HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"HEAD /first HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /first HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
];
const NEXT: &[u8] = b"GET /second HTTP/1.1\r\nHost: h\r\n\r\n";

/// The responses up to the one that counts; `None` if it is not whole or malformed.
fn to_final(mut bytes: &[u8], to_head: bool, closed: bool) -> Option<(Vec<Message>, &[u8])> {
    let mut found = Vec::new();
    loop {
        let message = strict::response(bytes, to_head, closed).ok()??;
        bytes = &bytes[message.length..];
        let counts = message.start[1][0] != b'1' || message.start[1] == b"101";
        found.push(message);
        if counts {
            return Some((found, bytes));
        }
    }
}

/// Whether what the client got is the answer that the server gave, or a refusal, or visibly cut.
fn check_answer(asked: &[u8], said: &[u8], closes: bool, client: &Client) -> Result<bool, String> {
    let (to_head, old) = (asked.starts_with(b"HEAD"), asked.windows(8).any(|it| it == b"HTTP/1.0"));
    if client.end == End::Reset {
        return Ok(false);
    }
    let Some((got, left)) = to_final(&client.got, to_head, client.end == End::Fin) else {
        return Err("half an answer looks whole".to_owned());
    };
    if !left.is_empty() {
        return Err("something follows the answer".to_owned());
    }
    let last = got.last().ok_or("there is no answer")?;
    let own = [b"502", b"504"].iter().find(|code| last.start[1] == code.as_slice());
    if own.is_some() && (to_head || last.body.starts_with(b"50")) {
        return Ok(false);
    }
    let (mut meant, _) = to_final(said, to_head, closes).ok_or("a malformed answer came through")?;
    meant.retain(|message| !(old && message.start[1][0] == b'1'));
    if meant.len() != got.len() {
        return Err(format!("{} responses, not {}", got.len(), meant.len()));
    }
    meant.iter().zip(&got).try_for_each(|(server, client)| check_response(server, client, old)).map(|()| true)
}

fn switches((all, _): (Vec<Message>, &[u8])) -> bool {
    all.last().is_some_and(|it| it.start[1] == b"101")
}

/// Asks once more, on this connection or on another, where a wrong answer would come out.
fn check_next(proxy: &Proxy, client: Option<Client>) -> Result<(), String> {
    let mut client = client.unwrap_or_else(|| {
        let mut client = Client::connect(proxy.address);
        // The second request of a connection may be given a server connection that was kept.
        client.send(b"GET /other HTTP/1.1\r\nHost: h\r\n\r\n");
        client.read_until(PATIENCE, |got| count_answers(got) == 1);
        client
    });
    client.got.clear();
    client.send(NEXT);
    client.read_until(PATIENCE, |got| count_answers(got) == 1);
    let bodies: Vec<_> = client.answers().into_iter().map(|answer| answer.body).collect();
    if bodies == [b"second"] { Ok(()) } else { Err(format!("the next request got {}", client.got.escape_ascii())) }
}

#[test]
fn a_client_gets_the_answer_to_its_own_request_and_nothing_else() {
    let _alone = exclusive();
    let recorder = Recorder::start();
    let mut proxies = REUSE.map(|reuse| Proxy::lb(recorder.address, &format!("reuse = '{reuse}'")));
    let second = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond".to_vec();
    recorder.answer("/second", Answer { bytes: second, close: false });
    let (mut passed, mut refused, mut same_connection, mut memory) = (0, 0, 0, None);
    let mut rounds = 0;
    for (round, seed) in seeds("responses over sockets", 2_000).enumerate() {
        rounds = round + 1;
        if round >= WARM_ROUNDS && memory.is_none() {
            memory = Some(proxies.each_ref().map(Proxy::memory));
        }
        let mut random = Random::new(seed);
        let proxy = &proxies[round % REUSE.len()];
        let asked = random.pick(&ASKED);
        let said = corpus::response_stream(&mut random);
        let to_head = asked.starts_with(b"HEAD");
        // A server that closes behind half a message is soon done with; one that waits takes its time.
        let close = to_final(&said, to_head, false).is_none_or(switches);
        recorder.answer("/first", Answer { bytes: said.clone(), close });
        let mut client = Client::connect(proxy.address);
        client.send(asked);
        client.read_until(PATIENCE, |got| to_final(got, to_head, false).is_some());
        let told = |client: &Client, why: &str| {
            let (asked, said, got) = (asked.escape_ascii(), said.escape_ascii(), client.got.escape_ascii());
            format!("seed {seed}: {why}: {asked} was answered {said} and got {got}, {:?}", client.end)
        };
        assert!(
            client.end != End::Open || to_final(&client.got, to_head, false).is_some(),
            "{}",
            told(&client, "hang")
        );
        if to_final(&client.got, to_head, false).is_some_and(switches) {
            // What follows is the other protocol's.
            passed += 1;
            continue;
        }
        match check_answer(asked, &said, close, &client) {
            Ok(true) => passed += 1,
            Ok(false) => refused += 1,
            Err(why) => panic!("{}", told(&client, &why)),
        }
        let stays = client.answers().last().is_some_and(|it| it.list("connection") != ["close"]);
        let goes_on = client.end == End::Open && stays && !to_head;
        same_connection += usize::from(goes_on);
        drop(recorder.take());
        check_next(proxy, Some(client).filter(|_| goes_on))
            .unwrap_or_else(|why| panic!("seed {seed}: {why} after {}", said.escape_ascii()));
    }
    println!("{passed} responses passed, {refused} refused, {same_connection} connections went on");
    let tests = passed > rounds / 4 && refused > rounds * 3 / 20 && same_connection > rounds * 3 / 20;
    assert!(rounds < WARM_ROUNDS || tests, "{passed}, {refused}, {same_connection} of {rounds}: this tests nothing");
    assert_settled(&mut proxies, memory);
}

/// Requests of one client, each for something only it asks for; how many were answered.
fn ask_for_echoes(proxy: &Proxy, name: usize, random: &mut Random) -> Result<usize, String> {
    let mut count = 0;
    for connection in 0..8 {
        let mut client = Client::connect(proxy.address);
        for number in 0..=random.below(8) {
            let target = format!("/echo/{name}-{connection}-{number}");
            client.got.clear();
            client.send(format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes());
            client.read_until(PATIENCE, |got| count_answers(got) == 1);
            let bodies: Vec<_> = client.answers().into_iter().map(|answer| answer.body).collect();
            if bodies != [target.as_bytes()] {
                return Err(format!("asked for {target}, got {} {:?}", client.got.escape_ascii(), client.end));
            }
            count += 1;
        }
    }
    Ok(count)
}

#[test]
fn what_others_send_and_are_sent_changes_nobodys_answer() {
    let _alone = exclusive();
    let recorder = Recorder::start();
    let mut proxies = REUSE.map(|reuse| Proxy::lb(recorder.address, &format!("reuse = '{reuse}'")));
    let (mut answered, mut rounds, memory) = (0, 0, Some(proxies.each_ref().map(Proxy::memory)));
    for (round, seed) in seeds("neighbours", 45).enumerate() {
        rounds = round + 1;
        let proxy = &proxies[round % REUSE.len()];
        let said = corpus::response_stream(&mut Random::new(seed));
        let close = to_final(&said, false, false).is_none_or(switches);
        recorder.answer("/first", Answer { bytes: said, close });
        answered += std::thread::scope(|scope| {
            for number in 0..3 {
                scope.spawn(move || {
                    let mut random = Random::new(seed.wrapping_mul(8) + number);
                    for _ in 0..16 {
                        let evil = stream(&mut random);
                        converse(proxy, &evil, &mut random, Duration::from_millis(20));
                        converse(proxy, ASKED[0], &mut random, Duration::from_millis(20));
                    }
                });
            }
            let ask = |name: usize| move || ask_for_echoes(proxy, name, &mut Random::new(seed + name as u64));
            let asking = [1, 2, 3].map(|name| scope.spawn(ask(name)));
            let answers =
                asking.map(|asking| asking.join().unwrap().unwrap_or_else(|why| panic!("seed {seed}: {why}")));
            answers.iter().sum::<usize>()
        });
        drop(recorder.take());
    }
    println!("{answered} requests between others were answered");
    assert!(answered > 22 * rounds && rounds > 0, "{answered} in {rounds} rounds: this tests nothing");
    assert_settled(&mut proxies, memory);
}
