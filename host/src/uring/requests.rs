//! What a ring puts into its submission queue.

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use io_uring::squeue::{self, Flags};
use io_uring::{opcode, types};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use super::buffers::GROUP;
use super::entry::{Kind, token};
use super::{Ring, Route, descriptor};

/// Most requests of one call: SOCKET, two options, BIND, CONNECT, SEND, RECV.
pub(super) const CHAIN_MAX: usize = 7;

const IP_LOCAL_PORT_RANGE: u32 = 51;
static ON: libc::c_int = 1;
static RESET: libc::linger = libc::linger { l_onoff: 1, l_linger: 0 };

impl Ring {
    /// A normal socket, bound as the route says.
    pub(super) fn socket(&self, route: &Route) -> Result<OwnedFd, Errno> {
        let family = if route.to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        if let Some(range) = &self.ports {
            // Before Linux 6.3 the range is not to be had.
            let _ = crate::socket::local_port_range(&socket, **range as u16, (**range >> 16) as u16);
        }
        if let Some(address) = route.from {
            // Before Linux 4.2 `bind` takes a port at once, which is correct, only scarcer.
            let _ = crate::socket::bind_address_no_port(&socket);
            rustix::net::bind(&socket, &SocketAddr::new(address, 0))?;
        }
        Ok(socket)
    }

    /// Makes room for so many requests, by submitting what is queued if need be.
    pub(super) fn reserve(&mut self, requests: usize) -> Result<(), Errno> {
        let room = |ring: &mut Self| {
            let queue = ring.ring.submission();
            queue.capacity() - queue.len() >= requests
        };
        if room(self) {
            return Ok(());
        }
        let submitted = self.ring.submit();
        self.note_split(submitted.is_ok());
        match submitted {
            _ if room(self) => Ok(()),
            Ok(_) => Err(Errno::AGAIN),
            Err(error) => Err(Errno::from_io_error(&error).unwrap_or(Errno::AGAIN)),
        }
    }

    /// Queues a request of a connection; room has been reserved.
    fn push(&mut self, index: u32, kind: Kind, request: squeue::Entry, link: Flags) {
        let request = request.user_data(token(index, kind)).flags(link);
        // SAFETY: whatever the request points to lives until it completes: addresses until they are
        // submitted (`Addresses`), options in statics or in the ring, sent bytes in the entry, received
        // ones in `Buffers`; the ring gives none of it up before all requests have completed. A normal
        // descriptor stays open for as long as a link may look it up: `retire` drops it when the entry is
        // quiet, and `abandon` when all of its requests have begun.
        let pushed = unsafe { self.ring.submission().push(&request) };
        debug_assert!(pushed.is_ok(), "room has been reserved");
        if pushed.is_ok() {
            self.entries[index as usize].queued(kind);
        }
    }

    /// SOCKET, options and BIND of a direct descriptor, linked to what follows.
    pub(super) fn queue_socket(&mut self, index: u32, route: &Route) {
        let family = if route.to.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
        let place = types::DestinationSlot::try_from_slot_target(index).ok();
        let socket = opcode::Socket::new(family, libc::SOCK_STREAM, 0).file_index(place).build();
        self.push(index, Kind::Socket, socket, Flags::IO_LINK);
        let fixed = types::Fixed(index);
        // A refused option does not break the chain, as it does not for normal sockets.
        if let Some(range) = &self.ports {
            let range = &raw const **range;
            self.push(index, Kind::Option, option(fixed, libc::SOL_IP, IP_LOCAL_PORT_RANGE, range), Flags::IO_HARDLINK);
        }
        if let Some(address) = route.from {
            let name = libc::IP_BIND_ADDRESS_NO_PORT as u32;
            self.push(index, Kind::Option, option(fixed, libc::SOL_IP, name, &raw const ON), Flags::IO_HARDLINK);
            let (address, length) = self.addresses.put(SocketAddr::new(address, 0));
            let bind = opcode::Bind::new(fixed, address, length).build();
            self.push(index, Kind::Bind, bind, Flags::IO_LINK);
        }
    }

    /// CONNECT, SEND unless there is nothing to send, and RECV.
    pub(super) fn queue_connect(&mut self, index: u32, to: SocketAddr, request: &[u8]) {
        let (address, length) = self.addresses.put(to);
        let connect = match self.descriptor(index) {
            Some(descriptor) => opcode::Connect::new(descriptor, address, length).build(),
            None => opcode::Connect::new(types::Fixed(index), address, length).build(),
        };
        self.push(index, Kind::Connect, connect, Flags::IO_LINK);
        if !request.is_empty() {
            let buffer = self.filled(request);
            self.queue_send(index, buffer, true);
        }
        self.queue_receive(index);
    }

    /// SEND of all bytes of a buffer.
    pub(super) fn queue_send(&mut self, index: u32, buffer: Vec<u8>, linked: bool) {
        self.entries[index as usize].sending = Some((buffer, 0));
        self.queue_rest(index, if linked { Flags::IO_LINK } else { Flags::empty() });
    }

    /// SEND of the bytes that have not been taken.
    fn queue_rest(&mut self, index: u32, link: Flags) {
        let Some((buffer, from)) = &self.entries[index as usize].sending else { return };
        let (bytes, length) = (buffer[*from..].as_ptr(), (buffer.len() - from) as u32);
        // Without WAITALL a short send would not break the chain.
        let flags = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;
        let send = match self.descriptor(index) {
            Some(descriptor) => opcode::Send::new(descriptor, bytes, length).flags(flags).build(),
            None => opcode::Send::new(types::Fixed(index), bytes, length).flags(flags).build(),
        };
        self.push(index, Kind::Send, send, link);
    }

    /// RECV that completes with every arrival until the peer ends.
    fn queue_receive(&mut self, index: u32) {
        let receive = match self.descriptor(index) {
            Some(descriptor) => opcode::RecvMulti::new(descriptor, GROUP).build(),
            None => opcode::RecvMulti::new(types::Fixed(index), GROUP).build(),
        };
        // `RecvMulti` sets a flag of its own (BUFFER_SELECT), which `flags` adds to.
        self.push(index, Kind::Receive, receive, Flags::BUFFER_SELECT);
    }

    /// Cancels the first request that waits for the peer; the ones linked to it end with it.
    pub(super) fn queue_cancel(&mut self, index: u32) {
        let Some(kind) = self.entries[index as usize].waiting() else { return };
        if self.reserve(1).is_err() {
            return self.late.push(index);
        }
        self.push(index, Kind::Cancel, opcode::AsyncCancel::new(token(index, kind)).build(), Flags::empty());
    }

    /// CLOSE of a direct descriptor, after a cancellation of what it is doing.
    pub(super) fn queue_close(&mut self, index: u32, reset: bool) {
        if self.reserve(3).is_err() {
            // It is closed as soon as there is room; by then nobody asks for a RST.
            return self.late.push(index);
        }
        let fixed = types::Fixed(index);
        if reset {
            let linger = option(fixed, libc::SOL_SOCKET, libc::SO_LINGER as u32, &raw const RESET);
            self.push(index, Kind::Option, linger, Flags::IO_HARDLINK);
        }
        if let Some(kind) = self.entries[index as usize].waiting() {
            let cancel = opcode::AsyncCancel::new(token(index, kind)).build();
            self.push(index, Kind::Cancel, cancel, Flags::IO_HARDLINK);
        }
        self.push(index, Kind::Close, opcode::Close::new(fixed).build(), Flags::empty());
    }

    /// A send has completed: the rest of it, or what comes next. `false` when bytes that should be sent
    /// never will be.
    pub(super) fn sent(&mut self, index: usize, result: i32) -> bool {
        let entry = &mut self.entries[index];
        let goes_on = !entry.closing && result > 0;
        let Some((buffer, from)) = &mut entry.sending else { return true };
        *from += usize::try_from(result).unwrap_or(0).min(buffer.len() - *from);
        let rest = goes_on && *from < buffer.len();
        if rest && self.reserve(1).is_ok() {
            self.queue_rest(index as u32, Flags::empty());
            return true;
        }
        let entry = &mut self.entries[index];
        let (done, next) = (entry.sending.take(), entry.next.take());
        done.into_iter().for_each(|(buffer, _)| self.keep(buffer));
        let Some(buffer) = next.filter(|_| goes_on) else { return !rest };
        if rest || self.reserve(1).is_err() {
            return false;
        }
        self.queue_send(index as u32, buffer, false);
        true
    }

    /// A receive has ended without the connection's end: for want of buffers, with its chain, or
    /// because the kernel wanted so. `false` when there should be another one and cannot be.
    pub(super) fn receive_again(&mut self, index: usize, result: i32) -> bool {
        let goes_on = result > 0 || result == -libc::ENOBUFS || result == -libc::ECANCELED;
        if !goes_on || !self.entries[index].connected {
            return true;
        }
        if self.reserve(1).is_err() {
            return false;
        }
        self.queue_receive(index as u32);
        true
    }

    fn descriptor(&self, index: u32) -> Option<types::Fd> {
        descriptor(&self.entries[index as usize]).map(|socket| types::Fd(socket.as_raw_fd()))
    }

    /// A request buffer with these bytes.
    pub(super) fn filled(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.clear();
        buffer.extend_from_slice(bytes);
        buffer
    }
}

/// SETSOCKOPT of a direct descriptor; the value lives until the request completes.
fn option<T>(fixed: types::Fixed, level: libc::c_int, name: u32, value: *const T) -> squeue::Entry {
    opcode::SetSockOpt::new(fixed, level as u32, name, value.cast(), size_of::<T>() as u32).build()
}
