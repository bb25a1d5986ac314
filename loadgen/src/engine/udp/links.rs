//! The sockets of one worker's streams: one each, bound to the stream's own address and port.
//!
//! They are not connected: a connected socket never sees an answer from a wrong address, and that would look
//! like a loss. A stream whose socket cannot be had keeps the reason, which every frame of it then has.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;

use host::datagram::{self, Options};
use rustix::event::epoll;

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
    /// Its socket, or why there is none.
    pub(super) socket: Result<UdpSocket, String>,
}

/// The links of one worker.
#[derive(Debug)]
pub(super) struct Links {
    pub(super) all: Vec<Link>,
    /// Ports that somebody else had, so that others were taken.
    pub(super) replaced: u32,
}

impl Links {
    /// Opens the sockets of the streams `worker`, `worker + workers`, … and registers them with their index.
    pub(super) fn open(context: &Context, plan: &UdpPlan, workers: u32, epoll: &OwnedFd) -> Self {
        let services = &context.config.services;
        let streams = plan.streams.get();
        let mut links = Self { all: Vec::new(), replaced: 0 };
        if context.worker >= workers {
            return links;
        }
        let addresses = addresses(context.config.sources.addresses(), services[0]);
        let mut tuples = match Tuples::choose(plan.tuples, streams, addresses, context.config.seed) {
            Ok(tuples) => tuples,
            Err(error) => {
                let (service, local) = (services[0], unspecified(services[0]));
                links.all.push(Link { service, local, socket: Err(error) });
                return links;
            }
        };
        let buffer_bytes = (BUFFERS / usize::from(streams)).clamp(BUFFER.0, BUFFER.1);
        let options = Options { buffer_bytes, with_errors: true, never_fragment: true, ..Options::default() };
        for stream in (context.worker as usize..usize::from(streams)).step_by(workers as usize) {
            let index = links.all.len() as u64;
            let (local, bound) = links.bind(&mut tuples, stream, options);
            let registered = bound.and_then(|socket| {
                epoll::add(epoll, &socket, epoll::EventData::new_u64(index), epoll::EventFlags::IN)?;
                Ok(socket)
            });
            let socket = registered.map_err(|error| format!("bind {local}: {error}"));
            links.all.push(Link { service: services[stream % services.len()], local, socket });
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

    /// Datagrams that the kernel dropped because the sockets' buffers were full.
    pub(super) fn drops(&self) -> u64 {
        let sockets = self.all.iter().filter_map(|link| link.socket.as_ref().ok());
        sockets.map(|socket| u64::from(host::socket::drops(socket).unwrap_or(0))).sum()
    }
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
