//! Configurations as text, and the errors they earn word for word.

use super::*;

const SOUND: &str = r#"
workers = 2
cores = [0, 1]
drain = "3s"
[admin]
listen = "[::1]:9000"
[log]
access = "stderr"
format = "json"
[[virtual_service]]
name = "web"
listen = "127.0.0.1:8080"
mode = "http"
group = "web"
[virtual_service.timeouts]
connect = "1s"
[[virtual_service]]
name = "mail"
listen = "[::]:25"
mode = "tcp"
group = "mail"
max_connections = 5
retries = 0
[[group]]
name = "web"
balance = "weighted-round-robin"
real_servers = [
  { name = "r1", address = "127.0.0.1:9001", weight = 4 },
  { name = "r2", address = "127.0.0.1:9002", weight = 2, max_connections = 10 },
]
[group.health]
kind = "http"
path = "/deep"
status = "200-299,304"
content = "ok"
[[group]]
name = "mail"
real_servers = [{ name = "m", address = "127.0.0.1:2525" }]
health = { kind = "tcp", interval = "500ms" }
"#;

/// The sound file with one thing replaced, refused, and the message.
fn refused(from: &str, to: &str) -> String {
    assert_eq!(SOUND.matches(from).count(), 1, "{from:?} does not stand in the file once");
    Config::parse("lb.toml", &SOUND.replace(from, to)).unwrap_err().to_string()
}

#[test]
fn a_sound_file_is_read_with_its_defaults() {
    let config = Config::parse("lb.toml", SOUND).unwrap();
    assert_eq!((config.workers.map(NonZeroU32::get), config.drain), (Some(2), Duration::from_secs(3)));
    let (web, mail) = (&config.services[0], &config.services[1]);
    assert_eq!((web.mode, web.group, web.max_connections, web.retries), (Mode::Http, 0, 10_000, 1));
    assert_eq!((web.reuse, web.forwarded, web.timeouts.connect.as_secs()), (Reuse::Safe, true, 1));
    assert_eq!(web.timeouts.client_idle, Duration::from_secs(60));
    assert_eq!((mail.mode, mail.group, mail.max_connections, mail.retries), (Mode::Tcp, 1, 5, 0));
    let group = &config.groups[0];
    assert_eq!(group.servers.iter().map(|server| server.weight).collect::<Vec<_>>(), [4, 2]);
    assert_eq!(
        group.servers.iter().map(|server| server.max_connections).collect::<Vec<_>>(),
        [None, NonZeroU32::new(10)]
    );
    let health = group.health.as_ref().unwrap();

    assert_eq!((health.rise, health.fall), (2, 3));
    assert_eq!((health.interval.as_secs(), health.timeout.as_secs()), (2, 1));
    let Check::Http { status, content, .. } = &health.check else { panic!("{health:?}") };
    assert!(status.contains(204) && status.contains(304) && !status.contains(303));
    assert_eq!(content.as_deref(), Some("ok"));
    // No timeout given: a second, but never more than the interval.
    assert_eq!(config.groups[1].health.as_ref().unwrap().timeout, Duration::from_millis(500));
}

#[test]
fn an_unknown_key_or_value_is_refused_with_the_nearest_one() {
    assert_eq!(
        refused("drain =", "drian ="),
        "lb.toml:4: drian: unknown field `drian`, expected one of `workers`, `cores`, `drain`, `admin`, `log`, \
         `virtual_service`, `group`; did you mean `drain`?"
    );
    assert_eq!(
        refused("weighted-round-robin", "weigthed-round-robin"),
        "lb.toml:26: group.0.balance: unknown variant `weigthed-round-robin`, expected one of `round-robin`, \
         `weighted-round-robin`, `least-connections`; did you mean `weighted-round-robin`?"
    );
    assert_eq!(
        refused("group = \"mail\"", "group = \"mial\""),
        "lb.toml:21: virtual_service.1.group: no group \"mial\"; expected one of [\"web\", \"mail\"]; did you mean \"mail\"?"
    );
}

#[test]
fn a_value_out_of_range_is_refused_with_the_range() {
    assert_eq!(refused("workers = 2", "workers = 0"), "lb.toml:2: workers: 0; expected a whole number from 1 to 256");
    assert_eq!(
        refused("weight = 4", "weight = 1001"),
        "lb.toml:28: group.0.real_servers.0.weight: 1001; expected a whole number from 0 to 1000"
    );
    assert_eq!(
        refused("max_connections = 5", "max_connections = 0"),
        "lb.toml:22: virtual_service.1.max_connections: 0; expected a whole number from 1"
    );
    assert_eq!(
        refused("connect = \"1s\"", "connect = \"0s\""),
        "lb.toml:16: virtual_service.0.timeouts.connect: 0s would end every connection; expected more than 0s"
    );
    assert_eq!(
        refused("interval = \"500ms\"", "interval = \"500ms\", timeout = \"1s\""),
        "lb.toml:39: group.1.health.timeout: 1s; expected more than 0s and at most the interval, 500ms"
    );
    assert_eq!(
        refused("127.0.0.1:2525", "127.0.0.1:0"),
        "lb.toml:38: group.1.real_servers.0.address: port 0 cannot be connected to; expected 1 to 65535"
    );
}

#[test]
fn contradictions_and_doubles_are_refused() {
    assert_eq!(
        refused("listen = \"[::1]:9000\"", "listen = \"0.0.0.0:9000\""),
        "lb.toml:6: admin.listen: 0.0.0.0:9000 is no loopback address; expected 127.0.0.1:PORT or [::1]:PORT, \
         as admin has no encryption"
    );
    assert_eq!(
        refused("name = \"mail\"\nlisten", "name = \"web\"\nlisten"),
        "lb.toml:18: virtual_service.1.name: \"web\" is also the name of number 1; expected unique names"
    );
    assert_eq!(
        refused("[::]:25", "127.0.0.1:8080"),
        "lb.toml:19: virtual_service.1.listen: 127.0.0.1:8080 is also the address of \"web\"; \
         expected one service per address"
    );
    assert_eq!(
        refused("retries = 0", "retries = 0\nreuse = \"always\""),
        "lb.toml:24: virtual_service.1.reuse: only an HTTP service has this key; expected mode = \"http\""
    );
    assert_eq!(
        refused("kind = \"tcp\",", "kind = \"tcp\", path = \"/\","),
        "lb.toml:39: group.1.health.path: only an HTTP check has this key; expected kind = \"http\""
    );
    assert_eq!(
        refused("[{ name = \"m\", address = \"127.0.0.1:2525\" }]", "[]"),
        "lb.toml:38: group.1.real_servers: 0 real servers; expected 1 to 1024"
    );
}

#[test]
fn texts_that_would_break_a_request_a_log_line_or_a_label_are_refused() {
    assert_eq!(
        refused("/deep", "/a b"),
        "lb.toml:33: group.0.health.path: \"/a b\" is no path; expected \"/…\" of visible ASCII characters"
    );
    assert_eq!(
        refused("200-299,304", "2xx"),
        "lb.toml:34: group.0.health.status: \"2xx\" is not a set of status codes; expected codes from 100 to 599: \
         \"200\", \"200,204\", \"200-299\""
    );
    assert_eq!(
        refused("name = \"r1\"", "name = \"r 1\""),
        "lb.toml:28: group.0.real_servers.0.name: \"r 1\" is no name; expected 1 to 64 visible ASCII characters \
         without \", \\ and ="
    );
}

#[test]
fn a_file_without_services_or_with_a_missing_key_is_refused() {
    assert_eq!(
        Config::parse("lb.toml", "").unwrap_err().to_string(),
        "lb.toml: virtual_service: none given; expected at least one [[virtual_service]]"
    );
    let message = refused("mode = \"tcp\"\n", "");
    assert_eq!(message, "lb.toml:17: virtual_service.1: missing field `mode`");
    assert!(
        refused("listen = \"127.0.0.1:8080\"", "listen = \"localhost\"")
            .starts_with("lb.toml:12: virtual_service.0.listen: ")
    );
}

fn warned(from: &str, to: &str) -> Vec<String> {
    Config::parse("lb.toml", &SOUND.replace(from, to)).unwrap().warnings()
}

#[test]
fn what_is_probably_not_meant_is_a_warning() {
    let usual = ["group \"mail\" has one real server: nothing is balanced, and nothing takes over".to_owned()];
    assert_eq!(warned("", ""), usual);
    let has = |warnings: Vec<String>, wanted: &str| assert!(warnings.iter().any(|w| w == wanted), "{warnings:?}");
    has(
        warned("kind = \"http\"\npath = \"/deep\"\nstatus = \"200-299,304\"\ncontent = \"ok\"", "kind = \"tcp\""),
        "virtual service \"web\" is HTTP, but its group \"web\" has only TCP checks: a server whose application is dead \
         stays up as long as its port is open; use kind = \"http\" with a path that asks the application",
    );
    has(
        warned("weight = 4", "weight = 2"),
        "group \"web\" is weighted-round-robin, but all weights are 2: that is round-robin",
    );
    has(
        warned("weighted-round-robin", "round-robin"),
        "group \"web\" has different weights, but round-robin ignores them; use weighted-round-robin",
    );
    has(
        warned("health = { kind = \"tcp\", interval = \"500ms\" }", ""),
        "group \"mail\" has no health checks: a dead server keeps its share of the connections",
    );
    has(warned("group = \"web\"", "group = \"mail\""), "group \"web\" is used by no virtual service");
    has(
        warned("127.0.0.1:9002", "127.0.0.1:9001"),
        "group \"web\": \"r1\" and \"r2\" have the same address 127.0.0.1:9001",
    );
    has(
        warned("127.0.0.1:9001", "127.0.0.1:8080"),
        "virtual service \"web\" has itself as a real server: connections would go round in a loop",
    );
}

const DATAGRAMS: &str = "[[virtual_service]]
name = 'dns'
listen = '127.0.0.1:53'
mode = 'udp'
group = 'dns'
responses = 1
requests = 4
timeouts = { flow_idle = '5s' }
[[virtual_service]]
name = 'dns-tcp'
listen = '127.0.0.1:53'
mode = 'tcp'
group = 'dns'
[[group]]
name = 'dns'
health = { kind = 'tcp', port = 8053 }
real_servers = [{ name = 'a', address = '127.0.0.1:1' }, { name = 'b', address = '127.0.0.1:2' }]
";

#[test]
fn a_udp_service_has_keys_of_its_own_and_may_share_its_port_with_tcp() {
    let config = Config::parse("lb.toml", DATAGRAMS).unwrap();
    let service = &config.services[0];
    assert_eq!((service.mode, service.responses, service.requests), (Mode::Udp, Some(1), NonZeroU32::new(4)));
    assert_eq!(service.timeouts.flow_idle, Duration::from_secs(5));
    assert_eq!(config.groups[0].health.as_ref().unwrap().port, NonZeroU16::new(8053));
    let tcp = &config.services[1];
    assert_eq!((tcp.responses, tcp.requests, tcp.timeouts.flow_idle.as_secs()), (None, None, 30));
    assert_eq!(config.warnings(), Vec::<String>::new());
}

#[test]
fn what_a_udp_service_cannot_have_and_others_cannot_have_of_it_is_refused() {
    let refused = |from: &str, to: &str| {
        assert_eq!(DATAGRAMS.matches(from).count(), 1, "{from:?} does not stand in the file once");
        Config::parse("lb.toml", &DATAGRAMS.replace(from, to)).unwrap_err().to_string()
    };
    assert_eq!(
        refused("mode = 'udp'", "mode = 'http'"),
        "lb.toml:6: virtual_service.0.responses: only a UDP service has this key; expected mode = \"udp\""
    );
    assert_eq!(
        refused("mode = 'tcp'", "mode = 'tcp'\ntimeouts = { flow_idle = '1s' }"),
        "lb.toml:13: virtual_service.1.timeouts.flow_idle: only a UDP service has this key; expected mode = \"udp\""
    );
    assert_eq!(
        refused("requests = 4", "forwarded = false"),
        "lb.toml:7: virtual_service.0.forwarded: only an HTTP service has this key; expected mode = \"http\""
    );
    assert_eq!(
        refused("requests = 4", "requests = 0"),
        "lb.toml:7: virtual_service.0.requests: 0; expected a whole number from 1"
    );
    assert_eq!(
        refused("mode = 'tcp'", "mode = 'udp'"),
        "lb.toml:11: virtual_service.1.listen: 127.0.0.1:53 is also the address of \"dns\"; \
         expected one service per address"
    );
    assert_eq!(refused("8053", "0"), "lb.toml:16: group.0.health.port: 0; expected a whole number from 1 to 65535");
}

#[test]
fn a_udp_service_whose_servers_cannot_be_found_dead_is_a_warning() {
    let warnings = |from: &str, to: &str| Config::parse("lb.toml", &DATAGRAMS.replace(from, to)).unwrap().warnings();
    let has = |warnings: Vec<String>, wanted: &str| assert!(warnings.iter().any(|w| w == wanted), "{warnings:?}");
    has(
        warnings("health = { kind = 'tcp', port = 8053 }\n", ""),
        "virtual service \"dns\" is UDP, and its group \"dns\" has no health checks: a server that is silent keeps its \
         flows; give health.port the number of a port where the servers answer over TCP",
    );
    has(
        warnings(", port = 8053", ""),
        "virtual service \"dns\" is UDP, but the checks of its group \"dns\" go over TCP to the ports of the UDP \
         service; give health.port, unless the servers listen there with TCP as well",
    );
}
