//! Makes rings, and finds out what this kernel lets one do.
//!
//! Opcodes are probed, but flags of an opcode and the commands of a socket cannot be; so [`probe`] also
//! carries a byte over a connection of each kind.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use io_uring::{IoUring, Probe, opcode};

use super::buffers::Buffers;
use super::{Event, Ring, Route};
use crate::clock::monotonic_ns;

/// Places of the submission queue: those of the largest turn, 64 new connections and their ends.
pub(super) const SUBMISSIONS: u32 = 1_024;
/// Places of the completion queue; what does not fit waits in the kernel.
const COMPLETIONS: u32 = 8_192;
/// How long a byte of the probe may take.
const PROBE_NS: u64 = 1_000_000_000;

/// Opcodes that nothing works without.
const NEEDED: [(u8, &str); 4] = [
    (opcode::Connect::CODE, "CONNECT"),
    (opcode::Send::CODE, "SEND"),
    (opcode::Recv::CODE, "RECV"),
    (opcode::AsyncCancel::CODE, "ASYNC_CANCEL"),
];
/// Opcodes that direct descriptors need beside.
const DIRECT: [(u8, &str); 4] = [
    (opcode::Socket::CODE, "SOCKET"),
    (opcode::Bind::CODE, "BIND"),
    (opcode::SetSockOpt::CODE, "URING_CMD"),
    (opcode::Close::CODE, "CLOSE"),
];

/// Why there is no ring to be had.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unavailable(String);

impl Unavailable {
    /// With a reason for a person.
    pub fn because(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl std::fmt::Display for Unavailable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unavailable {}

/// What a ring can do on this kernel.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Support {
    /// Whether connections can live on direct descriptors; if not, why.
    pub direct: Result<(), Unavailable>,
}

impl Support {
    /// Normal descriptors only.
    pub fn normal() -> Self {
        Self { direct: Err(Unavailable("not wanted".to_owned())) }
    }
}

/// Finds out what a ring can do here, with one or two connections to a listener of its own on
/// 127.0.0.1.
///
/// # Errors
/// [`Unavailable`]: io_uring cannot be used at all.
pub fn probe() -> Result<Support, Unavailable> {
    let mut ring = Ring::new(1, None, &Support::normal())?;
    let opcodes = opcodes(&ring.ring)?;
    carry_byte(&mut ring, false)?;
    let missing = missing(&opcodes, &DIRECT);
    if !missing.is_empty() {
        return Ok(Support { direct: Err(Unavailable(format!("this kernel lacks {missing}"))) });
    }
    let direct = Ring::new(1, None, &Support { direct: Ok(()) }).and_then(|mut ring| carry_byte(&mut ring, true));
    Ok(Support { direct })
}

/// A disabled ring with its buffers: requests can be submitted once the thread that will do so has
/// enabled it.
pub(super) fn make(files: Option<u32>) -> Result<(IoUring, Buffers), Unavailable> {
    let ring = build().map_err(|error| Unavailable(reason(&error)))?;
    let features = [
        (ring.params().is_feature_ext_arg(), "EXT_ARG"),
        (ring.params().is_feature_submit_stable(), "SUBMIT_STABLE"),
        (ring.params().is_feature_nodrop(), "NODROP"),
        (ring.params().is_feature_fast_poll(), "FAST_POLL"),
    ];
    if let Some((_, name)) = features.iter().find(|(present, _)| !present) {
        return Err(Unavailable(format!("this kernel's io_uring lacks the feature {name}")));
    }
    let missing = missing(&opcodes(&ring)?, &NEEDED);
    if !missing.is_empty() {
        return Err(Unavailable(format!("this kernel's io_uring lacks {missing}")));
    }
    let buffers = Buffers::register(&ring)
        .map_err(|error| Unavailable(format!("receive buffers cannot be registered (Linux 5.19): {error}")))?;
    if let Some(files) = files {
        ring.submitter()
            .register_files_sparse(files)
            .map_err(|error| Unavailable(format!("a table of {files} direct descriptors cannot be had: {error}")))?;
    }
    Ok((ring, buffers))
}

fn build() -> io::Result<IoUring> {
    let common = || {
        let mut builder = IoUring::builder();
        builder.setup_clamp().setup_submit_all().setup_r_disabled().setup_cqsize(COMPLETIONS);
        builder
    };
    // Completions are put together in our own `io_uring_enter` and nowhere else (Linux 6.1): nobody
    // interrupts the thread, and a turn is one system call.
    let newest = common().setup_single_issuer().setup_defer_taskrun().setup_no_sqarray().build(SUBMISSIONS);
    let older = |error: io::Error| match error.raw_os_error() {
        Some(libc::EINVAL) => common().setup_single_issuer().setup_defer_taskrun().build(SUBMISSIONS),
        _ => Err(error),
    };
    let oldest = |error: io::Error| match error.raw_os_error() {
        Some(libc::EINVAL) => common().setup_coop_taskrun().build(SUBMISSIONS),
        _ => Err(error),
    };
    newest.or_else(older).or_else(oldest)
}

fn reason(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::ENOSYS) => "this kernel has no io_uring".to_owned(),
        Some(libc::EPERM | libc::EACCES) => {
            let sysctl = crate::kernel::sysctl("kernel.io_uring_disabled").unwrap_or_else(|| "unknown".to_owned());
            format!("io_uring is blocked: kernel.io_uring_disabled = {sysctl}, or a container's seccomp filter")
        }
        Some(libc::EINVAL) => "this kernel's io_uring is too old (Linux 5.19)".to_owned(),
        Some(libc::ENOMEM) => "no memory may be locked for io_uring (ulimit -l)".to_owned(),
        _ => format!("io_uring cannot be set up: {error}"),
    }
}

fn opcodes(ring: &IoUring) -> Result<Probe, Unavailable> {
    let mut probe = Probe::new();
    let answer = ring.submitter().register_probe(&mut probe);
    answer.map_err(|error| Unavailable(format!("io_uring's opcodes cannot be probed: {error}")))?;
    Ok(probe)
}

fn missing(probe: &Probe, wanted: &[(u8, &str)]) -> String {
    let names: Vec<_> = wanted.iter().filter(|(code, _)| !probe.is_supported(*code)).map(|(_, name)| *name).collect();
    names.join(", ")
}

/// Opens a connection, sends a byte, receives one and sees the peer's end.
fn carry_byte(ring: &mut Ring, direct: bool) -> Result<(), Unavailable> {
    let failed = |what: &str| Unavailable(format!("a connection over io_uring failed: {what}"));
    let io = |error: io::Error| Unavailable(format!("a connection over io_uring failed: {error}"));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(io)?;
    let to = listener.local_addr().map_err(io)?;
    ring.enable().map_err(io)?;
    let from = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let handle = ring.open(7, &Route { to, from, direct }, b"?").map_err(|error| io(error.into()))?;
    await_event(ring, |event| matches!(event, Event::Sent(7, Ok(())))).ok_or_else(|| failed("nothing was sent"))?;
    let (mut stream, _): (_, SocketAddr) = listener.accept().map_err(io)?;
    stream.set_read_timeout(Some(Duration::from_nanos(PROBE_NS))).map_err(io)?;
    let mut byte = [0];
    stream.read_exact(&mut byte).and_then(|()| stream.write_all(b"!")).map_err(io)?;
    await_event(ring, |event| matches!(event, Event::Received(7, Ok(1)))).ok_or_else(|| failed("no byte arrived"))?;
    let right = byte == *b"?" && ring.data() == b"!";
    drop(stream);
    await_event(ring, |event| matches!(event, Event::Received(7, Ok(0)))).ok_or_else(|| failed("its end was lost"))?;
    ring.close(handle, direct);
    if right { Ok(()) } else { Err(failed("another byte arrived than was sent")) }
}

fn await_event(ring: &mut Ring, wanted: impl Fn(&Event) -> bool) -> Option<()> {
    let until = monotonic_ns() + PROBE_NS;
    while monotonic_ns() < until {
        while let Some(event) = ring.next_event() {
            if wanted(&event) {
                return Some(());
            }
        }
        ring.wait(Duration::from_millis(10)).ok()?;
    }
    None
}
