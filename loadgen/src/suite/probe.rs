//! Learns from one request how long the right body of a server is that is not ours.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::interrupt::Interrupt;
use crate::workload::http::FirstAnswer;

/// Most bytes of a body that are looked at.
const BODY_MAX: u64 = 64 * 1024 * 1024;

/// How often it is looked whether the user has lost patience.
const TICK: Duration = Duration::from_millis(50);

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
    /// The user did not want to wait any longer.
    #[error("interrupted before the server answered")]
    Interrupted,
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

/// What is asked once, on a connection of its own.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Who is asked.
    pub service: SocketAddr,
    /// For what.
    pub path: &'a str,
    /// The `Host` field.
    pub host: &'a str,
    /// The status of a right answer.
    pub status: u16,
}

impl Question<'_> {
    /// The length of the body in bytes.
    ///
    /// # Errors
    /// [`ProbeError`]; the whole exchange takes at most `within`, or until the user interrupts.
    pub fn body_length(self, within: Duration, interrupt: &Interrupt) -> Result<u64, ProbeError> {
        let deadline = Instant::now() + within;
        let mut stream = self.ask(within).map_err(|source| self.unreachable(source))?;
        let mut answer = FirstAnswer::default();
        let mut buffer = vec![0; 64 * 1024];
        let mut silent = true;
        while !answer.is_complete() {
            let is_late = Instant::now() >= deadline;
            match stream.read(&mut buffer) {
                _ if interrupt.is_set() => return Err(ProbeError::Interrupted),
                _ if is_late && silent => {
                    let text = format!("nothing came within {within:?}");
                    return Err(self.unreachable(io::Error::new(io::ErrorKind::TimedOut, text)));
                }
                _ if is_late || answer.body_bytes() > BODY_MAX => return Err(self.garbage("it does not end")),
                Ok(received) => {
                    silent = false;
                    answer.take(&buffer[..received]).map_err(|reason| self.garbage(reason))?;
                }
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Err(error) => return Err(self.unreachable(error)),
            }
        }
        if answer.status() == self.status {
            return Ok(answer.body_bytes());
        }
        Err(ProbeError::Status {
            service: self.service,
            path: self.path.to_owned(),
            found: answer.status(),
            wanted: self.status,
        })
    }

    fn ask(self, within: Duration) -> io::Result<TcpStream> {
        let Self { service, path, host, .. } = self;
        let mut stream = TcpStream::connect_timeout(&service, within)?;
        let agent = wire::identity::GENERATOR_USER_AGENT;
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {agent}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        stream.set_read_timeout(Some(TICK))?;
        Ok(stream)
    }

    /// Why nobody answered.
    pub(super) fn unreachable(self, source: io::Error) -> ProbeError {
        ProbeError::Unreachable { service: self.service, path: self.path.to_owned(), source }
    }

    fn garbage(self, reason: &'static str) -> ProbeError {
        ProbeError::Garbage { service: self.service, path: self.path.to_owned(), reason }
    }
}
