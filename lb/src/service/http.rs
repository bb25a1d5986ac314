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
//!
//! Around it, one task per client connection:
//! - [`connection`]: request after request; [`attempt`]: on its way to a server; [`outcome`]: how it
//!   ended; [`answers`]: what the client is told by us.
//! - [`relay`]: the bytes of one exchange; [`input`], [`output`], [`timer`]: what it is made of.
//! - [`servers`], [`dial`]: server connections, kept ones and fresh ones.

mod answers;
mod attempt;
mod connection;
mod defect;
mod dial;
mod exchange;
mod fields;
mod framing;
#[cfg(test)]
mod fuzz;
mod grammar;
mod head;
mod input;
mod outcome;
mod output;
mod relay;
mod reply;
mod response;
mod rewrite;
mod scan;
mod servers;
mod timer;

use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;

use tokio::net::TcpStream;
use tokio::time::sleep;

use super::ServiceContext;
use connection::Connection;
pub(crate) use servers::ServerConnections;

/// Serves one client connection until it ends.
pub(crate) async fn serve(client: TcpStream, peer: SocketAddr, context: Rc<ServiceContext>) {
    let timer = pin!(sleep(context.service.timeouts.client_idle));
    Connection::new(client, peer, context, timer).run().await;
}
