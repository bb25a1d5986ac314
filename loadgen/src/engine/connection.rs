//! The system calls on one connection, and which outcome an error number is.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, Shutdown, SocketFlags, SocketType, bind, connect, recv, send, shutdown,
    socket_with, sockopt,
};

use crate::measure::Outcome;

/// Opens a non-blocking connection and registers it; the handshake is then under way.
pub(super) fn open(
    epoll: &OwnedFd,
    token: u64,
    service: SocketAddr,
    (address, ports): (Option<IpAddr>, Option<(u16, u16)>),
) -> Result<OwnedFd, Errno> {
    let family = if service.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, None)?;
    if let Some((first, last)) = ports {
        // Before Linux 6.3 the stripes are not to be had; workers then share the range.
        let _ = host::socket::local_port_range(&socket, first, last);
    }
    if let Some(address) = address {
        // Before Linux 4.2 `bind` takes a port at once, which is correct, only scarcer.
        let _ = host::socket::bind_address_no_port(&socket);
        bind(&socket, &SocketAddr::new(address, 0))?;
    }
    match connect(&socket, &service) {
        Ok(()) | Err(Errno::INPROGRESS) => {}
        Err(error) => return Err(error),
    }
    // Edge-triggered and for everything: one epoll_ctl in the life of a connection.
    let interest = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
    epoll::add(epoll, &socket, epoll::EventData::new_u64(token), interest)?;
    Ok(socket)
}

/// Sends what the kernel takes; `None` when it takes nothing now.
pub(super) fn send_some(socket: &OwnedFd, bytes: &[u8]) -> Result<Option<usize>, Errno> {
    match send(socket, bytes, SendFlags::NOSIGNAL) {
        Ok(sent) => Ok(Some(sent)),
        Err(Errno::AGAIN | Errno::INTR) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Receives what there is; `None` when there is nothing now, `Some(0)` at the peer's FIN.
pub(super) fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> Result<Option<usize>, Errno> {
    match recv(socket, buffer, RecvFlags::empty()) {
        Ok((received, _)) => Ok(Some(received)),
        Err(Errno::AGAIN | Errno::INTR) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Sends our FIN.
pub(super) fn send_fin(socket: &OwnedFd) -> Result<(), Errno> {
    shutdown(socket, Shutdown::Write)
}

/// Whether the handshake is complete; an error is how it failed.
pub(super) fn established(socket: &OwnedFd) -> Result<bool, Errno> {
    sockopt::socket_error(socket)??;
    match rustix::net::getpeername(socket) {
        Ok(_) => Ok(true),
        Err(Errno::NOTCONN) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The outcome that an error in the handshake is.
pub(super) fn handshake_outcome(error: Errno) -> Outcome {
    match error {
        Errno::CONNREFUSED | Errno::CONNRESET => Outcome::ConnectRefused,
        // Established and ended again before the first byte could be sent.
        Errno::PIPE | Errno::NOTCONN => Outcome::ResetLater,
        Errno::TIMEDOUT => Outcome::ConnectTimeout,
        Errno::NETUNREACH | Errno::HOSTUNREACH | Errno::NETDOWN | Errno::HOSTDOWN => Outcome::ConnectUnreachable,
        // No descriptor, port, buffer or permission: nothing reached the wire.
        _ => Outcome::LocalError,
    }
}

/// The outcome that an error on an established connection is.
pub(super) fn later_outcome(error: Errno) -> Outcome {
    match error {
        // After a RST the socket is no longer connected.
        Errno::CONNRESET | Errno::PIPE | Errno::CONNABORTED | Errno::CONNREFUSED | Errno::NOTCONN => {
            Outcome::ResetLater
        }
        Errno::TIMEDOUT | Errno::HOSTUNREACH | Errno::NETUNREACH => Outcome::ResponseTimeout,
        _ => Outcome::LocalError,
    }
}
