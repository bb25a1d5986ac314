//! From a chosen server to a connection: timeout, bookkeeping, and another server when it fails.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::ServiceContext;
use crate::group::{Lease, NoServer, ServerIndex};

/// Why there is no server connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// There is no server to try: HTTP 503.
    #[error(transparent)]
    NoServer(NoServer),
    /// The last server tried refused or could not be reached: HTTP 503.
    #[error("real server {server} cannot be connected to")]
    Failed {
        /// Name of the server.
        server: String,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The last server tried did not answer in time: HTTP 504.
    #[error("real server {server} did not answer the connect in time")]
    TimedOut {
        /// Name of the server.
        server: String,
    },
    /// This machine has no descriptor or memory left, which is no server's fault: HTTP 503.
    #[error("no connection can be made from here")]
    Local {
        /// The kernel's reason.
        source: io::Error,
    },
}

/// Chooses a server and connects to it; when that fails, tries others, as often as the service allows.
///
/// # Errors
/// [`ConnectError`] of the last try; the service's `connection_errors` has counted it.
pub(crate) async fn connect(context: &ServiceContext) -> Result<(TcpStream, Lease), ConnectError> {
    let lease = choose(context)?;
    with_retries(context, lease, async |lease| connect_once(context, lease.address).await).await
}

/// Chooses a server.
///
/// # Errors
/// [`ConnectError::NoServer`]; the service's `connection_errors` has counted it.
pub(crate) fn choose(context: &ServiceContext) -> Result<Lease, ConnectError> {
    context.group.choose(&[]).map_err(|error| failed(context, ConnectError::NoServer(error)))
}

/// Makes `attempt` on the leased server and, while it fails by the server's doing, on others, as
/// often as the service allows. An attempt that the connect timeout has ended comes to `None`.
///
/// # Errors
/// [`ConnectError`] of the last attempt; the service's `connection_errors` has counted it.
pub(crate) async fn with_retries<T>(
    context: &ServiceContext,
    mut lease: Lease,
    mut attempt: impl AsyncFnMut(&Lease) -> io::Result<Option<T>>,
) -> Result<(T, Lease), ConnectError> {
    // Allocates only when something has failed.
    let mut tried: Vec<ServerIndex> = Vec::new();
    loop {
        let outcome = attempt(&lease).await;
        let error = match book(context, &lease, outcome) {
            Ok(made) => return Ok((made, lease)),
            Err(error) => error,
        };
        let server_failed = !matches!(error, ConnectError::Local { .. });
        if server_failed && tried.len() < context.service.retries as usize {
            tried.push(lease.index());
            if let Ok(next) = context.group.choose(&tried) {
                context.counters().retries.add(1);
                lease = next;
                continue;
            }
        }
        return Err(failed(context, error));
    }
}

/// Books what an attempt on the leased server came to.
fn book<T>(context: &ServiceContext, lease: &Lease, outcome: io::Result<Option<T>>) -> Result<T, ConnectError> {
    let server = || lease.name.clone();
    match outcome {
        Ok(Some(made)) => {
            lease.connect_ok();
            Ok(made)
        }
        Ok(None) => {
            context.counters().timeouts.add(1);
            lease.connect_failed();
            Err(ConnectError::TimedOut { server: server() })
        }
        Err(source) if is_local(&source) => {
            context.shortage.report(&context.service.name, &source);
            Err(ConnectError::Local { source })
        }
        Err(source) => {
            report_ports(context, &source);
            lease.connect_failed();
            Err(ConnectError::Failed { server: server(), source })
        }
    }
}

async fn connect_once(context: &ServiceContext, address: SocketAddr) -> io::Result<Option<TcpStream>> {
    let socket = begin_connect(address)?;
    let stream = finish_connect(socket, address, context.service.timeouts.connect).await?;
    if let Some(stream) = &stream {
        // Fails only on a connection that is already gone, which the first read or write will show.
        let _ = stream.set_nodelay(true);
    }
    Ok(stream)
}

/// Begins to connect, without waiting for the end of the handshake.
///
/// # Errors
/// The kernel's reason; what comes later is told by a write or by `SO_ERROR`.
pub(crate) fn begin_connect(address: SocketAddr) -> io::Result<Socket> {
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = Socket::new_raw(Domain::for_address(address), kind, Some(Protocol::TCP))?;
    match socket.connect(&address.into()) {
        Err(error) if error.raw_os_error() != Some(Errno::INPROGRESS.raw_os_error()) => Err(error),
        _ => Ok(socket),
    }
}

/// Waits for the end of the handshake; `None` when it did not come in time. Where it is already over
/// (always on loopback), asking for the connect once more says so, which saves a turn of the event loop.
async fn finish_connect(socket: Socket, address: SocketAddr, within: Duration) -> io::Result<Option<TcpStream>> {
    let is_done = match socket.connect(&address.into()) {
        Ok(()) => true,
        Err(error) if is_one_of(&error, &[Errno::ISCONN]) => true,
        Err(error) if is_one_of(&error, &[Errno::ALREADY, Errno::INPROGRESS]) => false,
        Err(error) => return Err(error),
    };
    let stream = TcpStream::from_std(socket.into())?;
    if is_done {
        return Ok(Some(stream));
    }
    // Boxed, so that only a connection that has to wait pays for the state of it.
    let in_time = Box::pin(timeout(within, async {
        stream.writable().await?;
        stream.take_error()?.map_or(Ok(stream), Err)
    }))
    .await;
    in_time.map_or(Ok(None), |connected| connected.map(Some))
}

fn failed(context: &ServiceContext, error: ConnectError) -> ConnectError {
    context.counters().connection_errors.add(1);
    error
}

/// Whether an error says that this machine has run out of something that every server needs.
pub(crate) fn is_local(error: &io::Error) -> bool {
    is_one_of(error, &[Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM])
}

/// Counts and logs it when there is no local port or address left towards a server. That is no
/// shortage in the sense of [`is_local`]: ports are counted per server address, so another server may
/// well be reached, and a server on an address family that this machine lacks never can be.
fn report_ports(context: &ServiceContext, error: &io::Error) {
    if is_one_of(error, &[Errno::ADDRNOTAVAIL]) {
        context.shortage.report(&context.service.name, error);
    }
}

fn is_one_of(error: &io::Error, errnos: &[Errno]) -> bool {
    error.raw_os_error().is_some_and(|code| errnos.iter().any(|errno| errno.raw_os_error() == code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_local_address_is_about_one_server_and_no_descriptor_is_about_all() {
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM] {
            assert!(is_local(&errno.into()), "{errno:?}");
        }
        for errno in [Errno::ADDRNOTAVAIL, Errno::CONNREFUSED, Errno::NETUNREACH] {
            assert!(!is_local(&errno.into()), "{errno:?}");
        }
    }
}
