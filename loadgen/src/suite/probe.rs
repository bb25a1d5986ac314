//! Learns from one request how long the right body of a server is that is not ours.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::workload::http::FirstAnswer;

/// Most bytes of a body that are looked at.
const BODY_MAX: u64 = 64 * 1024 * 1024;

/// Why a server cannot be measured by the length of its first answer.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// No connection, or it broke.
    #[error("{service} did not answer GET {path}; is the server there, and does it speak HTTP on this port?")]
    Unreachable {
        /// Who was asked.
        service: SocketAddr,
        /// For what.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// Another status than the expected one.
    #[error(
        "{service} answered GET {path} with status {found}; expected {wanted}. Choose another --path, or set workload.status"
    )]
    Status {
        /// Who was asked.
        service: SocketAddr,
        /// For what.
        path: String,
        /// The status.
        found: u16,
        /// The expected status.
        wanted: u16,
    },
    /// Not an HTTP/1 response, or one that ends too soon or never.
    #[error(
        "{service} answered GET {path} with something that is not a complete HTTP/1 response of at most 64 MiB: {reason}"
    )]
    Garbage {
        /// Who was asked.
        service: SocketAddr,
        /// For what.
        path: String,
        /// What is wrong.
        reason: &'static str,
    },
}

/// Asks once, on a connection of its own, and returns the length of the body in bytes.
///
/// # Errors
/// [`ProbeError`]; the whole exchange takes at most `within`.
pub fn body_length(
    service: SocketAddr,
    path: &str,
    host: &str,
    status: u16,
    within: Duration,
) -> Result<u64, ProbeError> {
    let unreachable = |source| ProbeError::Unreachable { service, path: path.to_owned(), source };
    let garbage = |reason| ProbeError::Garbage { service, path: path.to_owned(), reason };
    let deadline = Instant::now() + within;
    let mut stream = TcpStream::connect_timeout(&service, within).map_err(unreachable)?;
    let agent = wire::identity::GENERATOR_USER_AGENT;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {agent}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(unreachable)?;
    let mut answer = FirstAnswer::default();
    let mut buffer = vec![0; 64 * 1024];
    while !answer.is_complete() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || answer.body_bytes() > BODY_MAX {
            return Err(garbage("it does not end"));
        }
        stream.set_read_timeout(Some(left)).map_err(unreachable)?;
        let received = stream.read(&mut buffer).map_err(unreachable)?;
        answer.take(&buffer[..received]).map_err(garbage)?;
    }
    if answer.status() == status {
        Ok(answer.body_bytes())
    } else {
        Err(ProbeError::Status { service, path: path.to_owned(), found: answer.status(), wanted: status })
    }
}
