//! The TCP data path: balance, half-close, reset, retry, limits, idle.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::testbed::{Server, ask, closed_port, connect, lb, metric, read_text, real_servers, until};

#[test]
fn weights_of_three_to_one_share_connections_three_to_one() {
    let (a, b) = (Server::named("a"), Server::named("b"));
    let servers = format!(
        "balance = 'weighted-round-robin'\nreal_servers = [{{ name = 'a', address = '{}', weight = 3 }}, \
         {{ name = 'b', address = '{}', weight = 1 }}]",
        a.address, b.address
    );
    let lb = lb("mode = 'tcp'", &servers);
    let answers: Vec<_> = (0..40).map(|_| ask(lb.addresses()[0])).collect();
    assert_eq!(answers.iter().filter(|answer| *answer == "a").count(), 30);
    assert_eq!(answers.iter().filter(|answer| *answer == "b").count(), 10);
    assert_eq!((a.accepted(), b.accepted()), (30, 10));
}

#[test]
fn least_connections_avoids_the_server_that_holds_some() {
    let (a, b) = (Server::named("a"), Server::named("b"));
    let servers = format!("balance = 'least-connections'\n{}", real_servers(&[a.address, b.address]));
    let lb = lb("mode = 'tcp'", &servers);
    let mut first = connect(lb.addresses()[0]);
    assert_eq!(read_text(&mut first, 1), "a");
    for _ in 0..5 {
        assert_eq!(ask(lb.addresses()[0]), "b");
        // The next choice depends on the end of this connection, which the load balancer sees a moment later.
        until("b is idle", || metric(&lb, "lb_server_current_sessions{group=\"web\",server=\"r2\"}") == 0.0);
    }
}

#[test]
fn several_workers_share_a_port() {
    let a = Server::named("a");
    let text =
        crate::testbed::config("mode = 'tcp'", &real_servers(&[a.address])).replace("workers = 1", "workers = 3");
    let lb = lb::start(lb::config::Config::parse("test.toml", &text).unwrap()).unwrap();
    assert!((0..30).all(|_| ask(lb.addresses()[0]) == "a"));
    assert_eq!(metric(&lb, "lb_service_sessions_total{service=\"web\"}"), 30.0);
}

#[test]
fn a_client_may_end_its_direction_and_still_get_a_large_answer() {
    // More than all socket buffers together, so both directions have to wait for each other.
    const SIZE: usize = 32 << 20;
    let server = Server::start(|mut stream| {
        let mut request = Vec::new();
        stream.read_to_end(&mut request).unwrap();
        stream.write_all(&vec![request.len() as u8; SIZE]).unwrap();
    });
    let lb = lb("mode = 'tcp'", &real_servers(&[server.address]));
    let mut client = connect(lb.addresses()[0]);
    client.write_all(&[7; 99]).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    assert_eq!(answer.len(), SIZE);
    assert!(answer.iter().all(|&byte| byte == 99));
}

#[test]
fn a_server_may_end_its_direction_first_and_still_hear_the_client() {
    let (heard, hears) = mpsc::channel();
    let server = Server::start(move |mut stream| {
        stream.write_all(b"bye").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut late = String::new();
        stream.read_to_string(&mut late).unwrap();
        heard.send(late).unwrap();
    });
    let lb = lb("mode = 'tcp'", &real_servers(&[server.address]));
    let mut client = connect(lb.addresses()[0]);
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "bye");
    client.write_all(b"one more thing").unwrap();
    drop(client);
    assert_eq!(hears.recv_timeout(crate::testbed::PATIENCE).unwrap(), "one more thing");
}

#[test]
fn a_reset_by_the_server_reaches_the_client_as_a_reset() {
    let server = Server::start(|mut stream| {
        stream.read_exact(&mut [0; 1]).unwrap();
        host::socket::reset_on_close(&stream).unwrap();
    });
    let lb = lb("mode = 'tcp'", &real_servers(&[server.address]));
    let mut client = connect(lb.addresses()[0]);
    client.write_all(b"x").unwrap();
    assert_eq!(client.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

/// A real server that reports with which error its connection ended, after saying that it is ready.
fn reporting_server() -> (Server, mpsc::Receiver<Option<ErrorKind>>) {
    let (ended, ends) = mpsc::channel();
    let server = Server::start(move |mut stream| {
        stream.write_all(b"!").unwrap();
        let mut result = stream.read(&mut [0; 64]);
        while result.as_ref().is_ok_and(|&n| n > 0) {
            result = stream.read(&mut [0; 64]);
        }
        // After an orderly end, go on writing until the other side objects.
        while result.is_ok() {
            result = stream.write(b"still here");
            std::thread::park_timeout(Duration::from_millis(5));
        }
        ended.send(result.err().map(|error| error.kind())).unwrap();
    });
    (server, ends)
}

#[test]
fn a_reset_by_the_client_reaches_the_server_as_a_reset() {
    let (server, ends) = reporting_server();
    let lb = lb("mode = 'tcp'", &real_servers(&[server.address]));
    let mut client = connect(lb.addresses()[0]);
    assert_eq!(read_text(&mut client, 1), "!");
    host::socket::reset_on_close(&client).unwrap();
    drop(client);
    assert_eq!(ends.recv_timeout(crate::testbed::PATIENCE).unwrap(), Some(ErrorKind::ConnectionReset));
}

#[test]
fn a_reset_after_the_fin_ends_a_connection_whose_other_direction_is_silent() {
    let (ended, ends) = mpsc::channel();
    let server = Server::start(move |mut stream| {
        stream.write_all(b"!").unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
        // The client's FIN is here; from now on this side is silent until it is reset.
        ended.send(None).unwrap();
        until("the reset", || stream.take_error().unwrap().is_some());
        ended.send(Some(())).unwrap();
    });
    let lb = lb("mode = 'tcp'", &real_servers(&[server.address]));
    let mut client = connect(lb.addresses()[0]);
    assert_eq!(read_text(&mut client, 1), "!");
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(ends.recv_timeout(crate::testbed::PATIENCE).unwrap(), None);
    host::socket::reset_on_close(&client).unwrap();
    drop(client);
    assert_eq!(ends.recv_timeout(crate::testbed::PATIENCE).unwrap(), Some(()));
}

#[test]
fn a_connect_that_fails_is_repeated_on_another_server() {
    let alive = Server::named("alive");
    let lb = lb("mode = 'tcp'\nretries = 1", &real_servers(&[closed_port(), alive.address]));
    assert!((0..4).all(|_| ask(lb.addresses()[0]) == "alive"));
    // Each retry takes the other server's turn, so it is always r1's turn first.
    assert_eq!(metric(&lb, "lb_service_retry_warnings_total{service=\"web\"}"), 4.0);
    assert_eq!(metric(&lb, "lb_server_connection_errors_total{group=\"web\",server=\"r1\"}"), 4.0);
    assert_eq!(metric(&lb, "lb_service_connection_errors_total{service=\"web\"}"), 0.0);
}

#[test]
fn without_retries_a_failed_connect_closes_the_client_and_is_counted() {
    let lb = lb("mode = 'tcp'\nretries = 0", &real_servers(&[closed_port()]));
    assert_eq!(ask(lb.addresses()[0]), "");
    assert_eq!(metric(&lb, "lb_service_connection_errors_total{service=\"web\"}"), 1.0);
}

#[test]
fn connections_over_the_limit_of_the_service_are_refused_and_counted_until_one_ends() {
    let server = Server::named("a");
    let lb = lb("mode = 'tcp'\nmax_connections = 2", &real_servers(&[server.address]));
    let mut held: Vec<_> = (0..2).map(|_| connect(lb.addresses()[0])).collect();
    held.iter_mut().for_each(|client| assert_eq!(read_text(client, 1), "a"));
    assert_eq!(ask(lb.addresses()[0]), "");
    assert_eq!(metric(&lb, "lb_service_connections_denied_total{service=\"web\"}"), 1.0);
    assert_eq!(server.accepted(), 2);
    held.pop();
    until("a place is free", || ask(lb.addresses()[0]) == "a");
}

#[test]
fn a_full_server_passes_its_turn_to_another() {
    let (a, b) = (Server::named("a"), Server::named("b"));
    let servers = format!(
        "real_servers = [{{ name = 'a', address = '{}', max_connections = 1 }}, {{ name = 'b', address = '{}' }}]",
        a.address, b.address
    );
    let lb = lb("mode = 'tcp'", &servers);
    let mut first = connect(lb.addresses()[0]);
    assert_eq!(read_text(&mut first, 1), "a");
    assert!((0..5).all(|_| ask(lb.addresses()[0]) == "b"));
}

#[test]
fn a_silent_connection_ends_at_the_idle_timeout_and_not_before() {
    const IDLE: Duration = Duration::from_millis(200);
    let server = Server::named("a");
    let service = "mode = 'tcp'\ntimeouts = { tunnel = '200ms' }";
    let lb = lb(service, &real_servers(&[server.address]));
    let mut client = connect(lb.addresses()[0]);
    assert_eq!(read_text(&mut client, 1), "a");
    // A byte half-way starts the wait again.
    std::thread::park_timeout(IDLE / 2);
    client.write_all(b"x").unwrap();
    let silent = Instant::now();
    assert_eq!(client.read(&mut [0; 1]).unwrap(), 0);
    assert!(silent.elapsed() >= IDLE, "ended after {:?}", silent.elapsed());
    assert_eq!(metric(&lb, "lb_service_timeouts_total{service=\"web\"}"), 1.0);
}

#[test]
fn a_service_on_ipv6_reaches_servers_on_ipv4() {
    let server = Server::named("a");
    let text = crate::testbed::config("mode = 'tcp'", &real_servers(&[server.address])).replacen(
        "name = 'web'\nlisten = '127.0.0.1:0'",
        "name = 'web'\nlisten = '[::1]:0'",
        1,
    );
    let lb = lb::start(lb::config::Config::parse("test.toml", &text).unwrap()).unwrap();
    assert!(lb.addresses()[0].is_ipv6());
    assert_eq!(ask(lb.addresses()[0]), "a");
}

#[test]
fn a_core_that_does_not_exist_is_a_warning_and_the_worker_runs() {
    let server = Server::named("a");
    let text = crate::testbed::config("mode = 'tcp'", &real_servers(&[server.address]))
        .replace("workers = 1", "cores = [4095]\nworkers = 1");
    let lb = lb::start(lb::config::Config::parse("test.toml", &text).unwrap()).unwrap();
    let pinned = lb.warnings().into_iter().find(|warning| warning.contains("could not be pinned to core 4095"));
    assert!(pinned.is_some(), "{:?}", lb.warnings());
    assert_eq!(ask(lb.addresses()[0]), "a");
}
