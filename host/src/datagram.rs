//! Datagrams in batches: many with one system call, each still a packet of its own.
//!
//! [`Receiver`] and [`Sender`] own their buffers, so nothing is allocated per datagram. Segmentation
//! offload (GSO) is never used: on a virtual link it would pass many datagrams as one packet.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::ptr;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// Most datagrams of one batch.
pub const BATCH_MAX: usize = 256;

/// Room for one control message with an address, aligned as the kernel wants it.
type Control = [u64; 8];

/// How a socket for datagrams is made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Other sockets may have the same address: the kernel spreads flows over them.
    pub shared_port: bool,
    /// Bytes of the receive and of the send buffer; 0 leaves the kernel's. Beyond `net.core.rmem_max` only
    /// with privileges.
    pub buffer_bytes: usize,
    /// Tell to which of this host's addresses a datagram was sent, and allow to choose the sender's.
    pub with_local_address: bool,
    /// Report what ICMP said about earlier datagrams, and frames that the sending queue had no room for.
    pub with_errors: bool,
    /// Refuse a datagram that does not fit the interface as one packet (`EMSGSIZE`), and tell routers not to cut
    /// it either.
    pub never_fragment: bool,
}

/// A non-blocking socket; an IPv6 one takes IPv6 only.
///
/// # Errors
/// The kernel's reason, for example `EADDRINUSE`.
pub fn bind(address: SocketAddr, options: Options) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    if options.shared_port {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if options.buffer_bytes > 0 {
        set_buffers(&socket, options.buffer_bytes)?;
    }
    let (level, errors, local) = match address {
        SocketAddr::V4(_) => (libc::SOL_IP, libc::IP_RECVERR, libc::IP_PKTINFO),
        SocketAddr::V6(_) => (libc::SOL_IPV6, libc::IPV6_RECVERR, libc::IPV6_RECVPKTINFO),
    };
    if options.with_errors {
        set_option(&socket, level, errors, 1)?;
    }
    if options.with_local_address {
        set_option(&socket, level, local, 1)?;
    }
    if options.never_fragment {
        // "Probe" keeps to the interface's MTU, but not to what ICMP said of the path: a packet that is too
        // long for that is the path's to lose.
        let (discover, probe) = match address {
            SocketAddr::V4(_) => (libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE),
            SocketAddr::V6(_) => (libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_PROBE),
        };
        set_option(&socket, level, discover, probe)?;
    }
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Connects a socket that [`bind`] made without a shared port, and gives a second one with the same address for
/// what does not come from `peer`: a connected socket needs no route for each datagram (some 400 of 2,650 ns), but
/// never sees what a stranger sends.
///
/// # Errors
/// The kernel's reason, for example that no route leads to `peer`.
pub fn connect_apart(socket: &UdpSocket, peer: SocketAddr) -> io::Result<UdpSocket> {
    // Only now: `bind` had to find out whether somebody else has the port.
    socket2::SockRef::from(socket).set_reuse_port(true)?;
    let strangers = bind(socket.local_addr()?, Options { shared_port: true, ..Options::default() })?;
    socket.connect(peer)?;
    Ok(strangers)
}

/// As much as asked for, or as the kernel allows without privileges.
fn set_buffers(socket: &Socket, bytes: usize) -> io::Result<()> {
    let bytes = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    for (forced, usual) in [(libc::SO_RCVBUFFORCE, libc::SO_RCVBUF), (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF)] {
        if set_option(socket, libc::SOL_SOCKET, forced, bytes).is_err() {
            set_option(socket, libc::SOL_SOCKET, usual, bytes)?;
        }
    }
    Ok(())
}

fn set_option<F: AsFd>(socket: &F, level: libc::c_int, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    // SAFETY: the descriptor is open for as long as the borrow lasts, and the kernel reads exactly the given
    // number of bytes from a live integer.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// What came of one look into the error queue of a socket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reported {
    /// ICMP: the destination cannot be reached; nobody listens, or no way leads there.
    Unreachable,
    /// This host could not send: the error number, for example `ENOBUFS`.
    Local(i32),
}

/// Takes one report from the error queue; `None` when it is empty. Needs [`Options::with_errors`].
///
/// # Errors
/// The kernel's reason.
pub fn take_report<F: AsFd>(socket: &F) -> io::Result<Option<Reported>> {
    let mut control: [u64; 64] = [0; 64];
    // SAFETY: all-zero is a valid msghdr.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of_val(&control);
    // SAFETY: the header points at a live array of the given length and at nothing else.
    let result =
        unsafe { libc::recvmsg(socket.as_fd().as_raw_fd(), &raw mut header, libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT) };
    if result < 0 {
        let error = io::Error::last_os_error();
        return if error.kind() == io::ErrorKind::WouldBlock { Ok(None) } else { Err(error) };
    }
    // SAFETY: the kernel has filled in the header; CMSG_FIRSTHDR checks that a whole one is there.
    let message = unsafe { libc::CMSG_FIRSTHDR(&raw const header) };
    if message.is_null() {
        return Ok(Some(Reported::Unreachable));
    }
    // SAFETY: error messages of IP_RECVERR and IPV6_RECVERR begin with a sock_extended_err, and `control` is
    // large enough for it; it may lie unaligned.
    let error = unsafe { ptr::read_unaligned(libc::CMSG_DATA(message).cast::<libc::sock_extended_err>()) };
    let is_local = error.ee_origin == libc::SO_EE_ORIGIN_LOCAL;
    Ok(Some(if is_local { Reported::Local(error.ee_errno as i32) } else { Reported::Unreachable }))
}

/// One received datagram.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// Its payload, cut to the size of the receiver's buffers.
    pub payload: &'a [u8],
    /// Whether the payload was longer than the buffer.
    pub truncated: bool,
    /// Who sent it.
    pub from: SocketAddr,
    /// To which address of this host; `None` without [`Options::with_local_address`].
    pub to: Option<IpAddr>,
}

/// The kernel's structures for one batch. They point into the boxes beside them, which never move.
struct Headers {
    messages: Box<[libc::mmsghdr]>,
    _parts: Box<[libc::iovec]>,
    names: Box<[libc::sockaddr_storage]>,
    controls: Box<[Control]>,
    buffers: Box<[u8]>,
    size: usize,
}

// SAFETY: the raw pointers lead only into boxes of the same value, which move with it to another thread.
unsafe impl Send for Headers {}

impl Headers {
    fn new(count: usize, size: usize) -> Self {
        let count = count.clamp(1, BATCH_MAX);
        let mut buffers = vec![0_u8; count * size].into_boxed_slice();
        let part =
            |at: usize, base: *mut u8| libc::iovec { iov_base: base.wrapping_add(at * size).cast(), iov_len: size };
        let base = buffers.as_mut_ptr();
        let mut parts: Box<[libc::iovec]> = (0..count).map(|at| part(at, base)).collect();
        // SAFETY: all-zero is a valid sockaddr_storage.
        let names = vec![unsafe { std::mem::zeroed() }; count].into_boxed_slice();
        let controls = vec![Control::default(); count].into_boxed_slice();
        let first = parts.as_mut_ptr();
        let message = |at: usize| {
            // SAFETY: all-zero is a valid mmsghdr.
            let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
            message.msg_hdr.msg_iov = first.wrapping_add(at);
            message.msg_hdr.msg_iovlen = 1;
            message
        };
        Self { messages: (0..count).map(message).collect(), _parts: parts, names, controls, buffers, size }
    }

    fn buffer(&self, at: usize) -> &[u8] {
        &self.buffers[at * self.size..(at + 1) * self.size]
    }
}

/// Receives datagrams in batches.
pub struct Receiver {
    headers: Headers,
    count: usize,
    /// Headers that the kernel may have changed: at first all, which nobody has prepared yet.
    changed: usize,
}

impl std::fmt::Debug for Receiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receiver").field("count", &self.count).finish_non_exhaustive()
    }
}

impl Receiver {
    /// Room for so many datagrams (1 to [`BATCH_MAX`]) of so many bytes at once.
    pub fn new(count: usize, size: usize) -> Self {
        let headers = Headers::new(count, size.max(1));
        Self { count: 0, changed: headers.messages.len(), headers }
    }

    /// Takes what has come, at most as many as there is room for, and forgets the batch before. Returns how
    /// many came.
    ///
    /// # Errors
    /// `WouldBlock` when nothing has come; otherwise the kernel's reason, for example `ECONNREFUSED`, which
    /// an earlier datagram of a connected socket has caused.
    pub fn receive<F: AsFd>(&mut self, socket: &F) -> io::Result<usize> {
        // Setting all of them anew would cost as much as receiving a small batch.
        let changed = std::mem::replace(&mut self.changed, 1);
        self.count = 0;
        let Headers { messages, names, controls, .. } = &mut self.headers;
        let parts = messages.iter_mut().zip(names.iter_mut()).zip(controls.iter_mut());
        for ((message, name), control) in parts.take(changed) {
            message.msg_hdr.msg_name = ptr::from_mut(name).cast();
            message.msg_hdr.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            message.msg_hdr.msg_control = control.as_mut_ptr().cast();
            message.msg_hdr.msg_controllen = size_of::<Control>() as _;
            message.msg_hdr.msg_flags = 0;
        }
        // SAFETY: every header points at a name, a control and a data buffer of its own which live as long as
        // `self`, with their true lengths.
        let result = unsafe {
            libc::recvmmsg(
                socket.as_fd().as_raw_fd(),
                messages.as_mut_ptr(),
                messages.len() as libc::c_uint,
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
            )
        };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        (self.count, self.changed) = (result as usize, result as usize);
        Ok(self.count)
    }

    /// The datagrams of the last batch, in the order in which they came.
    pub fn datagrams(&self) -> impl Iterator<Item = Datagram<'_>> {
        (0..self.count).filter_map(|at| self.datagram(at))
    }

    fn datagram(&self, at: usize) -> Option<Datagram<'_>> {
        let message = &self.headers.messages[at];
        let length = (message.msg_len as usize).min(self.headers.size);
        Some(Datagram {
            payload: &self.headers.buffer(at)[..length],
            truncated: message.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
            from: socket_address(&self.headers.names[at])?,
            to: local_address(&message.msg_hdr),
        })
    }
}

/// The address that the kernel has written; `None` for a family that is neither IPv4 nor IPv6.
fn socket_address(name: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match libc::c_int::from(name.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says that the storage holds a sockaddr_in; it is large enough and aligned.
            let name = unsafe { &*ptr::from_ref(name).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(name.sin_addr.s_addr));
            Some(SocketAddr::new(ip.into(), u16::from_be(name.sin_port)))
        }
        libc::AF_INET6 => {
            // SAFETY: as above, a sockaddr_in6.
            let name = unsafe { &*ptr::from_ref(name).cast::<libc::sockaddr_in6>() };
            let (ip, port) = (Ipv6Addr::from(name.sin6_addr.s6_addr), u16::from_be(name.sin6_port));
            Some(SocketAddrV6::new(ip, port, u32::from_be(name.sin6_flowinfo), name.sin6_scope_id).into())
        }
        _ => None,
    }
}

/// The address that a datagram was sent to, from its control message.
fn local_address(header: &libc::msghdr) -> Option<IpAddr> {
    // SAFETY: the kernel has filled in the header; the macro checks that a whole message is there.
    let message = unsafe { libc::CMSG_FIRSTHDR(header) };
    if message.is_null() {
        return None;
    }
    // SAFETY: not null, so it points at a whole header.
    let (level, kind) = unsafe { ((*message).cmsg_level, (*message).cmsg_type) };
    match (level, kind) {
        (libc::SOL_IP, libc::IP_PKTINFO) => {
            // SAFETY: the data of this kind are this structure; it may lie unaligned.
            let info = unsafe { ptr::read_unaligned(libc::CMSG_DATA(message).cast::<libc::in_pktinfo>()) };
            Some(Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr)).into())
        }
        (libc::SOL_IPV6, libc::IPV6_PKTINFO) => {
            // SAFETY: as above.
            let info = unsafe { ptr::read_unaligned(libc::CMSG_DATA(message).cast::<libc::in6_pktinfo>()) };
            Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).into())
        }
        _ => None,
    }
}

/// Sends datagrams in batches. Those of one batch go out through one socket, in their order.
pub struct Sender {
    headers: Headers,
    /// Datagrams that are queued, and how many of them have been sent.
    queued: usize,
    sent: usize,
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sender").field("queued", &self.queued).field("sent", &self.sent).finish_non_exhaustive()
    }
}

impl Sender {
    /// Room for so many datagrams (1 to [`BATCH_MAX`]) of at most so many bytes.
    pub fn new(count: usize, size: usize) -> Self {
        Self { headers: Headers::new(count, size), queued: 0, sent: 0 }
    }

    /// Datagrams that are queued and not sent.
    pub fn left(&self) -> usize {
        self.queued - self.sent
    }

    /// Whether another one has room.
    pub fn has_room(&self) -> bool {
        self.queued < self.headers.messages.len()
    }

    /// Queues a datagram of `length` bytes (at most the size of the buffers) and gives its buffer, which has
    /// the bytes that the last datagram of this place left. `to` is left out on a connected socket; `from`
    /// chooses one of this host's addresses (needs [`Options::with_local_address`]). `None` without room.
    pub fn queue(&mut self, length: usize, to: Option<SocketAddr>, from: Option<IpAddr>) -> Option<&mut [u8]> {
        let at = self.queued;
        if !self.has_room() || length > self.headers.size {
            return None;
        }
        self.queued += 1;
        let headers = &mut self.headers;
        let header = &mut headers.messages[at].msg_hdr;
        match to {
            Some(to) => {
                let address = SockAddr::from(to);
                header.msg_namelen = address.len();
                header.msg_name = ptr::from_mut(&mut headers.names[at]).cast();
                // SAFETY: both are sockaddr_storage, which is plain data.
                headers.names[at] = unsafe { *address.as_ptr().cast::<libc::sockaddr_storage>() };
            }
            None => (header.msg_name, header.msg_namelen) = (ptr::null_mut(), 0),
        }
        choose_source(header, &mut headers.controls[at], from);
        // SAFETY: the pointer leads to this header's own part, which lives as long as `self`.
        unsafe { (*header.msg_iov).iov_len = length };
        Some(&mut headers.buffers[at * headers.size..at * headers.size + length])
    }

    /// Sends what is queued; what the kernel did not take stays queued and goes first the next time. Returns
    /// how many were sent, at least one.
    ///
    /// # Errors
    /// `WouldBlock` when the socket's buffer is full; otherwise the kernel's reason for refusing the first
    /// datagram that is left, which [`Self::drop_first`] gives up.
    pub fn send<F: AsFd>(&mut self, socket: &F) -> io::Result<usize> {
        let messages = &mut self.headers.messages[self.sent..self.queued];
        if messages.is_empty() {
            return Ok(0);
        }
        // SAFETY: every header points at buffers of its own which live as long as `self`, with their lengths.
        let result = unsafe {
            libc::sendmmsg(
                socket.as_fd().as_raw_fd(),
                messages.as_mut_ptr(),
                messages.len() as libc::c_uint,
                libc::MSG_DONTWAIT,
            )
        };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        self.advance(result as usize);
        Ok(result as usize)
    }

    /// Gives up the first datagram that is left.
    pub fn drop_first(&mut self) {
        self.advance(self.left().min(1));
    }

    /// Gives up all that is left.
    pub fn clear(&mut self) {
        (self.queued, self.sent) = (0, 0);
    }

    fn advance(&mut self, count: usize) {
        self.sent += count;
        if self.sent == self.queued {
            self.clear();
        }
    }
}

/// Writes the control message that chooses the sender's address, or none.
fn choose_source(header: &mut libc::msghdr, control: &mut Control, from: Option<IpAddr>) {
    let Some(from) = from else {
        (header.msg_control, header.msg_controllen) = (ptr::null_mut(), 0);
        return;
    };
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of::<Control>() as _;
    // SAFETY: the control buffer is aligned, lives as long as the header's owner and is larger than a header with
    // either of the two structures, so the first message exists and its data fit.
    unsafe {
        let message = libc::CMSG_FIRSTHDR(header);
        let length = match from {
            IpAddr::V4(address) => {
                ((*message).cmsg_level, (*message).cmsg_type) = (libc::SOL_IP, libc::IP_PKTINFO);
                let mut info: libc::in_pktinfo = std::mem::zeroed();
                info.ipi_spec_dst.s_addr = u32::from(address).to_be();
                ptr::write_unaligned(libc::CMSG_DATA(message).cast(), info);
                size_of::<libc::in_pktinfo>()
            }
            IpAddr::V6(address) => {
                ((*message).cmsg_level, (*message).cmsg_type) = (libc::SOL_IPV6, libc::IPV6_PKTINFO);
                let mut info: libc::in6_pktinfo = std::mem::zeroed();
                info.ipi6_addr.s6_addr = address.octets();
                ptr::write_unaligned(libc::CMSG_DATA(message).cast(), info);
                size_of::<libc::in6_pktinfo>()
            }
        };
        (*message).cmsg_len = libc::CMSG_LEN(length as libc::c_uint) as _;
        header.msg_controllen = libc::CMSG_SPACE(length as libc::c_uint) as _;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn readable(socket: &UdpSocket) -> bool {
        let timeout = rustix::event::Timespec { tv_sec: 2, tv_nsec: 0 };
        let mut polled = [rustix::event::PollFd::new(socket, rustix::event::PollFlags::IN)];
        rustix::event::poll(&mut polled, Some(&timeout)).unwrap() == 1
    }

    fn batches_arrive_whole_and_in_order(local: &str) {
        let server = bind(local.parse().unwrap(), Options { with_local_address: true, ..Options::default() }).unwrap();
        let client = bind(local.parse().unwrap(), Options::default()).unwrap();
        let to = server.local_addr().unwrap();
        let mut sender = Sender::new(4, 100);
        for length in [0, 1, 64, 100] {
            sender.queue(length, Some(to), None).unwrap().fill(length as u8);
        }
        assert!(!sender.has_room() && sender.queue(1, Some(to), None).is_none());
        assert_eq!((sender.send(&client).unwrap(), sender.left()), (4, 0));
        assert!(sender.queue(101, Some(to), None).is_none());
        let mut receiver = Receiver::new(8, 64);
        let mut got = Vec::new();
        while got.len() < 4 && readable(&server) {
            receiver.receive(&server).unwrap();
            got.extend(receiver.datagrams().map(|d| (d.payload.to_vec(), d.truncated, d.from, d.to)));
        }
        let from = client.local_addr().unwrap();
        let expected = [(0, 0, false), (1, 1, false), (64, 64, false), (64, 100, true)];
        let expected = expected.map(|(kept, byte, cut)| (vec![byte; kept], cut, from, Some(to.ip())));
        assert_eq!(got, expected);
        assert_eq!(receiver.receive(&server).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(receiver.datagrams().count(), 0);
    }

    #[test]
    fn batches_arrive_whole_and_in_order_over_both_versions() {
        batches_arrive_whole_and_in_order("127.0.0.1:0");
        batches_arrive_whole_and_in_order("[::1]:0");
    }

    #[test]
    fn the_senders_address_can_be_chosen() {
        let server = bind("127.0.0.1:0".parse().unwrap(), Options::default()).unwrap();
        let client =
            bind("0.0.0.0:0".parse().unwrap(), Options { with_local_address: true, ..Options::default() }).unwrap();
        let mut sender = Sender::new(1, 8);
        sender.queue(8, server.local_addr().ok(), Some([127, 0, 0, 9].into())).unwrap();
        sender.send(&client).unwrap();
        assert!(readable(&server));
        let mut receiver = Receiver::new(1, 8);
        receiver.receive(&server).unwrap();
        assert_eq!(receiver.datagrams().next().unwrap().from.ip().to_string(), "127.0.0.9");
    }

    #[test]
    fn strangers_arrive_at_a_socket_of_their_own() {
        for local in ["127.0.0.1:0", "[::1]:0"] {
            let bound = || bind(local.parse().unwrap(), Options::default()).unwrap();
            let (socket, peer, stranger) = (bound(), bound(), bound());
            let address = socket.local_addr().unwrap();
            assert_eq!(
                bind(address, Options { shared_port: true, ..Options::default() }).unwrap_err().kind(),
                io::ErrorKind::AddrInUse
            );
            let strangers = connect_apart(&socket, peer.local_addr().unwrap()).unwrap();
            let mut sender = Sender::new(1, 8);
            for _ in 0..20 {
                peer.send_to(b"peer", address).unwrap();
                stranger.send_to(b"stranger", address).unwrap();
                sender.queue(2, None, None).unwrap();
                sender.send(&socket).unwrap();
            }
            let mut receiver = Receiver::new(4, 16);
            let mut texts = |socket: &UdpSocket| {
                let mut texts = Vec::new();
                while receiver.receive(socket).is_ok() {
                    texts.extend(receiver.datagrams().map(|datagram| datagram.payload.to_vec()));
                }
                texts
            };
            assert_eq!(texts(&socket), vec![b"peer".to_vec(); 20], "{local}");
            assert_eq!(texts(&strangers), vec![b"stranger".to_vec(); 20], "{local}");
            assert_eq!(texts(&peer).len(), 20);
        }
    }

    #[test]
    fn nobody_there_is_reported_and_does_not_stop_the_socket() {
        let options = Options { with_errors: true, ..Options::default() };
        let socket = bind("127.0.0.1:0".parse().unwrap(), options).unwrap();
        let nobody = {
            let gone = bind("127.0.0.1:0".parse().unwrap(), Options::default()).unwrap();
            gone.local_addr().unwrap()
        };
        let mut sender = Sender::new(1, 8);
        sender.queue(8, Some(nobody), None).unwrap();
        sender.send(&socket).unwrap();
        // Loopback delivers ICMP before `send` returns.
        assert_eq!(take_report(&socket).unwrap(), Some(Reported::Unreachable));
        assert_eq!(take_report(&socket).unwrap(), None);
        assert!(socket.set_read_timeout(Some(Duration::from_millis(1))).is_ok());
    }

    #[test]
    fn what_does_not_fit_one_packet_is_refused_where_fragments_are_not_wanted() {
        for local in ["127.0.0.1:0", "[::1]:0"] {
            let local: SocketAddr = local.parse().unwrap();
            let send = |never_fragment| {
                let socket = bind(local, Options { never_fragment, ..Options::default() }).unwrap();
                // The largest payload of IPv6; with the headers more than loopback's MTU of 65,536.
                let mut sender = Sender::new(1, 65_527);
                let longest = if local.is_ipv4() { 65_507 } else { 65_527 };
                sender.queue(longest, socket.local_addr().ok(), None).unwrap();
                sender.send(&socket).map_err(|error| error.raw_os_error())
            };
            assert_eq!(send(false), Ok(1), "{local}");
            // IPv4 cannot be that long: it fits.
            assert_eq!(send(true), if local.is_ipv4() { Ok(1) } else { Err(Some(libc::EMSGSIZE)) }, "{local}");
        }
    }

    #[test]
    fn what_the_kernel_refuses_stays_until_it_is_given_up() {
        let socket = bind("127.0.0.1:0".parse().unwrap(), Options::default()).unwrap();
        let mut sender = Sender::new(3, 8);
        // An IPv6 destination on an IPv4 socket, then a good one.
        sender.queue(8, Some("[::1]:9".parse().unwrap()), None).unwrap();
        sender.queue(8, socket.local_addr().ok(), None).unwrap();
        assert!(sender.send(&socket).is_err());
        assert_eq!(sender.left(), 2);
        sender.drop_first();
        assert_eq!((sender.send(&socket).unwrap(), sender.left()), (1, 0));
    }
}
