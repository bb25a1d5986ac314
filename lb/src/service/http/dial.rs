//! A fresh server connection together with the first bytes of the request.
//!
//! The request is written without waiting for the handshake to be reported: where that is already
//! over (always on loopback) it saves a turn of the event loop, elsewhere the write says so and is
//! waited for. A first write that fails has sent nothing, so another server may be tried whatever
//! the method is.

use std::future::poll_fn;
use std::io;
use std::net::TcpStream as StdStream;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::output::Output;
use super::servers::ServerStream;
use crate::group::Lease;
use crate::service::ServiceContext;
use crate::service::connect::{ConnectError, begin_connect, with_retries};
use crate::service::socket::poll_write;

/// Connects to the server of a lease and writes what is pending in `head`, as far as it goes; when
/// that fails, tries other servers, as often as the service allows.
///
/// # Errors
/// [`ConnectError`] of the last try; the service's `connection_errors` has counted it.
pub(crate) async fn dial(
    context: &ServiceContext,
    lease: Lease,
    head: &mut Output,
) -> Result<(ServerStream, Lease), ConnectError> {
    let (stream, lease) =
        with_retries(context, lease, async |lease| connect_and_write(context, lease, head).await).await?;
    Ok((ServerStream { stream, nodelay: false }, lease))
}

/// `None` when the connect timeout has passed.
async fn connect_and_write(
    context: &ServiceContext,
    lease: &Lease,
    head: &mut Output,
) -> io::Result<Option<TcpStream>> {
    let socket = begin_connect(lease.address)?;
    let first = rustix::io::write(&socket, head.pending());
    // Registered with the runtime only now, when there is something to wait for.
    let stream = TcpStream::from_std(StdStream::from(socket))?;
    let written = match first {
        Ok(count) => count,
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {
            let write = poll_fn(|cx| poll_write(&stream, cx, head.pending()));
            // Boxed, so that only a connection that has to wait pays for the state of it.
            match Box::pin(timeout(context.service.timeouts.connect, write)).await {
                Ok(written) => written?,
                Err(_) => return Ok(None),
            }
        }
        Err(errno) => return Err(errno.into()),
    };
    head.advance(written);
    lease.counters().bytes_in.add(written as u64);
    Ok(Some(stream))
}
