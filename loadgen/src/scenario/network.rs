//! The address that a DUT has on each network, as DUT files and templates write it.
//!
//! Pure. On loopback everybody is 127.0.0.1; [`super::addresses`] says who is who in a `netns` testbed.

use std::net::{IpAddr, Ipv4Addr};

use wire::frame::IpVersion;

use super::addresses::Addresses;
use super::plan::Network;

/// The DUT's address towards the clients, which `{vip}` stands for.
pub fn vip(network: Network, version: IpVersion) -> IpAddr {
    match (network, version) {
        (Network::Netns, version) => Addresses(version).dut(),
        // Somewhere else is where the user says; what the run itself starts stays on this host.
        (Network::Loopback | Network::External, _) => Ipv4Addr::LOCALHOST.into(),
    }
}

/// An address as a URL or a configuration has it before `:port`: IPv6 in brackets.
pub fn host_text(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vip_can_stand_before_a_port() {
        let text = |network, version| host_text(vip(network, version)) + ":80";
        assert_eq!(text(Network::Loopback, IpVersion::V6), "127.0.0.1:80");
        assert_eq!(text(Network::Netns, IpVersion::V4), "198.18.1.1:80");
        assert_eq!(text(Network::Netns, IpVersion::V6), "[2001:2::1]:80");
    }
}
