//! Frame arithmetic: from the size of an Ethernet frame to its payload, its bits and its highest rate.
//!
//! Sizes follow RFC 2544, 9: an Ethernet II frame without VLAN tag, its 4-byte FCS included. On the wire
//! a frame also takes 8 bytes of preamble and 12 bytes of gap. What a kernel socket sends is a UDP
//! payload; the frame around it is computed here, never observed.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Ethernet header and FCS around an IP packet.
const ETHERNET: u32 = 18;
/// Preamble, start of frame and inter-frame gap.
const BETWEEN_FRAMES: u32 = 20;
/// Smallest Ethernet frame; a shorter one is padded.
pub const FRAME_MIN: u32 = 64;
/// Largest IP packet.
const IP_MAX: u32 = 65_535;

/// The version of IP that carries a datagram.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum IpVersion {
    /// IPv4, 20 bytes of header.
    #[default]
    V4,
    /// IPv6, 40 bytes of header.
    V6,
}

impl IpVersion {
    /// IP and UDP header together.
    pub fn headers(self) -> u32 {
        match self {
            Self::V4 => 28,
            Self::V6 => 48,
        }
    }

    /// The word in files and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::V4 => "v4",
            Self::V6 => "v6",
        }
    }
}

/// The layer whose bits are counted.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    /// Everything on the wire: frame, preamble and gap.
    L1,
    /// The Ethernet frame with its FCS.
    #[default]
    L2,
    /// The IP packet.
    L3,
}

impl Layer {
    /// The word in files and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::L1 => "l1",
            Self::L2 => "l2",
            Self::L3 => "l3",
        }
    }
}

/// The size of one frame, kept as the length of its IP packet: that tells frames apart which padding
/// makes equal.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct FrameSize {
    ip: u16,
}

impl FrameSize {
    /// The size of a frame of so many bytes, FCS included; `None` below 64 or beyond an IP packet of
    /// 65,535 bytes.
    pub fn of_frame(frame: u32) -> Option<Self> {
        if frame < FRAME_MIN { None } else { Self::of_ip(frame - ETHERNET) }
    }

    /// The size of a frame that carries an IP packet of so many bytes; `None` below 20 or above 65,535.
    pub fn of_ip(ip: u32) -> Option<Self> {
        if (20..=IP_MAX).contains(&ip) { u16::try_from(ip).ok().map(|ip| Self { ip }) } else { None }
    }

    /// Bytes of the IP packet.
    pub fn ip(self) -> u32 {
        self.ip.into()
    }

    /// Bytes of the frame with its FCS; short packets are padded to 64.
    pub fn frame(self) -> u32 {
        (self.ip() + ETHERNET).max(FRAME_MIN)
    }

    /// Bytes of UDP payload; `None` if the headers alone are larger.
    pub fn payload(self, version: IpVersion) -> Option<usize> {
        self.ip().checked_sub(version.headers()).map(|payload| payload as usize)
    }

    /// Bits that one frame takes on a layer.
    pub fn bits(self, layer: Layer) -> u64 {
        let bytes = match layer {
            Layer::L1 => self.frame() + BETWEEN_FRAMES,
            Layer::L2 => self.frame(),
            Layer::L3 => self.ip(),
        };
        u64::from(bytes) * 8
    }

    /// Frames per second that a line of so many bits per second carries at most (RFC 2544, appendix B).
    pub fn max_fps(self, line_bps: u64) -> u64 {
        line_bps / self.bits(Layer::L1)
    }
}

impl fmt::Display for FrameSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.frame())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_rfc_2544_and_5180() {
        // Frame, frames/s at 1, 10, 25 and 100 Gbit/s, IP length, payload over IPv4 and IPv6.
        type Row = (u32, [u64; 4], u32, Option<usize>, Option<usize>);
        let table: [Row; 8] = [
            (64, [1_488_095, 14_880_952, 37_202_380, 148_809_523], 46, Some(18), None),
            (84, [1_201_923, 12_019_230, 30_048_076, 120_192_307], 66, Some(38), Some(18)),
            (128, [844_594, 8_445_945, 21_114_864, 84_459_459], 110, Some(82), Some(62)),
            (256, [452_898, 4_528_985, 11_322_463, 45_289_855], 238, Some(210), Some(190)),
            (512, [234_962, 2_349_624, 5_874_060, 23_496_240], 494, Some(466), Some(446)),
            (1024, [119_731, 1_197_318, 2_993_295, 11_973_180], 1006, Some(978), Some(958)),
            (1280, [96_153, 961_538, 2_403_846, 9_615_384], 1262, Some(1234), Some(1214)),
            (1518, [81_274, 812_743, 2_031_859, 8_127_438], 1500, Some(1472), Some(1452)),
        ];
        for (frame, fps, ip, v4, v6) in table {
            let size = FrameSize::of_frame(frame).unwrap();
            assert_eq!([1, 10, 25, 100].map(|giga| size.max_fps(giga * 1_000_000_000)), fps, "{frame}");
            assert_eq!((size.ip(), size.frame()), (ip, frame));
            assert_eq!((size.payload(IpVersion::V4), size.payload(IpVersion::V6)), (v4, v6), "{frame}");
        }
    }

    #[test]
    fn a_short_packet_is_padded_on_ethernet_only() {
        let size = FrameSize::of_ip(40).unwrap();
        assert_eq!((size.frame(), size.ip()), (64, 40));
        assert_eq!(size.payload(IpVersion::V4), Some(12));
        assert_eq!(size.payload(IpVersion::V6), None);
        assert_eq!([Layer::L1, Layer::L2, Layer::L3].map(|layer| size.bits(layer)), [672, 512, 320]);
        assert_ne!(size, FrameSize::of_frame(64).unwrap());
    }

    #[test]
    fn sizes_that_no_frame_has_are_refused() {
        assert_eq!([0, 63, 65_554].map(FrameSize::of_frame), [None; 3]);
        assert_eq!([0, 19, 65_536].map(FrameSize::of_ip), [None; 3]);
        assert!(FrameSize::of_frame(65_553).is_some());
    }
}
