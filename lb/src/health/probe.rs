//! One health check: a TCP connection, or a GET on one. Bounded in time and bytes.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use wire::identity::CHECK_USER_AGENT;
use wire::units::Span;

use super::expect::{Expectation, RESPONSE_MAX};
use crate::config::{Check, Health};
use crate::service::connect::is_local;

/// Why a check says nothing good about a server.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// The server failed: what was found, for a person.
    Server(String),
    /// This machine could not check: no descriptor or memory left. It says nothing about the server.
    Local(String),
}

impl From<String> for Problem {
    fn from(found: String) -> Self {
        Self::Server(found)
    }
}

/// Checks a server once, on its own port or on the one of its checks; what was found is for a person.
pub(super) async fn run(mut address: SocketAddr, health: &Health) -> Result<String, Problem> {
    if let Some(port) = health.port {
        address.set_port(port.get());
    }
    let start = Instant::now();
    let found = match timeout(health.timeout, check(address, &health.check)).await {
        Ok(result) => result?,
        Err(_) => return Err(format!("no answer within {}", Span(health.timeout)).into()),
    };
    Ok(format!("{found} in {:.1} ms", start.elapsed().as_secs_f64() * 1e3))
}

async fn check(address: SocketAddr, check: &Check) -> Result<String, Problem> {
    let mut stream = TcpStream::connect(address).await.map_err(|error| not_connected(&error))?;
    match check {
        Check::Tcp => Ok("connected".to_owned()),
        Check::Http { path, host, status, content } => {
            let request = format!(
                "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {CHECK_USER_AGENT}/{}\r\nAccept: */*\r\nConnection: close\r\n\r\n",
                env!("CARGO_PKG_VERSION")
            );
            let expectation = Expectation { status, content: content.as_deref() };
            let broken = |error: io::Error| format!("connection broke: {error}");
            stream.write_all(request.as_bytes()).await.map_err(broken)?;
            Ok(read_answer(&mut stream, &expectation).await.map_err(broken)??)
        }
    }
}

fn not_connected(error: &io::Error) -> Problem {
    let found = format!("connect failed: {error}");
    if is_local(error) { Problem::Local(found) } else { Problem::Server(found) }
}

async fn read_answer(stream: &mut TcpStream, expectation: &Expectation<'_>) -> io::Result<Result<String, String>> {
    let mut received = Vec::with_capacity(4096);
    loop {
        let room = (RESPONSE_MAX - received.len()) as u64;
        let ended = stream.take(room).read_buf(&mut received).await? == 0;
        if let Some(verdict) = expectation.judge(&received, ended) {
            return Ok(verdict);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::StatusSet;
    use std::time::Duration;
    use tokio::net::TcpListener;

    const TEST_TIMEOUT: Duration = Duration::from_secs(5);

    async fn check_against(answer: &'static str, content: Option<&str>) -> (Result<String, Problem>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let n = stream.read(&mut request).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(request[..n].to_vec()).unwrap()
        });
        let status: StatusSet = "200-299".parse().unwrap();
        let check = Check::Http {
            path: "/deep?db=1".into(),
            host: "h".into(),
            status,
            content: content.map(ToOwned::to_owned),
        };
        let health = Health { check, port: None, interval: TEST_TIMEOUT, timeout: TEST_TIMEOUT, rise: 1, fall: 1 };
        (run(address, &health).await, server.await.unwrap())
    }

    #[tokio::test]
    async fn a_get_names_itself_as_a_check_and_is_judged_by_status_and_content() {
        let (result, request) = check_against("HTTP/1.1 204 No Content\r\n\r\n", None).await;
        assert!(result.unwrap().starts_with("status 204 in "));
        assert!(request.starts_with("GET /deep?db=1 HTTP/1.1\r\nHost: h\r\nUser-Agent: nadare-check/"), "{request}");
        let (result, _) = check_against("HTTP/1.1 200 OK\r\n\r\ndatabase is gone", Some("all is well")).await;
        let missing = "status 200, but its body of 16 bytes does not contain \"all is well\"";
        assert_eq!(result.unwrap_err(), Problem::Server(missing.into()));
    }

    #[tokio::test]
    async fn a_port_that_nobody_listens_on_fails_the_check() {
        let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let health =
            Health { check: Check::Tcp, port: None, interval: TEST_TIMEOUT, timeout: TEST_TIMEOUT, rise: 1, fall: 1 };
        let Err(Problem::Server(found)) = run(address, &health).await else { panic!("the check was good") };
        assert!(found.starts_with("connect failed: Connection refused"), "{found}");
    }

    #[test]
    fn a_server_that_no_local_address_leads_to_fails_the_check() {
        let problem = |errno: rustix::io::Errno| not_connected(&errno.into());
        assert!(matches!(problem(rustix::io::Errno::ADDRNOTAVAIL), Problem::Server(_)));
        assert!(matches!(problem(rustix::io::Errno::MFILE), Problem::Local(_)));
    }

    #[tokio::test]
    async fn a_server_that_accepts_and_never_answers_fails_in_time() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let check = Check::Http { path: "/".into(), host: "h".into(), status: "200".parse().unwrap(), content: None };
        let health =
            Health { check, port: None, interval: TEST_TIMEOUT, timeout: Duration::from_millis(50), rise: 1, fall: 1 };
        let result = run(listener.local_addr().unwrap(), &health).await;
        assert_eq!(result.unwrap_err(), Problem::Server("no answer within 50ms".into()));
    }
}
