//! What the program `ip` is told, namespace by namespace: links, addresses, routes, neighbours.
//!
//! Pure. Neighbours are permanent, so that no question for an address is part of a measurement (RFC 2544,
//! C.2.2). Three links: c0-d0 between clients and DUT, d1-s0 between DUT and servers, c1-s1 round the DUT.

use std::fmt::Write;

use crate::scenario::addresses::Addresses;
use crate::scenario::plan::Forwarding;

/// Ends of the links in the namespaces of clients, DUT and servers.
pub(super) const LINKS: [&[&str]; 3] = [&["c0", "c1"], &["d0", "d1"], &["s0", "s1"]];

/// The table of routes for answers over the direct link.
const DIRECT_TABLE: u32 = 100;

/// What the testbed is like.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) addresses: Addresses,
    pub(super) mtu: u32,
    pub(super) reflectors: u32,
    /// How the kernel of the DUT's namespace forwards; `None` if it does not.
    pub(super) forwarding: Option<Forwarding>,
}

/// The MAC address of an end of a link: locally administered, the same in every run.
pub(super) fn mac(link: &str) -> String {
    let number = LINKS.concat().iter().position(|known| *known == link).unwrap_or(0) + 1;
    format!("02:4e:61:64:61:{number:02x}")
}

impl Layout {
    fn is_bridge(&self) -> bool {
        self.forwarding == Some(Forwarding::Bridge)
    }

    fn pair(&self, here: &str, there: &str, namespace: &str) -> String {
        let mtu = self.mtu;
        let queues = "numtxqueues 1 numrxqueues 1";
        format!(
            "link add {here} address {} mtu {mtu} {queues} type veth peer name {there} address {} mtu {mtu} {queues} \
             netns {namespace}\n",
            mac(here),
            mac(there)
        )
    }

    /// In the namespace of the clients: the links to the others, whose namespaces are at these paths.
    pub(super) fn links_of_clients(&self, dut: &str, servers: &str) -> String {
        self.pair("c0", "d0", dut) + &self.pair("c1", "s1", servers) + &up(&["lo", "c0", "c1"])
    }

    /// In the namespace of the DUT.
    pub(super) fn links_of_dut(&self, servers: &str) -> String {
        let mut text = self.pair("d1", "s0", servers);
        if self.is_bridge() {
            text += "link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0\n";
            text += "link set d0 master br0\nlink set d1 master br0\n";
            text += &up(&["br0"]);
        }
        text + &up(&["lo", "d0", "d1"])
    }

    /// In the namespace of the servers.
    pub(super) fn links_of_servers(&self) -> String {
        up(&["lo", "s0", "s1"])
    }

    /// In the namespace of the clients, when all links are up.
    pub(super) fn clients(&self) -> String {
        let Self { addresses, .. } = self;
        let mut text = self.address("c0", addresses.client()) + &self.address("c1", addresses.direct_client());
        for network in addresses.client_networks() {
            // AnyIP: every address of a local route is this host's, without being configured one by one.
            let _ = writeln!(text, "route add local {network} dev lo");
        }
        let servers = addresses.all_servers();
        if self.is_bridge() {
            let _ = writeln!(text, "route add {servers} dev c0");
            self.servers(|number| text += &neighbour("c0", addresses.server(number), "s0"));
        } else {
            let _ = writeln!(text, "route add {servers} via {} dev c0", addresses.dut());
            text += &neighbour("c0", addresses.dut(), "d0");
        }
        self.servers(|number| text += &neighbour("c1", addresses.direct_server(number), "s1"));
        text
    }

    /// In the namespace of the DUT, when all links are up.
    pub(super) fn dut(&self) -> String {
        let Self { addresses, .. } = self;
        if self.is_bridge() {
            return String::new();
        }
        let mut text = self.address("d0", addresses.dut()) + &self.address("d1", addresses.dut_to_servers());
        let _ = writeln!(text, "route add {} via {} dev d0", addresses.all_clients(), addresses.client());
        text += &neighbour("d0", addresses.client(), "c0");
        self.servers(|number| text += &neighbour("d1", addresses.server(number), "s0"));
        text
    }

    /// In the namespace of the servers, when all links are up.
    pub(super) fn servers_side(&self) -> String {
        let Self { addresses, .. } = self;
        let mut text = String::new();
        self.servers(|number| text += &self.address("s0", addresses.server(number)));
        self.servers(|number| text += &self.address("s1", addresses.direct_server(number)));
        if self.is_bridge() {
            // Where a next hop is on the same link as everybody, the kernel has to be told so.
            text += &neighbour("s0", addresses.client(), "c0");
            text += &default_route("s0", addresses.client(), "onlink");
        } else {
            text += &neighbour("s0", addresses.dut_to_servers(), "d1");
            text += &default_route("s0", addresses.dut_to_servers(), "onlink");
        }
        text += &neighbour("s1", addresses.direct_client(), "c1");
        // What was asked over the direct link is answered over it, whoever asked.
        text += &default_route("s1", addresses.direct_client(), &format!("table {DIRECT_TABLE} onlink"));
        let _ = writeln!(text, "rule add from {} lookup {DIRECT_TABLE}", addresses.direct_network());
        text
    }

    fn servers(&self, mut each: impl FnMut(u32)) {
        // Routes and rules need the networks of the links, also where no server is started.
        (0..self.reflectors.max(1)).for_each(&mut each);
    }

    fn address(&self, link: &str, address: std::net::IpAddr) -> String {
        // IPv6 would not use an address before it has asked on the link whether it is free.
        let nodad = if address.is_ipv6() { " nodad" } else { "" };
        format!("address add {address}/{} dev {link}{nodad}\n", self.addresses.prefix())
    }
}

fn up(links: &[&str]) -> String {
    links.iter().map(|link| format!("link set {link} up\n")).collect()
}

fn neighbour(link: &str, address: std::net::IpAddr, peer: &str) -> String {
    format!("neighbour add {address} lladdr {} dev {link} nud permanent\n", mac(peer))
}

fn default_route(link: &str, via: std::net::IpAddr, rest: &str) -> String {
    let all = if via.is_ipv4() { "0.0.0.0/0" } else { "::/0" };
    format!("route add {all} via {via} dev {link} {rest}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::frame::IpVersion;

    fn layout(version: IpVersion, forwarding: Option<Forwarding>) -> Layout {
        Layout { addresses: Addresses(version), mtu: 1_500, reflectors: 2, forwarding }
    }

    #[test]
    fn every_end_of_a_link_has_an_address_of_its_own() {
        let mut macs: Vec<_> = LINKS.concat().iter().map(|link| mac(link)).collect();
        macs.sort();
        macs.dedup();
        assert_eq!(macs.len(), 6);
        assert!(macs.iter().all(|mac| mac.starts_with("02:") && mac.len() == 17));
    }

    #[test]
    fn a_program_stands_between_two_networks_and_forwards_for_nobody() {
        let layout = layout(IpVersion::V4, None);
        let dut = layout.dut();
        assert!(dut.contains("address add 198.18.1.1/24 dev d0\n") && dut.contains("198.19.1.1/24 dev d1\n"), "{dut}");
        assert!(dut.contains("route add 198.18.0.0/18 via 198.18.1.2 dev d0\n"), "{dut}");
        assert_eq!(dut.matches("nud permanent").count(), 3, "{dut}");
        let servers = layout.servers_side();
        assert!(servers.contains("198.19.1.3/24 dev s0\n") && !servers.contains("198.19.1.4"), "{servers}");
        assert!(servers.contains("rule add from 198.18.64.0/24 lookup 100"), "{servers}");
    }

    #[test]
    fn behind_a_bridge_clients_and_servers_know_each_other() {
        let layout = layout(IpVersion::V6, Some(Forwarding::Bridge));
        assert_eq!(layout.dut(), "");
        assert!(layout.links_of_dut("/x").contains("link set d1 master br0\n"));
        let clients = layout.clients();
        assert!(clients.contains("route add 2001:2:0:8000::/49 dev c0\n"), "{clients}");
        let neighbour = format!("neighbour add 2001:2:0:8000::3 lladdr {} dev c0", mac("s0"));
        assert!(clients.contains(&neighbour) && clients.contains("nodad"), "{clients}");
        assert!(layout.servers_side().contains("route add ::/0 via 2001:2::2 dev s0 onlink\n"));
    }
}
