//! Where virtual services listen: one socket for each worker.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;

use host::datagram;

use crate::config::{Config, Mode, VirtualService};
use crate::run::StartError;
use crate::service::SharedService;

/// Bytes of datagrams that may wait for a worker, if `net.core.rmem_max` or privileges allow: what comes in
/// some tens of milliseconds at a rate that one worker can carry.
const DATAGRAM_BUFFER: usize = 4 << 20;

/// Where a worker takes the clients of one virtual service from.
#[derive(Debug)]
pub(crate) enum Listener {
    /// Connections.
    Stream(TcpListener),
    /// Datagrams; the socket is the worker's of [`SharedService::sockets`].
    Datagrams(Arc<UdpSocket>),
}

impl Listener {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Stream(listener) => listener.local_addr(),
            Self::Datagrams(socket) => socket.local_addr(),
        }
    }
}

/// The listeners of one worker, one per virtual service.
pub(crate) type Listeners = Vec<Listener>;

/// Opens every listener, `workers` per service; returns the services as they listen now, and the
/// listeners by worker.
///
/// # Errors
/// [`StartError::Listen`] for the first service that cannot.
pub(crate) fn listen_all(
    config: &Config,
    workers: usize,
) -> Result<(Vec<Arc<SharedService>>, Vec<Listeners>), StartError> {
    let mut services = Vec::new();
    let mut by_worker: Vec<Listeners> = (0..workers).map(|_| Vec::new()).collect();
    for service in &config.services {
        let error = |source| StartError::Listen { service: service.name.clone(), address: service.listen, source };
        let listeners = listen(service, workers).map_err(error)?;
        let address = listeners[0].local_addr().map_err(error)?;
        let mut shared = SharedService::new(Arc::clone(service), address, workers);
        for (own, listener) in by_worker.iter_mut().zip(listeners) {
            if let Listener::Datagrams(socket) = &listener {
                shared.sockets.push(Arc::clone(socket));
            }
            own.push(listener);
        }
        services.push(Arc::new(shared));
    }
    Ok((services, by_worker))
}

fn listen(service: &VirtualService, workers: usize) -> io::Result<Listeners> {
    if workers == 1 {
        return Ok(vec![listen_as(service.mode, service.listen, false)?]);
    }
    // A shared port would be shared with another load balancer of the same user as well, silently:
    // first see whether it is free for us alone.
    if service.listen.port() != 0 {
        drop(listen_as(service.mode, service.listen, false)?);
    }
    let first = listen_as(service.mode, service.listen, true)?;
    let address = first.local_addr()?;
    let mut listeners = vec![first];
    while listeners.len() < workers {
        listeners.push(listen_as(service.mode, address, true)?);
    }
    Ok(listeners)
}

fn listen_as(mode: Mode, address: SocketAddr, shared_port: bool) -> io::Result<Listener> {
    match mode {
        Mode::Tcp | Mode::Http => listen_to_connections(mode, address, shared_port).map(Listener::Stream),
        Mode::Udp => {
            let with_local_address = address.ip().is_unspecified();
            let buffer_bytes = DATAGRAM_BUFFER;
            let options =
                datagram::Options { shared_port, buffer_bytes, with_local_address, ..datagram::Options::default() };
            datagram::bind(address, options).map(|socket| Listener::Datagrams(Arc::new(socket)))
        }
    }
}

/// Accepted connections inherit options from their listener, which saves system calls for each.
fn listen_to_connections(mode: Mode, address: SocketAddr, shared_port: bool) -> io::Result<TcpListener> {
    let listener = host::socket::listen(address, shared_port)?;
    let options = socket2::SockRef::from(&listener);
    options.set_tcp_nodelay(true)?;
    if mode == Mode::Http {
        // A request is acknowledged by its response: one segment of twelve less per connection. Where a
        // request is not whole yet, it is acknowledged at once all the same (`acknowledge`): its client
        // may hold back the rest until then. HAProxy does both. A TCP service may have nothing to say
        // for long.
        options.set_tcp_quickack(false)?;
    }
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_connections_send_without_delay() {
        let listener = listen_to_connections(Mode::Http, "127.0.0.1:0".parse().unwrap(), false).unwrap();
        let _client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        // The connection was complete before `connect` returned.
        assert!(listener.accept().unwrap().0.nodelay().unwrap());
    }

    #[test]
    fn only_http_connections_begin_with_acknowledging_by_what_they_answer() {
        for (mode, at_once) in [(Mode::Http, false), (Mode::Tcp, true)] {
            let listener = listen_to_connections(mode, "127.0.0.1:0".parse().unwrap(), false).unwrap();
            let _client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let accepted = listener.accept().unwrap().0;
            assert_eq!(socket2::SockRef::from(&accepted).tcp_quickack().unwrap(), at_once, "{mode:?}");
        }
    }
}
