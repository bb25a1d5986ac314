//! `[workload] kind = "udp"` with `[workload.frames]`: datagrams, their sizes and their streams.
//!
//! A size counts an Ethernet frame with its FCS (RFC 2544, 9) or the IP packet in it. Refused is what no
//! datagram with a signature can be: over IPv6 a frame of 64 bytes has less room than its headers take, and
//! so has an IP packet of 40 bytes.

use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroU32};

use wire::frame::{FRAME_MIN, FrameSize, IpVersion};
use wire::signature::SHORT;

use super::error::{Origin, ScenarioError};
use super::file::{FramesFile, WorkloadFile};
use super::mix::{Mix, SIZES_MAX, order};
use super::plan::{DutKind, Network, SuitePlan, TestbedPlan, Tuples, UdpPlan};

/// Streams of a file that does not say.
const STREAMS: u32 = 16;
/// Most frames that fall due together.
const BURST_MAX: u32 = 256;
/// Ethernet header and FCS.
const ETHERNET: u32 = 18;
const SIZE: &str = "workload.frames";

/// The datagrams of a workload. Where a suite has sizes of its own, the file names none.
pub(super) fn resolve(
    file: &WorkloadFile,
    sizes: Sizes,
    suite: Option<&SuitePlan>,
    origin: &Origin,
) -> Result<UdpPlan, ScenarioError> {
    let reader = Reader { file, sizes, origin };
    let mix = match (suite, &file.frames) {
        (Some(SuitePlan::Rfc2544 { sizes, .. }), None) => Mix::Fixed { size: sizes[0] },
        (Some(SuitePlan::Rfc2544 { .. }), Some(_)) => {
            let message = "contradicts suite.kind = \"rfc2544\", which goes through suite.sizes; leave it out";
            return Err(origin.error(SIZE, message));
        }
        (_, frames) => reader.mix(frames.as_ref())?,
    };
    let streams = reader.streams()?;
    Ok(UdpPlan { ip_version: sizes.version, mix, streams, tuples: reader.tuples(streams)?, burst: reader.burst()? })
}

/// The version of IP between clients and service.
pub(super) fn ip_version(testbed: &TestbedPlan) -> IpVersion {
    let of = |address: &SocketAddr| if address.is_ipv6() { IpVersion::V6 } else { IpVersion::V4 };
    match (&testbed.dut.kind, testbed.network) {
        (_, Network::Netns) => testbed.links.ip_version,
        (DutKind::External { address }, _) => of(address),
        (DutKind::None, _) => testbed.remote_reflectors.first().map_or(IpVersion::V4, of),
        // An IPv6 address stands in brackets.
        _ if testbed.dut.service.contains("://[") => IpVersion::V6,
        _ => IpVersion::V4,
    }
}

/// Which sizes a datagram can have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub(super) version: IpVersion,
    /// Largest IP packet in bytes.
    pub(super) mtu: u32,
}

impl Sizes {
    pub(super) fn of(testbed: &TestbedPlan) -> Self {
        Self { version: ip_version(testbed), mtu: testbed.links.mtu }
    }

    /// A frame of so many bytes, FCS included.
    pub(super) fn frame(self, bytes: u32) -> Result<FrameSize, String> {
        if bytes < FRAME_MIN {
            return Err(format!("{bytes} bytes are no Ethernet frame (RFC 2544, 9); expected {}", self.frame_range()));
        }
        if self.version == IpVersion::V6 && bytes - ETHERNET < self.packet_min() {
            return Err(format!(
                "{bytes} bytes are no frame of UDP over IPv6 with a signature: its headers take {} and the shortest \
                 signature {SHORT}; expected {}, where 84 is the smallest in use (RFC 8219, 5.1.1)",
                ETHERNET + self.version.headers(),
                self.frame_range()
            ));
        }
        let fitting = FrameSize::of_frame(bytes).filter(|size| size.ip() <= self.mtu);
        fitting.ok_or_else(|| format!("{bytes} bytes {}; expected {}", self.beyond(), self.frame_range()))
    }

    /// A frame around an IP packet of so many bytes.
    pub(super) fn packet(self, bytes: u32) -> Result<FrameSize, String> {
        let least = self.packet_min();
        if bytes < least {
            let (headers, mtu, ip) = (self.version.headers(), self.mtu, ip_word(self.version));
            return Err(format!(
                "{bytes} bytes of IP are no UDP datagram over {ip} with a signature: its headers take {headers} and the \
                 shortest signature {SHORT}; expected {least} to {mtu}"
            ));
        }
        let fitting = FrameSize::of_ip(bytes).filter(|size| size.ip() <= self.mtu);
        fitting.ok_or_else(|| format!("{bytes} bytes of IP {}; expected {least} to {}", self.beyond(), self.mtu))
    }

    fn packet_min(self) -> u32 {
        self.version.headers() + SHORT as u32
    }

    fn frame_range(self) -> String {
        format!("{} to {}", (self.packet_min() + ETHERNET).max(FRAME_MIN), self.mtu + ETHERNET)
    }

    fn beyond(self) -> String {
        format!("would be fragmented at an MTU of {} (testbed.links.mtu)", self.mtu)
    }
}

fn ip_word(version: IpVersion) -> &'static str {
    match version {
        IpVersion::V4 => "IPv4",
        IpVersion::V6 => "IPv6",
    }
}

struct Reader<'a> {
    file: &'a WorkloadFile,
    sizes: Sizes,
    origin: &'a Origin,
}

impl Reader<'_> {
    fn refuse<T>(&self, key: &str, message: impl Into<String>) -> Result<T, ScenarioError> {
        Err(self.origin.error(&format!("{SIZE}.{key}"), message))
    }

    fn mix(&self, file: Option<&FramesFile>) -> Result<Mix, ScenarioError> {
        let missing = "missing; expected exactly one of size = 64, sizes = [40, 576, 1500] and random = { min = 64, max \
                       = 1518 }";
        let Some(file) = file else { return Err(self.origin.error(SIZE, missing)) };
        let is_ip = self.is_ip(file)?;
        let order_keys = [
            ("weights", file.weights.is_some()),
            ("bandwidth", file.bandwidth.is_some()),
            ("genome", file.genome.is_some()),
        ];
        let written: Vec<&str> = order_keys.iter().filter(|(_, written)| *written).map(|(key, _)| *key).collect();
        if let (Some(key), None) = (written.first(), &file.sizes) {
            return self.refuse(key, "belongs to sizes = [...]");
        }
        if let [_, second, ..] = written[..] {
            return self.refuse(second, format!("contradicts {}: expected one of the two", written[0]));
        }
        match (file.size, &file.sizes, file.random) {
            (Some(size), None, None) => Ok(Mix::Fixed { size: self.size("size", is_ip, size)? }),
            (None, Some(sizes), None) => self.sequence(file, is_ip, sizes),
            (None, None, Some(range)) => {
                let (min, max) = (self.size("random", is_ip, range.min)?, self.size("random", is_ip, range.max)?);
                if min >= max {
                    let message = format!("from {} to {} is no range; expected min below max", range.min, range.max);
                    return self.refuse("random", message);
                }
                Ok(Mix::Random { min, max })
            }
            (None, None, None) => Err(self.origin.error(SIZE, missing)),
            _ => Err(self.origin.error(SIZE, "has more than one of size, sizes and random; expected exactly one")),
        }
    }

    fn is_ip(&self, file: &FramesFile) -> Result<bool, ScenarioError> {
        let word = file.layer.as_deref().unwrap_or("ethernet");
        self.origin.choose(&format!("{SIZE}.layer"), word, &[("ethernet", false), ("ip", true)], &[])
    }

    fn size(&self, key: &str, is_ip: bool, bytes: u32) -> Result<FrameSize, ScenarioError> {
        let size = if is_ip { self.sizes.packet(bytes) } else { self.sizes.frame(bytes) };
        size.or_else(|message| self.refuse(key, message))
    }

    fn sequence(&self, file: &FramesFile, is_ip: bool, written: &[u32]) -> Result<Mix, ScenarioError> {
        if written.is_empty() || written.len() > SIZES_MAX {
            return self
                .refuse("sizes", format!("{} sizes; expected 1 to {SIZES_MAX}, a letter for each", written.len()));
        }
        if let Some((_, twice)) = written.iter().enumerate().find(|(at, size)| written[..*at].contains(size)) {
            return self
                .refuse("sizes", format!("{twice} stands there twice; expected each size once, with its weight"));
        }
        let sizes = written.iter().map(|bytes| self.size("sizes", is_ip, *bytes)).collect::<Result<Vec<_>, _>>()?;
        let equal = |key: &str, values: usize| match values == written.len() {
            true => Ok(()),
            false => self.refuse(key, format!("{values} values for {} sizes; expected one for each", written.len())),
        };
        let of_weights = |key: &str, weights: &[u32]| order::of_weights(weights).or_else(|why| self.refuse(key, why));
        let order = match (&file.weights, &file.bandwidth, &file.genome) {
            (Some(weights), ..) => {
                equal("weights", weights.len())?;
                of_weights("weights", weights)?
            }
            (_, Some(shares), _) => {
                equal("bandwidth", shares.len())?;
                let weights = order::weights_of_shares(written, shares).or_else(|why| self.refuse("bandwidth", why))?;
                of_weights("bandwidth", &weights)?
            }
            (_, _, Some(genome)) => order::of_genome(genome, sizes.len()).or_else(|why| self.refuse("genome", why))?,
            (None, None, None) => of_weights("sizes", &vec![1; sizes.len()])?,
        };
        Ok(if sizes.len() == 1 { Mix::Fixed { size: sizes[0] } } else { Mix::Sequence { sizes, order } })
    }

    fn streams(&self) -> Result<NonZeroU16, ScenarioError> {
        let written = self.file.streams.unwrap_or(STREAMS);
        let streams = u16::try_from(written).ok().and_then(NonZeroU16::new);
        streams.ok_or_else(|| {
            let message = format!("{written} is out of range; expected 1 to {}, each a socket of its own", u16::MAX);
            self.origin.error("workload.streams", message)
        })
    }

    /// One 5-tuple is what RFC 2544 asks for, several are to be random (RFC 4814, 4).
    fn tuples(&self, streams: NonZeroU16) -> Result<Tuples, ScenarioError> {
        let one = streams.get() == 1;
        let built = [("fixed", Tuples::Fixed), ("sequential", Tuples::Sequential), ("random", Tuples::Random)];
        let word = self.file.tuples.as_deref().unwrap_or(if one { "fixed" } else { "random" });
        let tuples = self.origin.choose("workload.tuples", word, &built, &[])?;
        if tuples == Tuples::Fixed && !one {
            let message = format!("\"fixed\" is one 5-tuple, but there are {streams} streams; expected streams = 1");
            return Err(self.origin.error("workload.tuples", message));
        }
        Ok(tuples)
    }

    fn burst(&self) -> Result<NonZeroU32, ScenarioError> {
        let written = self.file.burst.unwrap_or(1);
        NonZeroU32::new(written).filter(|burst| burst.get() <= BURST_MAX).ok_or_else(|| {
            self.origin.error("workload.burst", format!("{written} is out of range; expected 1 to {BURST_MAX}"))
        })
    }
}

#[cfg(test)]
mod tests;
