//! The UDP data path: flows, their servers, their ends, and what is counted.

mod ends;
mod testbed;

use std::net::UdpSocket;

use crate::testbed::{PATIENCE, config, lb, metric, real_servers, until};
use testbed::{Client, Echo, all_dropped, dropped, of_service};

#[test]
fn flows_go_to_each_server_in_turn_and_stay_there() {
    let servers = [Echo::start("a"), Echo::start("b"), Echo::start("c")];
    let lb = lb("mode = 'udp'", &real_servers(&[0, 1, 2].map(|at: usize| servers[at].address)));
    let clients: Vec<_> = (0..30).map(|_| Client::to(lb.addresses()[0])).collect();
    for round in 0..5 {
        for (at, client) in clients.iter().enumerate() {
            let text = format!("{round}-{at}");
            assert_eq!(client.ask(&text), format!("{}{text}", ["a", "b", "c"][at % 3]));
        }
    }
    for server in &servers {
        assert_eq!((server.datagrams(), server.flows()), (50, 10));
    }
    assert_eq!((of_service(&lb, "sessions_total"), of_service(&lb, "current_sessions")), (30.0, 30.0));
    assert_eq!((of_service(&lb, "datagrams_in_total"), of_service(&lb, "datagrams_out_total")), (150.0, 150.0));
    let bytes: usize = (0..5).flat_map(|round| (0..30).map(move |at| format!("{round}-{at}").len())).sum();
    assert_eq!(of_service(&lb, "bytes_in_total"), bytes as f64);
    assert_eq!(of_service(&lb, "bytes_out_total"), (bytes + 150) as f64);
    assert_eq!(metric(&lb, "lb_server_datagrams_in_total{group=\"web\",server=\"r2\"}"), 50.0);
    assert_eq!(metric(&lb, "lb_server_datagrams_out_total{group=\"web\",server=\"r2\"}"), 50.0);
    assert_eq!(metric(&lb, "lb_server_current_sessions{group=\"web\",server=\"r2\"}"), 10.0);
    assert_eq!(all_dropped(&lb), 0.0);
}

#[test]
fn weights_of_three_to_one_share_flows_three_to_one() {
    let (a, b) = (Echo::start("a"), Echo::start("b"));
    let servers = format!(
        "balance = 'weighted-round-robin'\nreal_servers = [{{ name = 'a', address = '{}', weight = 3 }}, \
         {{ name = 'b', address = '{}', weight = 1 }}]",
        a.address, b.address
    );
    let lb = lb("mode = 'udp'", &servers);
    (0..40).for_each(|_| assert!(Client::to(lb.addresses()[0]).ask("x").ends_with('x')));
    assert_eq!((a.flows(), b.flows()), (30, 10));
}

#[test]
fn least_connections_counts_flows() {
    let (a, b) = (Echo::start("a"), Echo::start("b"));
    let servers = format!("balance = 'least-connections'\n{}", real_servers(&[a.address, b.address]));
    let lb = lb("mode = 'udp'\ntimeouts = { flow_idle = '60s' }", &servers);
    let clients: Vec<_> = (0..10).map(|_| Client::to(lb.addresses()[0])).collect();
    clients.iter().for_each(|client| _ = client.ask("x"));
    assert_eq!((a.flows(), b.flows()), (5, 5));
}

#[test]
fn a_full_server_passes_its_turn_to_another_and_none_at_all_is_a_drop() {
    let (a, b) = (Echo::start("a"), Echo::start("b"));
    let servers = format!(
        "real_servers = [{{ name = 'a', address = '{}', max_connections = 1 }}, \
         {{ name = 'b', address = '{}', max_connections = 2 }}]",
        a.address, b.address
    );
    let lb = lb("mode = 'udp'", &servers);
    let clients: Vec<_> = (0..3).map(|_| Client::to(lb.addresses()[0])).collect();
    let answers: Vec<_> = clients.iter().map(|client| client.ask("")).collect();
    assert_eq!(answers, ["a", "b", "b"]);
    Client::to(lb.addresses()[0]).say("?");
    until("the datagram is dropped", || dropped(&lb, "no-server") == 1.0);
    assert_eq!(of_service(&lb, "connection_errors_total"), 1.0);
    assert_eq!(clients[0].ask("still here"), "astill here");
}

#[test]
fn datagrams_of_any_length_pass_unchanged_over_both_versions() {
    for (listen, most) in [("127.0.0.1:0", 65_507), ("[::1]:0", 65_527)] {
        let server = Echo::answering("", listen, 1);
        let text = config("mode = 'udp'", &real_servers(&[server.address]));
        let text = text.replace("name = 'web'\nlisten = '127.0.0.1:0'", &format!("name = 'web'\nlisten = '{listen}'"));
        let lb = lb::start(lb::config::Config::parse("test.toml", &text).unwrap()).unwrap();
        let client = Client::to(lb.addresses()[0]);
        let mut heard = vec![0; 65_536];
        for length in [0, 1, 18, 1472, 1473, 9000, most] {
            let said: Vec<u8> = (0..length).map(|at: usize| (at * 7 + at / 256) as u8).collect();
            client.0.send(&said).unwrap();
            let length = client.0.recv(&mut heard).unwrap();
            assert!(heard[..length] == said[..], "{} bytes came back as {length}", said.len());
        }
        assert_eq!(server.flows(), 1);
        assert_eq!(all_dropped(&lb), 0.0);
    }
}

#[test]
fn clients_are_answered_from_the_address_they_have_asked() {
    let server = Echo::start("a");
    let text = config("mode = 'udp'", &real_servers(&[server.address]));
    let text = text.replace("name = 'web'\nlisten = '127.0.0.1:0'", "name = 'web'\nlisten = '0.0.0.0:0'");
    let lb = lb::start(lb::config::Config::parse("test.toml", &text).unwrap()).unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let asked: Vec<_> = (1..=5).map(|at| format!("127.0.0.{at}:{}", lb.addresses()[0].port())).collect();
    for address in &asked {
        client.send_to(b"?", address).unwrap();
        let (length, from) = client.recv_from(&mut [0; 8]).unwrap();
        assert_eq!((length, &from.to_string()), (2, address));
    }
    // The same client at another of our addresses is another flow.
    assert_eq!((server.flows(), of_service(&lb, "sessions_total")), (5, 5.0));
}

#[test]
fn all_addresses_of_ipv6_are_listened_on_as_well() {
    let server = Echo::answering("six", "[::1]:0", 1);
    let text = config("mode = 'udp'", &real_servers(&[server.address]));
    let text = text.replace("name = 'web'\nlisten = '127.0.0.1:0'", "name = 'web'\nlisten = '[::]:0'");
    let lb = lb::start(lb::config::Config::parse("test.toml", &text).unwrap()).unwrap();
    // A connected client hears nobody but the address it has asked.
    let client = Client::to(format!("[::1]:{}", lb.addresses()[0].port()).parse().unwrap());
    assert_eq!([client.ask("?"), client.ask("!")], ["six?", "six!"]);
    assert_eq!((server.flows(), of_service(&lb, "sessions_total")), (1, 1.0));
}

#[test]
fn the_bound_of_the_table_holds_over_all_workers() {
    const BOUND: usize = 8;
    let server = Echo::start("a");
    let text = config(&format!("mode = 'udp'\nmax_connections = {BOUND}"), &real_servers(&[server.address]));
    let lb = lb::start(lb::config::Config::parse("test.toml", &text.replace("workers = 1", "workers = 3")).unwrap());
    let lb = lb.unwrap();
    let clients: Vec<_> = (0..60).map(|_| Client::to(lb.addresses()[0])).collect();
    for (before, client) in clients.iter().enumerate() {
        client.say("?");
        // A worker without a flow of its own has none to end: what it gets then is dropped.
        let dealt_with = || of_service(&lb, "sessions_total") + dropped(&lb, "full");
        until("it has been dealt with", || dealt_with() == (before + 1) as f64);
        assert!(of_service(&lb, "current_sessions") <= BOUND as f64);
    }
    let (opened, full) = (of_service(&lb, "sessions_total"), dropped(&lb, "full"));
    assert_eq!((opened + full, of_service(&lb, "connections_denied_total")), (60.0, full));
    assert_eq!(opened - of_service(&lb, "flows_evicted_total"), of_service(&lb, "current_sessions"));
}

#[test]
fn several_workers_share_a_port_and_each_flow_has_one() {
    let servers = [Echo::start("a"), Echo::start("b")];
    let text = config("mode = 'udp'", &real_servers(&[servers[0].address, servers[1].address]));
    let lb = lb::start(lb::config::Config::parse("test.toml", &text.replace("workers = 1", "workers = 3")).unwrap());
    let lb = lb.unwrap();
    let clients: Vec<_> = (0..60).map(|_| Client::to(lb.addresses()[0])).collect();
    for round in 0..3 {
        for client in &clients {
            assert!(client.ask(&round.to_string()).ends_with(&round.to_string()));
        }
    }
    assert_eq!(servers[0].flows() + servers[1].flows(), 60);
    assert_eq!((of_service(&lb, "sessions_total"), of_service(&lb, "datagrams_out_total")), (60.0, 180.0));
}

#[test]
fn tcp_and_udp_may_have_the_same_port() {
    let (stream, datagrams) = (crate::testbed::Server::named("t"), Echo::start("u"));
    // A port that is free for both, most likely: another process may take it meanwhile.
    let lb = (0..20).find_map(|_| {
        let port = crate::testbed::closed_port().port();
        let text = config("mode = 'tcp'", &real_servers(&[stream.address]));
        let text =
            text.replace("name = 'web'\nlisten = '127.0.0.1:0'", &format!("name = 'web'\nlisten = '127.0.0.1:{port}'"));
        let text = format!(
            "{text}[[virtual_service]]\nname = 'dns'\nlisten = '127.0.0.1:{port}'\nmode = 'udp'\ngroup = 'dns'\n\
             [[group]]\nname = 'dns'\n{}\n",
            real_servers(&[datagrams.address])
        );
        lb::start(lb::config::Config::parse("test.toml", &text).unwrap()).ok()
    });
    let lb = lb.unwrap();
    assert_eq!(lb.addresses()[0], lb.addresses()[1]);
    assert_eq!(crate::testbed::ask(lb.addresses()[0]), "t");
    assert_eq!(Client::to(lb.addresses()[1]).ask("?"), "u?");
}

#[test]
fn five_thousand_flows_at_a_time_stay_apart() {
    const FLOWS: usize = 5_000;
    // Their sockets and ours, in one process.
    host::kernel::raise_descriptor_limit();
    let servers = [Echo::start("a"), Echo::start("b")];
    let lb = lb("mode = 'udp'", &real_servers(&[servers[0].address, servers[1].address]));
    let clients: Vec<_> = (0..FLOWS).map(|_| Client::to(lb.addresses()[0])).collect();
    for (at, client) in clients.iter().enumerate() {
        assert_eq!(client.ask(&at.to_string()), format!("{}{at}", ["a", "b"][at % 2]));
    }
    for (at, client) in clients.iter().enumerate().rev() {
        assert_eq!(client.ask(&at.to_string()), format!("{}{at}", ["a", "b"][at % 2]));
    }
    assert_eq!((servers[0].flows(), servers[1].flows()), (FLOWS / 2, FLOWS / 2));
    assert_eq!(of_service(&lb, "current_sessions"), FLOWS as f64);
    assert_eq!(all_dropped(&lb), 0.0);
}
