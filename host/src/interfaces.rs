//! The interfaces of one network namespace: up or not, what passed them, which work they take off the kernel.
//!
//! A handle stays with the namespace of the thread that made it, wherever it is used later: the kernel ties a
//! socket, and an opened file of `/proc/net`, to a namespace. Nothing has to be entered to ask again.
//! What the answers mean is decided elsewhere.

use std::fs::File;
use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use serde::{Deserialize, Serialize};

use crate::link::{FRAME_OVERHEAD, LinkBits};

/// Most bytes of `/proc/net/dev` that are read: some hundred interfaces.
const DEV_MAX: usize = 64 * 1024;

/// The interfaces of one network namespace.
#[derive(Debug)]
pub struct Interfaces {
    socket: UdpSocket,
    dev: File,
}

/// Whether an interface carries frames.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// It is up and has a carrier.
    Running,
    /// It is up, but its other end is not.
    NoCarrier,
    /// It is down.
    Down,
}

/// What passed an interface so far, as the kernel counts it.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Counters {
    /// Bytes received, without the frame checksum.
    pub received_bytes: u64,
    /// Frames received.
    pub received_frames: u64,
    /// Frames that were lost on the way in: errors and drops.
    pub received_lost: u64,
    /// Bytes sent, without the frame checksum.
    pub sent_bytes: u64,
    /// Frames sent.
    pub sent_frames: u64,
    /// Frames that were lost on the way out: errors and drops.
    pub sent_lost: u64,
}

impl Counters {
    /// The same in bits on the wire of an Ethernet.
    pub fn bits(self) -> LinkBits {
        let on_wire = |bytes: u64, frames: u64| (bytes + frames * FRAME_OVERHEAD) * 8;
        LinkBits {
            received: on_wire(self.received_bytes, self.received_frames),
            sent: on_wire(self.sent_bytes, self.sent_frames),
        }
    }
}

/// Work that an interface can take off the kernel (ethtool(8)).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Offload {
    /// Checksums of what is received.
    ReceiveChecksum,
    /// Checksums of what is sent.
    SendChecksum,
    /// Frames in several pieces of memory.
    ScatterGather,
    /// TCP segments cut by the interface.
    TcpSegmentation,
    /// Large frames cut as late as possible.
    GenericSegmentation,
    /// Small frames merged to large ones.
    GenericReceive,
}

impl Offload {
    /// All of them, in the order in which they can be switched off: segmentation needs scatter-gather, and
    /// that needs checksums.
    pub const ALL: [Self; 6] = [
        Self::GenericReceive,
        Self::GenericSegmentation,
        Self::TcpSegmentation,
        Self::ScatterGather,
        Self::SendChecksum,
        Self::ReceiveChecksum,
    ];

    /// The name that ethtool(8) has for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ReceiveChecksum => "rx-checksumming",
            Self::SendChecksum => "tx-checksumming",
            Self::ScatterGather => "scatter-gather",
            Self::TcpSegmentation => "tcp-segmentation-offload",
            Self::GenericSegmentation => "generic-segmentation-offload",
            Self::GenericReceive => "generic-receive-offload",
        }
    }

    /// The commands that read and write it (linux/ethtool.h).
    fn commands(self) -> (u32, u32) {
        match self {
            Self::ReceiveChecksum => (0x14, 0x15),
            Self::SendChecksum => (0x16, 0x17),
            Self::ScatterGather => (0x18, 0x19),
            Self::TcpSegmentation => (0x1e, 0x1f),
            Self::GenericSegmentation => (0x23, 0x24),
            Self::GenericReceive => (0x2b, 0x2c),
        }
    }
}

/// `struct ethtool_value`.
#[repr(C)]
struct EthtoolValue {
    command: u32,
    data: u32,
}

impl Interfaces {
    /// Those of the namespace that the calling thread is in.
    ///
    /// # Errors
    /// The kernel's reason, for example that /proc is not there.
    pub fn of_this_thread() -> io::Result<Self> {
        // Not connected and not bound by anybody: it only leads to the namespace.
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        Ok(Self { socket, dev: File::open("/proc/thread-self/net/dev")? })
    }

    /// Whether an interface is up and has a carrier.
    ///
    /// # Errors
    /// The kernel's reason: `ENODEV` when it is gone.
    pub fn state(&self, name: &str) -> io::Result<State> {
        let mut request = named(name)?;
        self.control(libc::SIOCGIFFLAGS, &mut request)?;
        // SAFETY: the kernel has written the flags, and every bit pattern is a valid integer.
        let flags = i32::from(unsafe { request.ifr_ifru.ifru_flags });
        // The flag for the carrier comes up to a second late; ETHTOOL_GLINK tells it as it is.
        let mut link = EthtoolValue { command: 0x0a, data: 0 };
        let carrier = match self.ethtool(name, &mut link) {
            Ok(()) => link.data != 0,
            Err(_) => flags & libc::IFF_RUNNING != 0,
        };
        Ok(match (flags & libc::IFF_UP != 0, carrier) {
            (true, true) => State::Running,
            (true, false) => State::NoCarrier,
            (false, _) => State::Down,
        })
    }

    /// Largest IP packet of an interface in bytes.
    ///
    /// # Errors
    /// The kernel's reason: `ENODEV` when it is gone.
    pub fn mtu(&self, name: &str) -> io::Result<u32> {
        let mut request = named(name)?;
        self.control(libc::SIOCGIFMTU, &mut request)?;
        // SAFETY: the kernel has written the MTU, and every bit pattern is a valid integer.
        Ok(unsafe { request.ifr_ifru.ifru_mtu }.unsigned_abs())
    }

    /// What passed an interface so far; `None` when it is gone.
    pub fn counters(&self, name: &str) -> Option<Counters> {
        let mut text = Vec::new();
        while text.len() < DEV_MAX {
            let at = text.len();
            text.resize(at + 4096, 0);
            let read = self.dev.read_at(&mut text[at..], at as u64).ok()?;
            text.truncate(at + read);
            if read == 0 {
                break;
            }
        }
        counters(&String::from_utf8_lossy(&text), name)
    }

    /// Whether an interface does some work.
    ///
    /// # Errors
    /// The kernel's reason: `EOPNOTSUPP` where nobody can say.
    pub fn offload(&self, name: &str, offload: Offload) -> io::Result<bool> {
        let mut value = EthtoolValue { command: offload.commands().0, data: 0 };
        self.ethtool(name, &mut value)?;
        Ok(value.data != 0)
    }

    /// Makes an interface do some work, or not. Needs `CAP_NET_ADMIN`.
    ///
    /// # Errors
    /// The kernel's reason: `EOPNOTSUPP` where it cannot be changed.
    pub fn set_offload(&self, name: &str, offload: Offload, on: bool) -> io::Result<()> {
        let mut value = EthtoolValue { command: offload.commands().1, data: u32::from(on) };
        self.ethtool(name, &mut value)
    }

    fn ethtool(&self, name: &str, value: &mut EthtoolValue) -> io::Result<()> {
        let mut request = named(name)?;
        request.ifr_ifru.ifru_data = std::ptr::from_mut(value).cast();
        self.control(libc::SIOCETHTOOL, &mut request)
    }

    fn control(&self, command: libc::c_ulong, request: &mut libc::ifreq) -> io::Result<()> {
        // SAFETY: the request is alive and has the layout that all the commands of this file expect; what its
        // pointer leads to, if the command has one, is an `ethtool_value` that outlives the call.
        match unsafe { libc::ioctl(self.socket.as_raw_fd(), command as _, std::ptr::from_mut(request)) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// A request about the interface of this name.
fn named(name: &str) -> io::Result<libc::ifreq> {
    // SAFETY: the structure consists of integers and of a pointer that may be null.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The last byte stays 0.
    if name.len() >= request.ifr_name.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    Ok(request)
}

/// One line of `/proc/net/dev` (proc_net_dev(5)).
fn counters(text: &str, name: &str) -> Option<Counters> {
    let line = text.lines().find_map(|line| line.trim_start().strip_prefix(name)?.strip_prefix(':'))?;
    let fields: Vec<u64> = line.split_whitespace().filter_map(|field| field.parse().ok()).collect();
    let at = |index: usize| fields.get(index).copied();
    // bytes packets errs drop fifo frame compressed multicast, and the first four again for what was sent;
    // the kernel counts fifo and frame among the errors.
    Some(Counters {
        received_bytes: at(0)?,
        received_frames: at(1)?,
        received_lost: at(2)? + at(3)?,
        sent_bytes: at(8)?,
        sent_frames: at(9)?,
        sent_lost: at(10)? + at(11)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_from_their_own_line() {
        let text = "Inter-|   Receive  |  Transmit\n face |bytes packets\n    lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n\
                    lo2:100 20 0 0 0 0 0 0 7 8 0 1 0 0 0 0\n";
        let lost = |name: &str| counters(text, name).map(|counters| (counters.received_lost, counters.sent_lost));
        assert_eq!((lost("lo"), lost("lo2"), lost("l")), (Some((7, 23)), Some((0, 1)), None));
        let bits = counters(text, "lo2").unwrap().bits();
        assert_eq!((bits.received, bits.sent), ((100 + 20 * 24) * 8, (7 + 8 * 24) * 8));
    }

    #[test]
    fn loopback_is_running_and_a_missing_interface_is_an_error() {
        let interfaces = Interfaces::of_this_thread().unwrap();
        assert!(interfaces.state("lo").unwrap() == State::Running && interfaces.mtu("lo").unwrap() >= 1_280);
        assert_eq!(interfaces.state("no-such").unwrap_err().raw_os_error(), Some(libc::ENODEV));
        assert!(interfaces.state("a-name-that-is-too-long").is_err());
        let before = interfaces.counters("lo").unwrap();
        let (from, to) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        from.send_to(&[0; 100], to.local_addr().unwrap()).unwrap();
        assert!(interfaces.counters("lo").unwrap().sent_bytes >= before.sent_bytes + 100);
        assert_eq!(interfaces.counters("no-such"), None);
    }

    #[test]
    fn a_handle_stays_with_the_namespace_it_was_made_in() {
        let namespace = match crate::namespace::Namespace::create() {
            Ok(namespace) => namespace,
            Err(error) => {
                assert!(std::env::var_os("NADARE_REQUIRE_ALL").is_none(), "no namespaces: {error}");
                return;
            }
        };
        let inside = namespace.run(Interfaces::of_this_thread).unwrap().unwrap();
        assert_eq!(inside.state("lo").unwrap(), State::Down, "nobody has brought it up");
        assert_eq!(inside.counters("lo"), Some(Counters::default()));
        assert!(inside.offload("lo", Offload::GenericSegmentation).unwrap());
        inside.set_offload("lo", Offload::GenericSegmentation, false).unwrap();
        assert!(!inside.offload("lo", Offload::GenericSegmentation).unwrap());
        let here = Interfaces::of_this_thread().unwrap();
        assert!(here.offload("lo", Offload::GenericSegmentation).unwrap());
    }
}
