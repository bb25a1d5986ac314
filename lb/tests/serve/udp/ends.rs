//! How flows end: idle, complete, evicted, refused; and what a drain and a reload mean for them.

use std::time::{Duration, Instant};

use super::testbed::{Client, Echo, dropped, of_service};
use crate::testbed::{PATIENCE, config, get, lb, metric, real_servers, until};

#[test]
fn a_flow_ends_when_it_was_idle_for_the_timeout_and_not_before() {
    const IDLE: Duration = Duration::from_millis(300);
    let servers = [Echo::start("a"), Echo::start("b")];
    let service = "mode = 'udp'\ntimeouts = { flow_idle = '300ms' }";
    let lb = lb(service, &real_servers(&[servers[0].address, servers[1].address]));
    let client = Client::to(lb.addresses()[0]);
    assert_eq!(client.ask("1"), "a1");
    // Datagrams at half the timeout keep it.
    for text in ["2", "3", "4"] {
        let said = Instant::now();
        std::thread::park_timeout(IDLE / 2);
        // Unless this machine was held up meanwhile, which nobody can help.
        let answer = client.ask(text);
        assert!(answer == format!("a{text}") || said.elapsed() >= IDLE, "{answer} after {:?}", said.elapsed());
    }
    let silent = Instant::now();
    until("the flow has ended", || of_service(&lb, "current_sessions") == 0.0);
    assert!(silent.elapsed() >= IDLE - Duration::from_millis(50), "ended after {:?}", silent.elapsed());
    assert!(of_service(&lb, "flows_expired_total") >= 1.0);
    assert_eq!(of_service(&lb, "timeouts_total"), 0.0, "nothing was awaited");
    let before = of_service(&lb, "sessions_total");
    let _ = client.ask("5");
    assert_eq!(of_service(&lb, "sessions_total"), before + 1.0);
}

#[test]
fn a_full_table_ends_the_flow_that_was_not_used_for_longest() {
    let server = Echo::start("a");
    let lb = lb("mode = 'udp'\nmax_connections = 3", &real_servers(&[server.address]));
    let clients: Vec<_> = (0..4).map(|_| Client::to(lb.addresses()[0])).collect();
    clients[..3].iter().for_each(|client| _ = client.ask("1"));
    assert_eq!(clients[0].ask("2"), "a2");
    assert_eq!(clients[3].ask("1"), "a1");
    assert_eq!((of_service(&lb, "current_sessions"), of_service(&lb, "flows_evicted_total")), (3.0, 1.0));
    // The first had been used since; the second makes room for nobody but itself.
    assert_eq!((clients[0].ask("3"), server.flows()), ("a3".to_owned(), 4));
    assert_eq!((clients[1].ask("3"), server.flows()), ("a3".to_owned(), 5));
    assert_eq!(metric(&lb, "lb_server_current_sessions{group=\"web\",server=\"r1\"}"), 3.0);
}

#[test]
fn a_flow_ends_with_the_last_expected_answer() {
    let (a, b) = (Echo::answering("a", "127.0.0.1:0", 2), Echo::answering("b", "127.0.0.1:0", 2));
    let lb = lb("mode = 'udp'\nresponses = 2", &real_servers(&[a.address, b.address]));
    let client = Client::to(lb.addresses()[0]);
    // Often, because the second answer comes at any point of the turn in which the first is passed on.
    for name in ["a", "b"].repeat(200) {
        assert_eq!([client.ask("?"), client.hear()], [format!("{name}?"), format!("{name}?")]);
    }
    assert_eq!((of_service(&lb, "sessions_total"), of_service(&lb, "current_sessions")), (400.0, 0.0));
    assert_eq!(of_service(&lb, "flows_expired_total"), 0.0);
}

#[test]
fn a_flow_whose_answers_do_not_come_is_a_timeout() {
    let server = Echo::start("a");
    let service = "mode = 'udp'\nresponses = 2\ntimeouts = { flow_idle = '50ms' }";
    let lb = lb(service, &real_servers(&[server.address]));
    assert_eq!(Client::to(lb.addresses()[0]).ask("?"), "a?");
    until("the flow has ended", || of_service(&lb, "flows_expired_total") == 1.0);
    assert_eq!(of_service(&lb, "timeouts_total"), 1.0);
}

#[test]
fn without_answers_to_await_each_datagram_is_a_flow() {
    let (a, b) = (Echo::answering("a", "127.0.0.1:0", 0), Echo::answering("b", "127.0.0.1:0", 0));
    let lb = lb("mode = 'udp'\nresponses = 0", &real_servers(&[a.address, b.address]));
    let client = Client::to(lb.addresses()[0]);
    (0..20).for_each(|_| client.say("log line"));
    until("all have come", || a.datagrams() + b.datagrams() == 20);
    assert_eq!((a.datagrams(), b.datagrams()), (10, 10));
    until("all flows have ended", || of_service(&lb, "current_sessions") == 0.0);
    assert_eq!(of_service(&lb, "sessions_total"), 20.0);
}

#[test]
fn after_so_many_requests_the_next_one_begins_another_flow() {
    let (a, b) = (Echo::start("a"), Echo::start("b"));
    let lb = lb("mode = 'udp'\nrequests = 3", &real_servers(&[a.address, b.address]));
    let client = Client::to(lb.addresses()[0]);
    let answers: String = (0..9).map(|_| client.ask("")).collect();
    assert_eq!(answers, "aaabbbaaa");
    // How many answers there will be is not known, so the flows are still there for them.
    assert_eq!(of_service(&lb, "current_sessions"), 3.0);
}

#[test]
fn with_requests_and_responses_a_flow_ends_after_all_of_both() {
    let (a, b) = (Echo::start("a"), Echo::start("b"));
    let lb = lb("mode = 'udp'\nrequests = 2\nresponses = 1", &real_servers(&[a.address, b.address]));
    let client = Client::to(lb.addresses()[0]);
    let answers: String = (0..8).map(|_| client.ask("")).collect();
    assert_eq!(answers, "aabbaabb");
    until("all flows have ended", || of_service(&lb, "current_sessions") == 0.0);
    assert_eq!(of_service(&lb, "sessions_total"), 4.0);
}

#[test]
fn flows_of_a_server_that_refuses_move_to_another() {
    let (a, b) = (Echo::start("a"), Echo::start("b"));
    let lb = lb("mode = 'udp'", &real_servers(&[a.address, b.address]));
    let clients: Vec<_> = (0..6).map(|_| Client::to(lb.addresses()[0])).collect();
    clients.iter().for_each(|client| _ = client.ask("?"));
    assert_eq!(a.flows(), 3);
    a.stop();
    clients.iter().for_each(|client| assert_eq!(client.ask_until_answered(), "b"));
    assert_eq!((b.flows(), of_service(&lb, "flows_moved_total")), (6, 3.0));
    assert_eq!(metric(&lb, "lb_server_response_errors_total{group=\"web\",server=\"r1\"}"), 3.0);
    assert_eq!(metric(&lb, "lb_server_current_sessions{group=\"web\",server=\"r1\"}"), 0.0);
}

#[test]
fn a_lone_server_that_comes_back_is_found_again() {
    let server = Echo::start("a");
    let lb = lb("mode = 'udp'\nretries = 0", &real_servers(&[server.address]));
    let client = Client::to(lb.addresses()[0]);
    assert_eq!(client.ask("?"), "a?");
    let address = server.stop();
    client.say("nobody");
    until("it was refused", || of_service(&lb, "response_errors_total") >= 1.0);
    until("the flow has ended", || of_service(&lb, "current_sessions") == 0.0);
    let _again = Echo::answering("again", &address.to_string(), 1);
    assert_eq!(client.ask_until_answered(), "again");
}

#[test]
fn checks_on_another_port_take_a_silent_server_out_and_its_flows_move() {
    let (a, b) = (Echo::start("a"), Echo::start("b"));
    // Both are asked at one port, but at addresses of their own.
    let check = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = check.local_addr().unwrap().port();
    let silent = Echo::answering("silent", "127.0.0.2:0", 1);
    let silent_check = std::net::TcpListener::bind(("127.0.0.2", port)).unwrap();
    let health = format!("health = {{ kind = 'tcp', port = {port}, interval = '20ms', rise = 1, fall = 1 }}");
    let lb = lb("mode = 'udp'", &format!("{health}\n{}", real_servers(&[silent.address, a.address, b.address])));
    let clients: Vec<_> = (0..3).map(|_| Client::to(lb.addresses()[0])).collect();
    assert_eq!(clients.iter().map(|client| client.ask("")).collect::<Vec<_>>(), ["silent", "a", "b"]);
    drop(silent_check);
    until("it is down", || metric(&lb, "lb_server_status{group=\"web\",server=\"r1\"}") == 0.0);
    assert!(matches!(clients[0].ask("").as_str(), "a" | "b"));
    assert_eq!((clients[1].ask(""), clients[2].ask("")), ("a".to_owned(), "b".to_owned()));
    assert_eq!((silent.datagrams(), of_service(&lb, "flows_moved_total")), (1, 1.0));
}

#[test]
fn a_drain_opens_no_flow_and_ends_with_the_last_one() {
    let server = Echo::start("a");
    let service = "mode = 'udp'\ntimeouts = { flow_idle = '400ms' }";
    let text = config(service, &real_servers(&[server.address])).replace("drain = '5s'", "drain = '60s'");
    let lb = lb::start(lb::config::Config::parse("test.toml", &text).unwrap()).unwrap();
    let (old, new) = (Client::to(lb.addresses()[0]), Client::to(lb.addresses()[0]));
    assert_eq!(old.ask("1"), "a1");
    lb.drain();
    until("it drains", || get(lb.admin().unwrap(), "/health").0 == 503);
    until("new flows are refused", || {
        assert_eq!(old.ask("2"), "a2");
        new.say("?");
        dropped(&lb, "draining") >= 1.0
    });
    let served = server.flows();
    assert_eq!(old.ask("3"), "a3");
    let waiting = std::thread::spawn(move || lb.wait());
    until("the last flow has ended", || waiting.is_finished());
    assert!(served <= 2, "what came before the drain had begun was served, and nothing later");
}

#[test]
fn a_flow_that_goes_on_is_ended_at_the_bound_of_the_drain() {
    let server = Echo::start("a");
    let text = config("mode = 'udp'", &real_servers(&[server.address])).replace("drain = '5s'", "drain = '300ms'");
    let lb = lb::start(lb::config::Config::parse("test.toml", &text).unwrap()).unwrap();
    assert_eq!(Client::to(lb.addresses()[0]).ask("1"), "a1");
    let began = Instant::now();
    lb.drain();
    lb.wait();
    assert!((Duration::from_millis(300)..PATIENCE).contains(&began.elapsed()), "after {:?}", began.elapsed());
}

#[tokio::test]
async fn a_reload_keeps_all_flows_and_gives_new_ones_to_the_new_servers() {
    let (a, b, c) = (Echo::start("a"), Echo::start("b"), Echo::start("c"));
    let text = config("mode = 'udp'", &real_servers(&[a.address, b.address]));
    let parse = |text: &str| lb::config::Config::parse("test.toml", text).unwrap();
    let lb = lb::start(parse(&text)).unwrap();
    let old = [Client::to(lb.addresses()[0]), Client::to(lb.addresses()[0])];
    assert_eq!(old.each_ref().map(|client| client.ask("")), ["a", "b"]);
    // r1 stays, r2 gets another address.
    let wanted = config("mode = 'udp'", &real_servers(&[a.address, c.address]));
    lb.reload(parse(&wanted)).await.unwrap();
    let new: Vec<_> = (0..4).map(|_| Client::to(lb.addresses()[0]).ask("")).collect();
    assert_eq!(new, ["a", "c", "a", "c"]);
    assert_eq!(old.each_ref().map(|client| client.ask("")), ["a", "b"]);
    assert_eq!((a.flows(), b.flows(), c.flows()), (3, 1, 2));
}

#[test]
fn each_flow_that_ends_is_one_line_of_the_log() {
    let path = std::env::temp_dir().join(format!("lb-{}-flows.log", std::process::id()));
    let server = Echo::start("a");
    let text = config("mode = 'udp'\nresponses = 1", &real_servers(&[server.address]));
    let text = format!("{text}[log]\naccess = '{}'\n", path.display());
    let lb = lb::start(lb::config::Config::parse("test.toml", &text).unwrap()).unwrap();
    let client = Client::to(lb.addresses()[0]);
    assert_eq!(client.ask("four"), "afour");
    until("the flow has ended", || of_service(&lb, "current_sessions") == 0.0);
    drop(lb);
    let log = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let lines: Vec<_> = log.lines().collect();
    let [line] = lines[..] else { panic!("{log}") };
    let wanted = format!("service=web client={} server=r1 bytes_in=4 bytes_out=5 ", client.0.local_addr().unwrap());
    assert!(line.contains(&wanted) && line.ends_with(" end=ok"), "{line}");
}
