//! Files that are read and files that are refused.

use super::*;
use crate::config::{Datagrams, Faults, OneIn, Stalled};

fn read(text: &str) -> Result<Config, String> {
    Config::from_toml("r.toml", text).map_err(|error| error.to_string())
}

const LISTEN: &str = "[[listen]]\naddress = \"127.0.0.1:0\"\n";

#[test]
fn a_file_that_says_everything_is_read() {
    let config = read(
        r#"
        instance = "r1"
        threads = 2
        cores = [0, 1]
        seed = 7
        size = { uniform = ["1k", "10k"] }
        delay = "5ms"
        status = 201
        failure_share = "1%"
        failure_status = 500
        stall = { at = "3s", length = "1s", every = "10s" }
        rate_cap = { rate = "1000/s", over = "queue", unit = "requests", burst = "2ms" }
        connection_cap = 500
        drain = "2s"
        [udp]
        drop = 1000
        corrupt = "10+3"
        swap = 400
        swap_wait = "50ms"
        stall = "drop"
        [limits]
        head = "8k"
        body = "1M"
        head_timeout = "1s"
        [checks]
        user_agents = ["haproxy"]
        paths = ["/health"]
        [[listen]]
        address = "127.0.0.1:8080"
        [[listen]]
        address = "[::1]:9000"
        kind = "tcp"
        [[listen]]
        address = "[::]:9000"
        kind = "udp"
        [[listen]]
        address = "[::]:9001"
        kind = "udp-sink"
        "#,
    )
    .unwrap();
    assert_eq!(config.listeners[1], Listener { address: "[::1]:9000".parse().unwrap(), kind: Kind::Tcp });
    assert_eq!(config.defaults.size, Spread::Uniform(1024.0, 10_240.0));
    assert_eq!(config.defaults.delay, Spread::Fixed(0.005));
    assert_eq!(config.defaults.failures, Some(Failures { per_billion: 10_000_000, status: 500 }));
    let cap = config.rate_cap.unwrap();
    assert_eq!((cap.over, cap.unit, cap.burst), (Over::Queue, CapUnit::Requests, Duration::from_millis(2)));
    let kinds: Vec<Kind> = config.listeners.iter().map(|listener| listener.kind).collect();
    assert_eq!(kinds, Kind::ALL);
    let Datagrams { faults, swap_wait, delay, stall } = config.datagrams;
    let [drop, swap] = [1000, 400].map(OneIn::new);
    let corrupt = OneIn::new(10).unwrap().at(3);
    assert_eq!(faults, Faults { drop, corrupt, duplicate: None, swap });
    let ms = Duration::from_millis;
    assert_eq!((swap_wait, delay, stall), (ms(50), ms(5), Stalled::Drop));
    assert_eq!((config.limits.head_bytes, config.limits.body_bytes), (8192, 1 << 20));
    assert_eq!(config.checks.paths, ["/health"]);
}

#[test]
fn a_file_that_says_only_where_to_listen_gets_the_defaults() {
    let config = read(LISTEN).unwrap();
    assert_eq!(config, Config { instance: "reflector".into(), ..Config::new("x", "127.0.0.1:0".parse().unwrap()) });
    assert_eq!(read(&format!("delay = \"10ms\"\nsize = 20\n{LISTEN}")).unwrap().defaults.delay, Spread::Fixed(0.01));
}

#[test]
fn what_is_written_can_be_read_back() {
    let file: File = wire::document::Document::new("r.toml", format!("delay = {{ exponential = \"5ms\" }}\n{LISTEN}"))
        .parse()
        .unwrap();
    let json = serde_json::to_string(&file).unwrap();
    assert_eq!(serde_json::from_str::<File>(&json).unwrap(), file);
}

#[test]
fn what_cannot_be_run_is_refused_at_its_line_with_what_is_allowed() {
    let refused = |line: &str| read(&format!("{line}\n{LISTEN}")).unwrap_err();
    for (line, message) in [
        ("delai = 1", "r.toml:1: delai: unknown field `delai`"),
        ("instance = \"a b\"", "r.toml:1: instance: \"a b\" cannot be a name; expected 1 to 64 visible ASCII"),
        ("status = 100", "r.toml:1: status: 100 is not a final status; expected 200 to 599"),
        ("delay = \"2h\"", "r.toml:1: delay: too large; expected at most 1h"),
        ("delay = \"fast\"", "r.toml:1: delay: \"fast\" is not a duration; expected a number with us, ms"),
        ("delay = { normal = \"1ms\" }", "r.toml:1: delay.normal: unknown variant `normal`, expected"),
        ("size = { uniform = [2, 1] }", "r.toml:1: size: the first value of uniform is above the second"),
        ("failure_share = \"101%\"", "r.toml:1: failure_share: 101% is more than all; expected 0% to 100%"),
        ("failure_status = 500", "r.toml:1: failure_status: has no effect without failure_share"),
        ("reset = \"tail\"", "r.toml:1: reset: \"tail\" is no point of a connection; expected accept, head or body"),
        (
            "stall = { at = \"1s\", length = \"2s\", every = \"2s\" }",
            "r.toml:1: stall.every: 2s leaves no time between stalls of 2s; expected more",
        ),
        ("limits = { head = \"1k\" }", "r.toml:1: limits.head: 1024 bytes; expected 8k to 1M"),
        ("limits = { idle_timeout = \"0s\" }", "r.toml:1: limits.idle_timeout: 0s; expected more than that"),
        ("rate_cap = { rate = 0.0009 }", "r.toml:1: rate_cap.rate: 0.0009/s is too slow; expected at least 0.001/s"),
        ("rate_cap = { rate = 0 }", "r.toml:1: rate_cap.rate: \"0\" is not a rate"),
        (
            "rate_cap = { rate = 1, unit = \"datagrams\" }",
            "r.toml:1: rate_cap.unit: no listener has datagrams; expected connections or requests",
        ),
        ("udp = { drop = 5 }", "r.toml:1: udp: has no effect without a listener of kind udp"),
    ] {
        let error = refused(line);
        assert!(error.starts_with(message), "{error}\nexpected {message}");
    }
    assert!(read("").unwrap_err().contains("no address to listen on"));
}

#[test]
fn what_datagrams_cannot_have_is_refused() {
    let read = |line: &str| read(&format!("{line}\n{LISTEN}kind = \"udp\""));
    for (line, message) in [
        ("udp = { drop = 0 }", "r.toml:1: udp.drop: \"0\" is not one in so many; expected N for one in N, or N+K"),
        ("udp = { swap = \"7+7\" }", "r.toml:1: udp.swap: \"7+7\" is not one in so many; expected N"),
        ("udp = { lose = 5 }", "r.toml:1: udp.lose: unknown field `lose`"),
        ("udp = { swap_wait = \"1s\" }", "r.toml:1: udp.swap_wait: has no effect without udp.swap"),
        (
            "udp = { swap = 5, swap_wait = \"2m\" }",
            "r.toml:1: udp.swap_wait: 120s; expected more than 0s and at most 60s",
        ),
        ("udp = { stall = \"drop\" }", "r.toml:1: udp.stall: has no effect without stall"),
        ("delay = { exponential = \"5ms\" }", "r.toml:1: delay: datagrams are all delayed by the same time; expected"),
        (
            "rate_cap = { rate = 1, unit = \"requests\" }",
            "r.toml:1: rate_cap.unit: all listeners have datagrams only; expected datagrams",
        ),
        ("rate_cap = { rate = 1, burst = \"1m\" }", "r.toml:1: rate_cap.burst: 60s; expected at most 10s"),
    ] {
        let error = read(line).unwrap_err();
        assert!(error.starts_with(message), "{error}\nexpected {message}");
    }
    assert_eq!(read("rate_cap = { rate = 1 }").unwrap().rate_cap.unwrap().unit, CapUnit::Datagrams);
}
