//! HTTP/1.0 and HTTP/1.1 between a client and the real servers.
//!
//! The protocol is a sans-I/O core of our own, without tokio and clock: it is strict, testable
//! byte by byte, and leaves an idle connection without a buffer.
//! - [`grammar`], [`defect`]: which bytes may stand where, and what is wrong when others do.
//! - [`scan`]: finds the end of a head and refuses what parsers read differently.
//! - [`fields`], [`head`], [`response`]: heads as byte ranges, their framing, what they ask for.
//! - [`framing`]: follows a body to its end.
//! - [`exchange`]: one request and its response; what may be kept, reused or repeated.
//! - [`rewrite`], [`reply`]: heads that are forwarded, answers of our own.

#[allow(dead_code, reason = "the driver is not there yet")]
pub(crate) mod defect;
#[allow(dead_code, reason = "the driver is not there yet")]
pub(crate) mod exchange;
#[allow(dead_code, reason = "the driver is not there yet")]
pub(crate) mod fields;
#[allow(dead_code, reason = "the driver is not there yet")]
pub(crate) mod framing;
#[allow(dead_code, reason = "the driver is not there yet")]
pub(crate) mod grammar;
#[allow(dead_code, reason = "the driver is not there yet")]
pub(crate) mod head;
#[allow(dead_code, reason = "the driver is not there yet")]
pub(crate) mod reply;
#[allow(dead_code, reason = "the driver is not there yet")]
pub(crate) mod response;
#[allow(dead_code, reason = "the driver is not there yet")]
pub(crate) mod rewrite;
#[allow(dead_code, reason = "the driver is not there yet")]
pub(crate) mod scan;

use std::net::SocketAddr;
use std::rc::Rc;

use tokio::net::TcpStream;

use super::ServiceContext;

/// One worker's idle server connections of one group, by server.
#[derive(Debug)]
pub(crate) struct ServerConnections;

impl ServerConnections {
    pub(crate) fn new(_servers: usize) -> Self {
        Self
    }
}

/// Serves one client connection until it ends.
pub(crate) async fn serve(_client: TcpStream, _peer: SocketAddr, _context: Rc<ServiceContext>) {}
