//! The addresses of a `netns` testbed: who has which, and which clients may have.
//!
//! Pure. IPv4 from 198.18.0.0/15, with 198.18 towards clients and 198.19 towards servers, the DUT being .1
//! (RFC 2544, C.2.2); IPv6 from 2001:2::/48, the first half towards clients, the second one towards servers
//! (RFC 5180, 5.2). The direct link, which leads round the DUT, has the last of RFC 2544's 64 client networks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use wire::frame::IpVersion;

/// Addresses of one version of IP.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Addresses(pub IpVersion);

/// First host number of real servers on their networks; .1 is the way there.
const FIRST_SERVER: u16 = 2;

impl Addresses {
    /// The DUT towards the clients: the VIP of a DUT that is a program.
    pub fn dut(self) -> IpAddr {
        self.pick([198, 18, 1, 1], [0, 1])
    }

    /// The clients' own address on their link to the DUT; all further ones are routed to it.
    pub fn client(self) -> IpAddr {
        self.pick([198, 18, 1, 2], [0, 2])
    }

    /// The DUT towards the servers.
    pub fn dut_to_servers(self) -> IpAddr {
        self.pick([198, 19, 1, 1], [0x8000, 1])
    }

    /// A real server, by its number from 0 to 249, behind the DUT.
    pub fn server(self, number: u32) -> IpAddr {
        let host = host(number);
        self.pick([198, 19, 1, host as u8], [0x8000, host])
    }

    /// The clients on the direct link.
    pub fn direct_client(self) -> IpAddr {
        self.pick([198, 18, 64, 1], [0x40, 1])
    }

    /// A real server, by its number from 0 to 249, on the direct link.
    pub fn direct_server(self, number: u32) -> IpAddr {
        let host = host(number);
        self.pick([198, 18, 64, host as u8], [0x40, host])
    }

    /// The network of the direct link.
    pub fn direct_network(self) -> &'static str {
        match self.0 {
            IpVersion::V4 => "198.18.64.0/24",
            IpVersion::V6 => "2001:2:0:40::/64",
        }
    }

    /// Length of the prefix of each link.
    pub fn prefix(self) -> u8 {
        match self.0 {
            IpVersion::V4 => 24,
            IpVersion::V6 => 64,
        }
    }

    /// The networks that clients may have addresses of, besides [`Self::client`].
    pub fn client_networks(self) -> &'static [&'static str] {
        match self.0 {
            IpVersion::V4 => &["198.18.2.0/23", "198.18.4.0/22", "198.18.8.0/21", "198.18.16.0/20", "198.18.32.0/19"],
            IpVersion::V6 => {
                &["2001:2:0:2::/63", "2001:2:0:4::/62", "2001:2:0:8::/61", "2001:2:0:10::/60", "2001:2:0:20::/59"]
            }
        }
    }

    /// All networks of clients, behind the clients' own address.
    pub fn all_clients(self) -> &'static str {
        match self.0 {
            IpVersion::V4 => "198.18.0.0/18",
            IpVersion::V6 => "2001:2::/58",
        }
    }

    /// All networks of servers, behind the DUT.
    pub fn all_servers(self) -> &'static str {
        match self.0 {
            IpVersion::V4 => "198.19.0.0/16",
            IpVersion::V6 => "2001:2:0:8000::/49",
        }
    }

    fn pick(self, v4: [u8; 4], [network, host]: [u16; 2]) -> IpAddr {
        match self.0 {
            IpVersion::V4 => Ipv4Addr::from(v4).into(),
            IpVersion::V6 => Ipv6Addr::new(0x2001, 2, 0, network, 0, 0, 0, host).into(),
        }
    }
}

fn host(number: u32) -> u16 {
    debug_assert!(number < 250, "a scenario has at most 250 reflectors");
    FIRST_SERVER + (number % 250) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_addresses_are_those_that_are_set_aside_for_benchmarks() {
        for version in [IpVersion::V4, IpVersion::V6] {
            let all = Addresses(version);
            let used = [all.dut(), all.client(), all.dut_to_servers(), all.server(0), all.server(249)]
                .into_iter()
                .chain([all.direct_client(), all.direct_server(0), all.direct_server(249)]);
            for address in used {
                let benchmark = match address {
                    IpAddr::V4(address) => address.octets()[..2] == [198, 18] || address.octets()[..2] == [198, 19],
                    IpAddr::V6(address) => address.segments()[..3] == [0x2001, 2, 0],
                };
                assert!(benchmark && address.is_ipv4() == (version == IpVersion::V4), "{address}");
            }
        }
        assert_eq!(Addresses(IpVersion::V4).server(249).to_string(), "198.19.1.251");
        assert_eq!(Addresses(IpVersion::V6).dut().to_string(), "2001:2::1");
    }

    #[test]
    fn no_network_of_clients_swallows_an_address_of_the_links() {
        for version in [IpVersion::V4, IpVersion::V6] {
            let all = Addresses(version);
            let fixed = [all.dut(), all.client(), all.server(0), all.direct_client(), all.direct_server(249)];
            for network in all.client_networks() {
                let hosts = crate::engine::sources::expand(network).unwrap();
                assert!(!hosts.iter().any(|host| fixed.contains(host)), "{network}");
            }
        }
    }
}
