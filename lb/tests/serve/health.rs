//! Health checks on real sockets: out on failure, back on recovery, content decides.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use crate::testbed::{Server, ask, closed_port, get, lb, real_servers, until};

const TCP_CHECK: &str = "health = { kind = 'tcp', interval = '20ms', rise = 1, fall = 2 }";

fn state(lb: &lb::Lb, server: &str) -> String {
    let (_, body) = get(lb.admin().unwrap(), "/servers");
    let rows: Vec<serde_json::Value> = serde_json::from_str(&body).unwrap();
    rows.iter().find(|row| row["name"] == server).unwrap()["state"].as_str().unwrap().to_owned()
}

#[test]
fn a_dead_server_leaves_the_rotation() {
    let alive = Server::named("alive");
    let group = format!("{}\n{TCP_CHECK}", real_servers(&[closed_port(), alive.address]));
    let lb = lb("mode = 'tcp'\nretries = 0", &group);
    until("r1 is down", || state(&lb, "r1") == "down");
    assert_eq!(state(&lb, "r2"), "up");
    assert!((0..6).all(|_| ask(lb.addresses()[0]) == "alive"));
}

#[test]
fn when_every_server_is_down_clients_are_closed_and_health_says_so() {
    let lb = lb("mode = 'tcp'", &format!("{}\n{TCP_CHECK}", real_servers(&[closed_port()])));
    until("health is bad", || get(lb.admin().unwrap(), "/health").0 == 503);
    assert_eq!(get(lb.admin().unwrap(), "/health").1, "no real server is up: web\n");
    assert_eq!(ask(lb.addresses()[0]), "");
}

#[test]
fn a_server_whose_page_loses_its_content_goes_down_and_comes_back_with_it() {
    let database = Arc::new(AtomicBool::new(true));
    let seen = Arc::clone(&database);
    let server = Server::answering(move || {
        let page = if seen.load(SeqCst) { "database: ok" } else { "database: gone" };
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{page}", page.len())
    });
    let check =
        "health = { kind = 'http', path = '/deep', content = 'database: ok', interval = '20ms', rise = 2, fall = 2 }";
    let lb = lb("mode = 'tcp'", &format!("{}\n{check}", real_servers(&[server.address])));
    until("a check is done", || server.accepted() >= 3);
    assert_eq!(state(&lb, "r1"), "up");
    database.store(false, SeqCst);
    until("the server is down", || state(&lb, "r1") == "down");
    let (_, body) = get(lb.admin().unwrap(), "/servers");
    assert!(body.contains("status 200, but its body of 14 bytes does not contain"), "{body}");
    database.store(true, SeqCst);
    until("the server is back", || state(&lb, "r1") == "up");
}
