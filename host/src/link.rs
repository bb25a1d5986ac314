//! Network interfaces: which one leads to an address, how fast it says it is, what passed it so far.
//!
//! Reading only, from `/proc/net/route` (IPv4) and `/sys/class/net`; what it means is decided elsewhere.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

/// Preamble, start of frame, checksum and gap of an Ethernet frame in bytes (IEEE 802.3): they take time
/// on the wire and are in no counter.
pub(crate) const FRAME_OVERHEAD: u64 = 24;

/// What passed an interface so far, in bits on the wire; counters only grow.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct LinkBits {
    /// Received.
    pub received: u64,
    /// Sent.
    pub sent: u64,
}

/// The interface that leads to an address; `None` for loopback, for IPv6, and without a route.
pub fn towards(address: IpAddr) -> Option<String> {
    let IpAddr::V4(address) = address else { return None };
    if address.is_loopback() {
        return None;
    }
    route(&fs::read_to_string("/proc/net/route").ok()?, address)
}

/// The longest prefix wins, as in the kernel; of equals the first.
fn route(table: &str, address: Ipv4Addr) -> Option<String> {
    // proc_net_route(5): addresses are hexadecimal numbers in the byte order of the host.
    let address = u32::from_ne_bytes(address.octets());
    let mut best: Option<(u32, &str)> = None;
    for line in table.lines().skip(1) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let number = |at: usize| fields.get(at).and_then(|text| u32::from_str_radix(text, 16).ok());
        let (Some(name), Some(destination), Some(mask)) = (fields.first(), number(1), number(7)) else { continue };
        let is_longer = best.is_none_or(|(bits, _)| mask.count_ones() > bits);
        if address & mask == destination && is_longer {
            best = Some((mask.count_ones(), name));
        }
    }
    best.map(|(_, name)| name.to_owned())
}

/// The speed an interface declares, in bits per second; virtual ones declare none.
pub fn speed_bps(name: &str) -> Option<u64> {
    // sysfs-class-net: in Mbit/s, -1 when it is not known.
    let text = fs::read_to_string(format!("/sys/class/net/{name}/speed")).ok()?;
    text.trim()
        .parse::<u64>()
        .ok()
        .filter(|speed| *speed > 0 && *speed < u64::from(u32::MAX))
        .map(|speed| speed * 1_000_000)
}

/// What passed an interface so far.
pub fn bits(name: &str) -> Option<LinkBits> {
    let counter = |counter: &str| {
        let text = fs::read_to_string(format!("/sys/class/net/{name}/statistics/{counter}")).ok()?;
        text.trim().parse::<u64>().ok()
    };
    let on_wire = |bytes: &str, frames: &str| Some((counter(bytes)? + counter(frames)? * FRAME_OVERHEAD) * 8);
    Some(LinkBits { received: on_wire("rx_bytes", "rx_packets")?, sent: on_wire("tx_bytes", "tx_packets")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_leads_to_an_address() {
        let hex = |text: &str| format!("{:08X}", u32::from_ne_bytes(text.parse::<Ipv4Addr>().unwrap().octets()));
        let line = |name: &str, destination: &str, mask: &str| {
            format!("{name}\t{}\t{}\t0003\t0\t0\t0\t{}\t0\t0\t0\n", hex(destination), hex("0.0.0.0"), hex(mask))
        };
        let table = format!(
            "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n{}{}{}broken\n",
            line("eth0", "0.0.0.0", "0.0.0.0"),
            line("eth1", "10.0.0.0", "255.0.0.0"),
            line("eth2", "10.1.0.0", "255.255.0.0")
        );
        let to = |address: &str| route(&table, address.parse().unwrap());
        let found = ["192.0.2.7", "10.9.0.1", "10.1.2.3"].map(|address| to(address).unwrap());
        assert_eq!(found, ["eth0", "eth1", "eth2"]);
        assert_eq!(route("Iface\n", "10.0.0.1".parse().unwrap()), None);
    }

    #[test]
    fn loopback_is_no_link_and_declares_no_speed() {
        assert_eq!(towards("127.0.0.1".parse().unwrap()), None);
        assert_eq!((speed_bps("lo"), speed_bps("no-such-interface")), (None, None));
        assert_eq!(bits("no-such-interface"), None);
        assert!(bits("lo").is_some());
    }
}
