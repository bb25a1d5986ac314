//! The same bytes to the reference LB, to haproxy and to nginx, each before a server of its own.
//!
//! What the reference LB forwards has the same boundaries as what the others forward of the same bytes,
//! and it forwards nothing that both of them refuse. What it refuses and they do not is counted by the
//! reason it gives, and printed: strictness is a choice, laxness a defect.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::corpus;
use crate::harness::{available, exclusive, has_program};
use crate::proxies::Proxy;
use crate::random::{Random, seeds};
use crate::recorder::{PATIENCE, Recorder};
use crate::streams::converse;
use crate::strict::{self, Message};

/// How long an answer may take before the client ends its direction; what is decided by less is asked again.
const HASTE: Duration = Duration::from_millis(150);

/// One load balancer and its server.
struct Lane {
    proxy: Proxy,
    recorder: Recorder,
}

/// What became of a stream.
struct Outcome {
    /// Method, number and content of the requests that came whole.
    whole: Vec<(Vec<u8>, Vec<String>, Vec<u8>)>,
    /// First line of the last answer and its text.
    last: String,
}

impl Lane {
    fn new(proxy: impl Fn(std::net::SocketAddr) -> Proxy) -> Self {
        let recorder = Recorder::start();
        Self { proxy: proxy(recorder.address), recorder }
    }

    fn pass(&self, bytes: &[u8], seed: u64, patience: Duration) -> Outcome {
        let client = converse(&self.proxy, bytes, &mut Random::new(seed), patience);
        let essence = |message: Message| {
            let number = message.list("n");
            (message.start[0].clone(), number, message.body)
        };
        let whole = self.recorder.take().whole.into_iter().map(essence).collect();
        let last = client.answers().last().map_or_else(String::new, |answer| {
            let text = String::from_utf8_lossy(&answer.body);
            text.lines().next().unwrap_or("none: the connection ended as the client had asked").to_owned()
        });
        Outcome { whole, last }
    }
}

fn is_prefix_of_the_other(one: &Outcome, other: &Outcome) -> bool {
    one.whole.iter().zip(&other.whole).all(|(one, other)| one == other)
}

/// Whether `name` refuses sound requests like this one for reasons of its own, which say nothing about
/// where a message ends.
fn is_peculiar(name: &str, request: &Message) -> bool {
    let [method, target, _] = &request.start;
    match name {
        // Its authority ends at a slash only, and it asks more of a WebSocket than HTTP does.
        "haproxy" => {
            let ends_in_query = strict::split_absolute(target).is_some_and(|(_, _, rest)| rest.starts_with(b"?"));
            let websocket = request.list("upgrade").iter().any(|offer| offer == "websocket");
            ends_in_query || (websocket && request.values("sec-websocket-key").is_empty())
        }
        // It decodes the path, wants methods in capitals, knows no asterisk and no field twice.
        "nginx" => {
            let capitals = method.iter().all(|byte| byte.is_ascii_uppercase() || b"_-".contains(byte));
            let twice = ["expect", "upgrade", "te", "date", "via", "keep-alive"];
            let twice = twice.iter().any(|name| request.values(name).len() > 1);
            !capitals || target.contains(&b'%') || target.as_slice() == b"*" || twice
        }
        _ => false,
    }
}

#[test]
fn the_reference_lb_is_nowhere_laxer_than_haproxy_and_nginx_both_are() {
    if !available("haproxy and nginx", has_program("haproxy") && has_program("nginx")) {
        return;
    }
    let _alone = exclusive();
    let mut lb = Lane::new(|server| Proxy::lb(server, ""));
    let mut others = [Lane::new(Proxy::haproxy), Lane::new(Proxy::nginx)];
    let mut stricter: BTreeMap<String, [u32; 2]> = BTreeMap::new();
    let (mut agreed, mut refused, mut faults) = (0, 0, Vec::new());
    for seed in seeds("the same bytes to three load balancers", 1_500) {
        let bytes = corpus::request_stream(&mut Random::new(seed));
        let ours = lb.pass(&bytes, seed, PATIENCE);
        let mut theirs = others.each_ref().map(|lane| lane.pass(&bytes, seed, HASTE));
        if theirs.iter().all(|it| it.whole.len() < ours.whole.len()) {
            theirs = others.each_ref().map(|lane| lane.pass(&bytes, seed, Duration::from_secs(2)));
        }
        let told = |what: &str| {
            let all = [&ours, &theirs[0], &theirs[1]].map(|it| format!("{:?} {:?}", it.whole, it.last));
            format!(
                "seed {seed}: {what}: {}\n  lb {}\n  haproxy {}\n  nginx {}",
                bytes.escape_ascii(),
                all[0],
                all[1],
                all[2]
            )
        };
        for (their, lane) in theirs.iter().zip(&others) {
            if !is_prefix_of_the_other(&ours, their) {
                faults.push(told(&format!("{} sees other boundaries", lane.proxy.name)));
            }
        }
        let meant = strict::requests(&bytes).0;
        let refuses = |(their, lane): (&Outcome, &Lane)| {
            let has_excuse = meant.get(their.whole.len()).is_some_and(|first| is_peculiar(lane.proxy.name, first));
            their.whole.len() < ours.whole.len() && !has_excuse
        };
        if theirs.iter().zip(&others).all(refuses) {
            faults.push(told("laxer than both"));
        }
        if theirs.iter().any(|it| it.whole.len() > ours.whole.len()) {
            let counts = stricter.entry(ours.last).or_default();
            for (count, their) in counts.iter_mut().zip(&theirs) {
                *count += u32::from(their.whole.len() > ours.whole.len());
            }
            refused += 1;
        } else {
            agreed += 1;
        }
    }
    println!("{agreed} streams: no more came through any other; {refused}: the reference LB is stricter");
    println!("{:>7} {:>7}  streams of which more came through than past our", "haproxy", "nginx");
    for (why, [haproxy, nginx]) in &stricter {
        println!("{haproxy:>7} {nginx:>7}  {why}");
    }
    assert!(
        faults.is_empty(),
        "{} faults, the first ones:\n{}",
        faults.len(),
        faults[..faults.len().min(8)].join("\n")
    );
    assert!(agreed > 500 && refused > 20, "{agreed} agreed, {refused} refused: this tests nothing");
    lb.proxy.assert_well();
    others.iter_mut().for_each(|lane| lane.proxy.assert_well());
}
