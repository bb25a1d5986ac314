//! The HTTP data path (placeholder: closes every connection).

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
