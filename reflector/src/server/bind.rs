//! Sockets for all addresses and threads, before any thread starts.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use super::StartError;
use crate::config::{Config, Kind};
use crate::udp;

/// Bound sockets; of those with connections and those with datagrams one set per thread.
pub(super) struct Bound {
    /// The real addresses, in the order of the configuration.
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) listeners: Vec<Vec<(TcpListener, Kind)>>,
    pub(super) datagrams: Vec<Vec<(UdpSocket, Kind)>>,
}

/// One socket per address and thread.
pub(super) fn bind(config: &Config) -> Result<Bound, StartError> {
    let threads = config.threads.get();
    let mut bound = Bound {
        addresses: Vec::with_capacity(config.listeners.len()),
        listeners: (0..threads).map(|_| Vec::new()).collect(),
        datagrams: (0..threads).map(|_| Vec::new()).collect(),
    };
    for listener in &config.listeners {
        let refused = |source| StartError::Bind { address: listener.address, source };
        let (address, kind) = (listener.address, listener.kind);
        let real = if kind.is_udp() {
            spread(address, &mut bound.datagrams, kind, udp::bind, UdpSocket::local_addr)
        } else {
            spread(address, &mut bound.listeners, kind, listen, TcpListener::local_addr)
        };
        bound.addresses.push(real.map_err(refused)?);
    }
    Ok(bound)
}

fn listen(address: SocketAddr, shared_port: bool) -> io::Result<TcpListener> {
    let socket = host::socket::listen(address, shared_port)?;
    host::socket::no_delay(&socket)?;
    Ok(socket)
}

/// Binds one address once for each thread; returns it with the port that all of them have.
fn spread<S>(
    configured: SocketAddr,
    threads: &mut [Vec<(S, Kind)>],
    kind: Kind,
    bind: impl Fn(SocketAddr, bool) -> io::Result<S>,
    local: impl Fn(&S) -> io::Result<SocketAddr>,
) -> io::Result<SocketAddr> {
    let shared = threads.len() > 1;
    if shared && configured.port() != 0 {
        // A shared port would quietly join another program of this user that shares it too.
        drop(bind(configured, false)?);
    }
    let mut address = configured;
    for thread in threads {
        let socket = bind(address, shared)?;
        address = local(&socket)?;
        thread.push((socket, kind));
    }
    Ok(address)
}
