//! Free ports, looked for where the DUT listens: in its namespace, over its protocol.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use host::datagram::{self, Options};
use host::namespace::Namespace;

use crate::testbed::error::TestbedError;

/// Where a port is free or not.
#[derive(Clone, Copy)]
pub(super) struct Where<'a> {
    /// `None` is this one.
    pub(super) namespace: Option<&'a Namespace>,
    /// UDP instead of TCP.
    pub(super) is_udp: bool,
}

impl Where<'_> {
    /// A free port, held until the descriptor is dropped.
    pub(super) fn held_port(self, ip: IpAddr) -> Result<(OwnedFd, u16), TestbedError> {
        let address = SocketAddr::new(ip, 0);
        let held = self.bind(address).map(|(socket, bound)| (socket, bound.port()));
        held.map_err(|source| TestbedError::Listen { address, source })
    }

    /// Whether somebody has an address.
    pub(super) fn is_taken(self, address: SocketAddr) -> Result<bool, TestbedError> {
        match self.bind(address) {
            Ok(_) => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(true),
            Err(source) => Err(TestbedError::Listen { address, source }),
        }
    }

    fn bind(self, address: SocketAddr) -> io::Result<(OwnedFd, SocketAddr)> {
        within(self.namespace, || {
            if self.is_udp {
                let socket = datagram::bind(address, Options::default())?;
                let bound = socket.local_addr()?;
                return Ok((socket.into(), bound));
            }
            let listener = host::socket::listen(address, false)?;
            let bound = listener.local_addr()?;
            Ok((listener.into(), bound))
        })
    }
}

/// Does something in a namespace, or here.
pub(super) fn within<T: Send>(
    namespace: Option<&Namespace>,
    work: impl FnOnce() -> io::Result<T> + Send,
) -> io::Result<T> {
    match namespace {
        Some(namespace) => namespace.run(work)?,
        None => work(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn a_port_somebody_has_is_taken_and_a_held_one_is_not_given_twice() {
        let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
        for is_udp in [false, true] {
            let here = Where { namespace: None, is_udp };
            let (held, port) = here.held_port(ip).unwrap();
            assert!(here.is_taken(SocketAddr::new(ip, port)).unwrap());
            assert_ne!(here.held_port(ip).unwrap().1, port);
            drop(held);
            assert!(!here.is_taken(SocketAddr::new(ip, port)).unwrap());
        }
    }
}
