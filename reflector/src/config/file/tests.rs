//! Files that are read and files that are refused.

use super::*;

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
        delay = { exponential = "5ms" }
        status = 201
        failure_share = "1%"
        failure_status = 500
        stall = { at = "3s", length = "1s", every = "10s" }
        rate_cap = { rate = "1000/s", over = "queue", unit = "requests" }
        connection_cap = 500
        drain = "2s"
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
        "#,
    )
    .unwrap();
    assert_eq!(config.listeners[1], Listener { address: "[::1]:9000".parse().unwrap(), kind: Kind::Tcp });
    assert_eq!(config.defaults.size, Spread::Uniform(1024.0, 10_240.0));
    assert_eq!(config.defaults.delay, Spread::Exponential(0.005));
    assert_eq!(config.defaults.failures, Some(Failures { per_billion: 10_000_000, status: 500 }));
    assert_eq!(config.rate_cap.unwrap().over, Over::Queue);
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
    ] {
        let error = refused(line);
        assert!(error.starts_with(message), "{error}\nexpected {message}");
    }
    assert!(read("").unwrap_err().contains("no address to listen on"));
}
