//! The sockets of one worker's streams: one each, bound to the stream's own address and port.
//!
//! A stream has a connected socket, which saves the kernel a route for each frame, and beside it one of the same
//! address for strangers: what comes from anybody else than the service would otherwise look like a loss. A stream
//! whose sockets cannot be had keeps the reason, which every frame of it then has.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;

use host::datagram::{self, Options};
use rustix::event::epoll;
use socket2::SockRef;

use crate::engine::socket::Context;
use crate::scenario::plan::UdpPlan;
use crate::workload::udp::tuples::Tuples;

/// Bytes of the buffers of all streams together, and of one stream at least and at most: answers must never be
/// lost for want of them.
const BUFFERS: usize = 64 << 20;
const BUFFER: (usize, usize) = (256 << 10, 4 << 20);
/// How many other ports are tried in place of one that is taken.
const REPLACEMENTS_MAX: u32 = 64;

/// A stream's way to its service.
#[derive(Debug)]
pub(super) struct Link {
    /// Where its frames go.
    pub(super) service: SocketAddr,
    /// Where they come from.
    pub(super) local: SocketAddr,
    /// Its sockets, or why there are none.
    pub(super) sockets: Result<Sockets, String>,
}

/// The sockets of a stream.
#[derive(Debug)]
pub(super) struct Sockets {
    /// Connected with the service.
    pub(super) own: UdpSocket,
    /// For what others send to the same address.
    pub(super) strangers: UdpSocket,
}

/// Which socket an event is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Token {
    /// Index of the stream.
    pub(super) stream: usize,
    /// Whether it is the socket for strangers.
    pub(super) is_strangers: bool,
}

impl Token {
    pub(super) fn of(event: u64) -> Self {
        Self { stream: (event >> 1) as usize, is_strangers: event & 1 == 1 }
    }

    fn data(self) -> epoll::EventData {
        epoll::EventData::new_u64((self.stream as u64) << 1 | u64::from(self.is_strangers))
    }
}

/// The links of one worker.
#[derive(Debug)]
pub(super) struct Links {
    pub(super) all: Vec<Link>,
    /// Ports that somebody else had, so that others were taken.
    pub(super) replaced: u32,
    /// Bytes that each receive buffer was to have.
    buffer_bytes: usize,
}

impl Links {
    /// Opens the sockets of the streams `worker`, `worker + workers`, … and registers them with their index.
    pub(super) fn open(context: &Context, plan: &UdpPlan, workers: u32, epoll: &OwnedFd) -> Self {
        let services = &context.config.services;
        let streams = plan.streams.get();
        let buffer_bytes = (BUFFERS / usize::from(streams)).clamp(BUFFER.0, BUFFER.1);
        let mut links = Self { all: Vec::new(), replaced: 0, buffer_bytes };
        if context.worker >= workers {
            return links;
        }
        let addresses = addresses(context.config.sources.addresses(), services[0]);
        let mut tuples = match Tuples::choose(plan.tuples, streams, addresses, context.config.seed) {
            Ok(tuples) => tuples,
            Err(error) => {
                let (service, local) = (services[0], unspecified(services[0]));
                links.all.push(Link { service, local, sockets: Err(error) });
                return links;
            }
        };
        let options = Options { buffer_bytes, with_errors: true, never_fragment: true, ..Options::default() };
        for stream in (context.worker as usize..usize::from(streams)).step_by(workers as usize) {
            let (service, index) = (services[stream % services.len()], links.all.len());
            let (local, bound) = links.bind(&mut tuples, stream, options);
            let sockets = bound.and_then(|own| sockets(own, service, (epoll, index)));
            let sockets = sockets.map_err(|error| format!("bind {local} towards {service}: {error}"));
            links.all.push(Link { service, local, sockets });
        }
        links
    }

    /// Binds the port of a stream, or the next ones if it is taken.
    fn bind(&mut self, tuples: &mut Tuples, stream: usize, options: Options) -> (SocketAddr, io::Result<UdpSocket>) {
        let mut local = tuples.chosen()[stream];
        for _ in 0..REPLACEMENTS_MAX {
            let bound = datagram::bind(local, options);
            let is_taken = bound.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse);
            let Some(another) = is_taken.then(|| tuples.another()).flatten() else { return (local, bound) };
            self.replaced += 1;
            local = another;
        }
        (local, datagram::bind(local, options))
    }

    /// Bytes that receive buffers were to have and that the smallest has, if the kernel gave less.
    pub(super) fn smaller_buffers(&self) -> Option<(usize, usize)> {
        let sockets = self.all.iter().filter_map(|link| link.sockets.as_ref().ok());
        // The kernel doubles what it is asked for, to have room for its own books, and says so.
        let sizes = sockets.filter_map(|sockets| SockRef::from(&sockets.own).recv_buffer_size().ok());
        sizes.min().map(|size| (self.buffer_bytes, size / 2)).filter(|(asked, found)| found < asked)
    }

    /// Datagrams that the kernel dropped because the sockets' buffers were full.
    pub(super) fn drops(&self) -> u64 {
        let sockets = self.all.iter().filter_map(|link| link.sockets.as_ref().ok());
        sockets.map(|sockets| u64::from(host::socket::drops(&sockets.own).unwrap_or(0))).sum()
    }
}

/// Connects a stream's socket, with one for strangers, and registers both under the stream's index.
fn sockets(own: UdpSocket, service: SocketAddr, (epoll, stream): (&OwnedFd, usize)) -> io::Result<Sockets> {
    let strangers = datagram::connect_apart(&own, service)?;
    for (socket, is_strangers) in [(&own, false), (&strangers, true)] {
        epoll::add(epoll, socket, Token { stream, is_strangers }.data(), epoll::EventFlags::IN)?;
    }
    Ok(Sockets { own, strangers })
}

/// The addresses of the service's family; the kernel's choice where there is none.
fn addresses(all: &[IpAddr], service: SocketAddr) -> Vec<IpAddr> {
    let same: Vec<_> = all.iter().copied().filter(|address| address.is_ipv4() == service.is_ipv4()).collect();
    if same.is_empty() { vec![unspecified(service).ip()] } else { same }
}

fn unspecified(service: SocketAddr) -> SocketAddr {
    let any = if service.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
    SocketAddr::new(any, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_costs_less_than_256_bytes() {
        // Besides its link a stream has the number that is expected next; a frame under way has 16 bytes in a
        // window that all streams of a worker share, as they share the histograms.
        assert!(size_of::<Link>() + size_of::<u64>() <= 256, "{}", size_of::<Link>());
    }
}
