//! Which local addresses and ports connections come from.
//!
//! A connection is known by four numbers; with one service only the local two vary. Several local
//! addresses multiply them, and let the DUT see many clients. The port is left to `connect`
//! (`IP_BIND_ADDRESS_NO_PORT`), so that it can share ports between services; with several workers
//! each has its own stripe of ports (`IP_LOCAL_PORT_RANGE`), so that they never look for the same.

use std::net::{IpAddr, SocketAddr};

/// Most addresses that a network is expanded to.
pub const ADDRESSES_MAX: usize = 65_536;

/// Local addresses in turn.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    addresses: Vec<IpAddr>,
    /// First and last port of this worker; `None` leaves it to the kernel.
    ports: Option<(u16, u16)>,
    next: usize,
}

impl Sources {
    /// Connections come from these addresses in turn; from the kernel's choice if there is none.
    pub fn new(addresses: Vec<IpAddr>) -> Self {
        Self { addresses, ports: None, next: 0 }
    }

    /// How many addresses there are; 0 = the kernel's choice.
    pub fn len(&self) -> usize {
        self.addresses.len()
    }

    /// The addresses; none = the kernel's choice.
    pub fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    /// Whether the kernel chooses.
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty()
    }

    /// This worker's share: every worker walks through all addresses, on its own stripe of `ports`.
    #[must_use]
    pub fn stripe(mut self, worker: u32, workers: u32, ports: (u16, u16)) -> Self {
        if workers > 1 {
            let width = (u32::from(ports.1) - u32::from(ports.0) + 1) / workers;
            let first = u32::from(ports.0) + worker * width;
            self.ports = Some((first as u16, (first + width - 1) as u16));
        }
        self.next = (worker as usize * 7919) % self.addresses.len().max(1);
        self
    }

    /// First and last port to choose from, if this worker has a stripe of its own.
    pub(super) fn ports(&self) -> Option<(u16, u16)> {
        self.ports
    }

    /// The next local address of the same family as `service`, if one is to be bound, and the
    /// ports to choose from.
    pub(super) fn next(&mut self, service: SocketAddr) -> (Option<IpAddr>, Option<(u16, u16)>) {
        let address = (!self.addresses.is_empty()).then(|| {
            self.next = (self.next + 1) % self.addresses.len();
            self.addresses[self.next]
        });
        (address.filter(|address| address.is_ipv4() == service.is_ipv4()), self.ports)
    }
}

/// Expands `10.0.0.0/24`, `10.0.0.7` or `::1` to single addresses, at most [`ADDRESSES_MAX`]; network
/// and broadcast address of an IPv4 network are left out, but for /31 and /32.
///
/// # Errors
/// What is wrong with the text.
pub fn expand(network: &str) -> Result<Vec<IpAddr>, String> {
    let wanted = "expected an address or a network such as 127.1.0.0/16";
    let (address, prefix) = network.split_once('/').map_or((network, None), |(a, p)| (a, Some(p)));
    let address: IpAddr = address.parse().map_err(|_| format!("{network:?} is not a source network; {wanted}"))?;
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix.map(str::parse::<u32>) {
        None => return Ok(vec![address]),
        Some(Ok(prefix)) if prefix <= bits => prefix,
        Some(_) => return Err(format!("{network:?} has a prefix that is not 0 to {bits}; {wanted}")),
    };
    let hosts = 1_u128.checked_shl(bits - prefix).unwrap_or(u128::MAX);
    let (first, count) = if address.is_ipv4() && hosts > 2 { (1, hosts - 2) } else { (0, hosts) };
    let count = count.min(ADDRESSES_MAX as u128);
    let base = match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    } & !(hosts - 1);
    Ok((first..first + count)
        .map(|host| match address {
            IpAddr::V4(_) => IpAddr::V4(((base + host) as u32).into()),
            IpAddr::V6(_) => IpAddr::V6((base + host).into()),
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_expand_to_their_hosts() {
        assert_eq!(expand("10.1.2.3").unwrap(), ["10.1.2.3".parse::<IpAddr>().unwrap()]);
        let hosts = expand("127.1.2.3/30").unwrap();
        assert_eq!(hosts.iter().map(ToString::to_string).collect::<Vec<_>>(), ["127.1.2.1", "127.1.2.2"]);
        assert_eq!(expand("127.0.0.0/8").unwrap().len(), ADDRESSES_MAX);
        assert_eq!(expand("2001:2::/126").unwrap().len(), 4);
        for bad in ["", "10.0.0", "10.0.0.0/33", "10.0.0.0/x", "::/129"] {
            assert!(expand(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn stripes_of_workers_do_not_overlap() {
        let stripes: Vec<_> =
            (0..3).map(|w| Sources::default().stripe(w, 3, (32_768, 60_999)).ports.unwrap()).collect();
        assert_eq!(stripes[0].0, 32_768);
        assert!(stripes.windows(2).all(|pair| pair[0].1 + 1 == pair[1].0));
        assert!(stripes[2].1 <= 60_999);
    }

    #[test]
    fn addresses_take_turns_and_match_the_family() {
        let mut sources = Sources::new(expand("127.0.1.0/30").unwrap());
        let service = "127.0.0.1:80".parse().unwrap();
        let taken: Vec<_> = (0..4).map(|_| sources.next(service).0.unwrap().to_string()).collect();
        assert_eq!(taken, ["127.0.1.2", "127.0.1.1", "127.0.1.2", "127.0.1.1"]);
        assert_eq!(sources.next("[::1]:80".parse().unwrap()).0, None);
    }
}
