//! The admin server and the access log.

use std::io::Write;

use crate::testbed::{Server, ask, config, connect, get, lb, metric, real_servers, until};

#[test]
fn servers_and_metrics_tell_what_happened() {
    let server = Server::named("hello");
    let lb = lb("mode = 'tcp'", &real_servers(&[server.address]));
    for _ in 0..3 {
        assert_eq!(ask(lb.addresses()[0]), "hello");
    }
    until("the connections have ended", || metric(&lb, "lb_service_current_sessions{service=\"web\"}") == 0.0);
    assert_eq!(metric(&lb, "lb_service_sessions_total{service=\"web\"}"), 3.0);
    assert_eq!(metric(&lb, "lb_service_bytes_out_total{service=\"web\"}"), 15.0);
    assert_eq!(metric(&lb, "lb_server_bytes_out_total{group=\"web\",server=\"r1\"}"), 15.0);
    assert_eq!(metric(&lb, "lb_server_status{group=\"web\",server=\"r1\"}"), 1.0);
    let (status, body) = get(lb.admin().unwrap(), "/servers");
    assert_eq!(status, 200);
    let rows: serde_json::Value = serde_json::from_str(&body).unwrap();
    let row = &rows[0];
    assert_eq!(
        (row["group"].as_str(), row["name"].as_str(), row["state"].as_str()),
        (Some("web"), Some("r1"), Some("up"))
    );
    assert_eq!(row["address"], server.address.to_string());
    assert_eq!((row["connections_total"].as_u64(), row["current_connections"].as_u64()), (Some(3), Some(0)));
    assert_eq!(row["check"], "none");
    assert!(row["last_change_s"].is_null());
}

#[test]
fn every_metric_has_help_and_type_and_no_line_is_malformed() {
    let lb = lb("mode = 'tcp'", &real_servers(&[crate::testbed::closed_port()]));
    let (_, body) = get(lb.admin().unwrap(), "/metrics");
    let mut names = Vec::new();
    for line in body.lines() {
        match line.split_once("# TYPE ") {
            Some((_, rest)) => names.push(rest.split(' ').next().unwrap().to_owned()),
            None if line.starts_with("# HELP ") => {}
            None => {
                let (name, value) = line.rsplit_once(' ').unwrap();
                assert!(value.parse::<f64>().is_ok(), "{line}");
                assert_eq!(name.split('{').next().unwrap(), names.last().unwrap(), "{line} stands under another name");
            }
        }
    }
    assert!(names.len() > 20, "{names:?}");
}

#[test]
fn the_admin_server_changes_nothing_and_knows_its_pages() {
    let lb = lb("mode = 'tcp'", &real_servers(&[crate::testbed::closed_port()]));
    let admin = lb.admin().unwrap();
    assert_eq!(get(admin, "/health"), (200, "ok\n".to_owned()));
    assert_eq!(get(admin, "/secret").0, 404);
    let mut stream = connect(admin);
    stream.write_all(b"POST /servers HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
}

#[test]
fn the_access_log_has_a_line_per_connection_when_the_drain_is_over() {
    let server = Server::named("hello");
    let path = std::env::temp_dir().join(format!("lb-access-{}.log", std::process::id()));
    let log = format!("[log]\naccess = '{}'\nformat = 'json'\n[admin]", path.display());
    let text = config("mode = 'tcp'", &real_servers(&[server.address])).replace("[admin]", &log);
    let lb = lb::start(lb::config::Config::parse("test.toml", &text).unwrap()).unwrap();
    for _ in 0..5 {
        assert_eq!(ask(lb.addresses()[0]), "hello");
    }
    lb.drain();
    lb.wait();
    let written = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let lines: Vec<serde_json::Value> = written.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 5, "{written}");
    for line in lines {
        assert_eq!((line["server"].as_str(), line["end"].as_str()), (Some("r1"), Some("ok")));
        assert_eq!((line["bytes_in"].as_u64(), line["bytes_out"].as_u64()), (Some(0), Some(5)));
    }
}
