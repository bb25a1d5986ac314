//! Listeners, and the socket options that std does not have.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

/// Length of the accept queue we ask for; the kernel cuts it to `net.core.somaxconn`.
pub const BACKLOG: i32 = 4096;

/// A non-blocking listener with `SO_REUSEADDR`, and with `SO_REUSEPORT` if several threads share
/// the port. An IPv6 listener takes IPv6 only.
///
/// # Errors
/// The kernel's reason, for example `EADDRINUSE`.
pub fn listen(address: SocketAddr, shared_port: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if shared_port {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Takes one connection from the accept queue as a non-blocking stream, in one system call where
/// std needs two.
///
/// # Errors
/// `WouldBlock` when the queue is empty; otherwise the kernel's reason, for example `EMFILE`.
pub fn accept<F: AsFd>(listener: &F) -> io::Result<(TcpStream, SocketAddr)> {
    use rustix::net::SocketFlags;
    let (socket, peer) = rustix::net::acceptfrom_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)?;
    // Linux has the peer's address even when the peer has reset the connection meanwhile.
    let peer = peer.ok_or(io::ErrorKind::NotConnected)?.try_into()?;
    Ok((socket.into(), peer))
}

/// Sends small writes at once instead of waiting for the peer to acknowledge earlier ones. What a
/// listener has, the connections it accepts inherit.
///
/// # Errors
/// The kernel's reason.
pub fn no_delay<F: AsFd>(socket: &F) -> io::Result<()> {
    Ok(rustix::net::sockopt::set_tcp_nodelay(socket, true)?)
}

/// Makes `close` send a RST instead of a FIN.
///
/// # Errors
/// The kernel's reason.
pub fn reset_on_close<F: AsFd>(socket: &F) -> io::Result<()> {
    Ok(rustix::net::sockopt::set_socket_linger(socket, Some(Duration::ZERO))?)
}

/// Lets `bind` choose only the address and leaves the port to `connect`, which can then share a
/// local port between connections to different peers (Linux 4.2, ip(7)).
///
/// # Errors
/// The kernel's reason.
pub fn bind_address_no_port<F: AsFd>(socket: &F) -> io::Result<()> {
    set_ip_option(socket, libc::IP_BIND_ADDRESS_NO_PORT, 1)
}

/// Narrows the ports that `connect` chooses from for this socket (Linux 6.3, ip(7)); it cannot
/// widen `net.ipv4.ip_local_port_range`.
///
/// # Errors
/// The kernel's reason: `ENOPROTOOPT` before Linux 6.3, `EINVAL` for an empty range.
pub fn local_port_range<F: AsFd>(socket: &F, first: u16, last: u16) -> io::Result<()> {
    const IP_LOCAL_PORT_RANGE: libc::c_int = 51;
    set_ip_option(socket, IP_LOCAL_PORT_RANGE, i32::from(first) | (i32::from(last) << 16))
}

fn set_ip_option<F: AsFd>(socket: &F, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    // SAFETY: the descriptor is open for as long as the borrow lasts, and the kernel reads exactly
    // the given number of bytes from a live integer.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_IP,
            name,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Bytes that were written to a TCP socket and that the peer's kernel has not acknowledged.
///
/// # Errors
/// The kernel's reason.
pub fn unacknowledged<F: AsFd>(socket: &F) -> io::Result<u32> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the descriptor is open for as long as the borrow lasts, and SIOCOUTQ, which has the
    // number of TIOCOUTQ (tcp(7)), writes one int to a live one.
    let result = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if result == 0 { Ok(u32::try_from(bytes).unwrap_or(0)) } else { Err(io::Error::last_os_error()) }
}

/// What the kernel dropped at this socket since it was made: for a listener, connections that found
/// its accept queue full; for a datagram socket, datagrams that found its buffer full.
///
/// # Errors
/// The kernel's reason; `SO_MEMINFO` needs Linux 4.12.
pub fn drops<F: AsFd>(socket: &F) -> io::Result<u32> {
    const SO_MEMINFO: libc::c_int = 55;
    const SK_MEMINFO_DROPS: usize = 8;
    let mut values = [0_u32; 9];
    let mut length = size_of_val(&values) as libc::socklen_t;
    // SAFETY: the descriptor is open for as long as the borrow lasts, and the kernel writes at most
    // `length` bytes into a live array of that size.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            SO_MEMINFO,
            values.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result == 0 { Ok(values[SK_MEMINFO_DROPS]) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_listener_has_dropped_nothing_and_shares_its_port() {
        let first = listen("127.0.0.1:0".parse().unwrap(), true).unwrap();
        let second = listen(first.local_addr().unwrap(), true).unwrap();
        assert_eq!(drops(&first).unwrap() + drops(&second).unwrap(), 0);
    }

    #[test]
    fn an_accepted_connection_is_non_blocking_and_inherits_no_delay() {
        let listener = listen("127.0.0.1:0".parse().unwrap(), false).unwrap();
        no_delay(&listener).unwrap();
        assert_eq!(accept(&listener).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, peer) = accept(&listener).unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
        assert!(stream.nodelay().unwrap());
        assert_eq!(io::Read::read(&mut &stream, &mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn what_the_peer_has_no_room_for_is_unacknowledged() {
        let listener = listen("127.0.0.1:0".parse().unwrap(), false).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = accept(&listener).unwrap();
        assert_eq!(unacknowledged(&stream).unwrap(), 0);
        while io::Write::write(&mut &stream, &[0; 65_536]).is_ok() {}
        assert!(unacknowledged(&stream).unwrap() > 0);
        drop(client);
    }

    #[test]
    fn connect_takes_a_port_from_the_given_range() {
        let listener = listen("127.0.0.1:0".parse().unwrap(), false).unwrap();
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
        bind_address_no_port(&socket).unwrap();
        local_port_range(&socket, 40_000, 40_099).unwrap();
        socket.bind(&"127.0.0.9:0".parse::<SocketAddr>().unwrap().into()).unwrap();
        socket.connect(&listener.local_addr().unwrap().into()).unwrap();
        let local = TcpStream::from(socket).local_addr().unwrap();
        assert_eq!(local.ip().to_string(), "127.0.0.9");
        assert!((40_000..=40_099).contains(&local.port()), "{local}");
    }
}
