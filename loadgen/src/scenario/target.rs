//! Where traffic may go, and how an address is written.
//!
//! Loopback always; a private or benchmarking network when the user names the address; a public one
//! only when `testbed.allow_targets` covers it as well. Names are not resolved: a scenario that
//! means another machine tomorrow is not the same scenario.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A network in CIDR notation, or one address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Cidr {
    address: IpAddr,
    prefix: u8,
}

impl Cidr {
    /// Reads `10.0.0.0/8`, `2001:db8::/32` or a single address.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse::<u8>().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(longest);
        (prefix <= longest).then_some(Self { address, prefix })
    }

    pub(super) fn contains(self, address: IpAddr) -> bool {
        let (mine, theirs, longest) = match (self.address, address) {
            (IpAddr::V4(mine), IpAddr::V4(theirs)) => (u32::from(mine).into(), u32::from(theirs).into(), 32),
            (IpAddr::V6(mine), IpAddr::V6(theirs)) => (u128::from(mine), u128::from(theirs), 128),
            _ => return false,
        };
        let shift = longest - u32::from(self.prefix);
        // A shift by the whole width of the type is not defined; a /0 of IPv6 contains everything.
        shift == 128 || (mine >> shift) == (theirs >> shift)
    }

    /// Whether every address of another network is in this one.
    pub(super) fn covers(self, other: Self) -> bool {
        self.prefix <= other.prefix && self.contains(other.address)
    }

    /// Whether every address of the network is on loopback.
    pub(super) fn is_loopback(self) -> bool {
        self.address.is_loopback() && (self.prefix >= 8 && self.address.is_ipv4() || self.prefix == 128)
    }

    pub(super) fn is_ipv4(self) -> bool {
        self.address.is_ipv4()
    }
}

/// Networks that nobody reaches by accident: private use, link local, and the benchmarking networks
/// of RFC 2544 and RFC 5180.
fn is_private(address: IpAddr) -> bool {
    const V4: [(Ipv4Addr, u8); 6] = [
        (Ipv4Addr::new(10, 0, 0, 0), 8),
        (Ipv4Addr::new(172, 16, 0, 0), 12),
        (Ipv4Addr::new(192, 168, 0, 0), 16),
        (Ipv4Addr::new(169, 254, 0, 0), 16),
        (Ipv4Addr::new(100, 64, 0, 0), 10),
        (Ipv4Addr::new(198, 18, 0, 0), 15),
    ];
    const V6: [(Ipv6Addr, u8); 3] = [
        (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7),
        (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10),
        (Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 0), 48),
    ];
    let v4 = V4.map(|(network, prefix)| Cidr { address: network.into(), prefix });
    let v6 = V6.map(|(network, prefix)| Cidr { address: network.into(), prefix });
    v4.into_iter().chain(v6).any(|network| network.contains(address))
}

/// Whether traffic may go to an address that the user named.
///
/// # Errors
/// What is wrong with the address, and the way out if there is one.
pub(super) fn permit(address: IpAddr, allow_targets: &[Cidr]) -> Result<(), String> {
    let address = address.to_canonical();
    if address.is_unspecified() || address.is_multicast() || address == IpAddr::V4(Ipv4Addr::BROADCAST) {
        return Err(format!("{address} is not the address of one machine; expected a unicast address"));
    }
    let allowed =
        address.is_loopback() || is_private(address) || allow_targets.iter().any(|network| network.contains(address));
    if allowed {
        return Ok(());
    }
    let prefix = if address.is_ipv4() { 32 } else { 128 };
    Err(format!(
        "{address} is a public address; if you may load it, say so: [testbed] allow_targets = [\"{address}/{prefix}\"] \
         or --set 'testbed.allow_targets=[\"{address}/{prefix}\"]'"
    ))
}

/// The protocol in front of an address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Scheme {
    Http,
    Tcp,
    Udp,
}

impl Scheme {
    fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// An address as a person writes it: `10.0.0.5`, `10.0.0.5:8080`, `http://[::1]:80/index.html`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Target {
    pub(super) scheme: Scheme,
    pub(super) address: SocketAddr,
    /// Path and query, if there is more than `/`.
    pub(super) path: Option<String>,
}

impl Target {
    /// Reads an address or URL; port 80 if none is given, `unstated` if no protocol is.
    ///
    /// # Errors
    /// What is wrong and what is allowed.
    pub(super) fn parse(text: &str, unstated: Scheme) -> Result<Self, String> {
        const WANTED: &str = "expected ADDRESS[:PORT] or http://ADDRESS[:PORT][/PATH]";
        const WANTED_UDP: &str =
            "expected ADDRESS:PORT or udp://ADDRESS:PORT: datagrams have no usual port, and no path";
        let (scheme, rest) = match text.split_once("://") {
            Some(("http", rest)) => (Scheme::Http, rest),
            Some(("tcp", rest)) => (Scheme::Tcp, rest),
            Some(("udp", rest)) => (Scheme::Udp, rest),
            Some(("https", _)) => return Err("https is not built yet; what works now: http, tcp, udp".to_owned()),
            Some((other, _)) => return Err(format!("scheme {other:?} is not known; {WANTED}")),
            None => (unstated, text),
        };
        let (authority, path) = match rest.find(['/', '?']) {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let address = parse_authority(authority).ok_or_else(|| {
            let named = !authority.is_empty() && authority.chars().any(char::is_alphabetic) && !authority.contains('[');
            let hint = if named { "; names are not resolved, give the IP address" } else { "" };
            format!("{authority:?} is not an address; {WANTED}{hint}")
        })?;
        let has_port = parse_authority_or(authority, None).is_some();
        if scheme == Scheme::Udp && (!has_port || path.len() > 1) {
            return Err(format!("{rest:?} is not the address of a service of datagrams; {WANTED_UDP}"));
        }
        let path = if path.starts_with('?') { format!("/{path}") } else { path.to_owned() };
        Ok(Self { scheme, address, path: Some(path).filter(|path| path.len() > 1) })
    }

    /// The service as a DUT file would have it.
    pub(super) fn service(&self) -> String {
        format!("{}://{}", self.scheme.name(), self.address)
    }
}

/// `ADDRESS` or `ADDRESS:PORT`; `localhost` is the one name everybody means the same by.
pub(super) fn parse_authority(text: &str) -> Option<SocketAddr> {
    parse_authority_or(text, Some(80))
}

/// The same with the port of an address without one; `None` refuses it.
pub(super) fn parse_authority_or(text: &str, unstated: Option<u16>) -> Option<SocketAddr> {
    if let Some(rest) = text.strip_prefix("localhost") {
        let port = if rest.is_empty() { unstated? } else { rest.strip_prefix(':')?.parse().ok()? };
        return Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).filter(|address| address.port() != 0);
    }
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = match bare.parse::<IpAddr>() {
        Ok(ip) => unstated.map(|port| SocketAddr::from((ip, port))),
        Err(_) => text.parse().ok(),
    };
    address.filter(|address| address.port() != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permitted(address: &str, allow: &[&str]) -> bool {
        let allow: Vec<_> = allow.iter().map(|text| Cidr::parse(text).unwrap()).collect();
        permit(address.parse().unwrap(), &allow).is_ok()
    }

    #[test]
    fn private_addresses_are_fine_and_public_ones_need_a_permission_that_covers_them() {
        for address in
            ["127.0.0.1", "127.9.9.9", "::1", "10.1.2.3", "172.31.0.1", "192.168.1.1", "198.19.0.1", "fd00::1"]
        {
            assert!(permitted(address, &[]), "{address}");
        }
        for address in ["8.8.8.8", "172.32.0.1", "198.20.0.1", "2606:4700::1", "::ffff:8.8.8.8"] {
            assert!(!permitted(address, &[]), "{address}");
        }
        assert!(permitted("203.0.113.7", &["203.0.113.0/24"]));
        assert!(permitted("::ffff:203.0.113.7", &["203.0.113.7"]));
        assert!(!permitted("203.0.114.7", &["203.0.113.0/24"]));
        assert!(permitted("2001:db8::9", &["2001:db8::/32"]) && permitted("2001:db8::9", &["::/0"]));
        assert!(!permitted("0.0.0.0", &["0.0.0.0/0"]) && !permitted("224.0.0.1", &["0.0.0.0/0"]));
    }

    #[test]
    fn a_network_is_read_or_refused_whole() {
        for bad in ["", "10.0.0.0/33", "10.0.0/8", "::/129", "10.0.0.0/", "x/8", "10.0.0.0/-1"] {
            assert_eq!(Cidr::parse(bad), None, "{bad}");
        }
        assert!(Cidr::parse("127.0.0.0/8").unwrap().is_loopback());
        assert!(!Cidr::parse("127.0.0.0/7").unwrap().is_loopback());
        assert!(Cidr::parse("0.0.0.0/0").unwrap().contains("8.8.8.8".parse().unwrap()));
        let covers = |outer, inner| Cidr::parse(outer).unwrap().covers(Cidr::parse(inner).unwrap());
        assert!(covers("198.18.2.0/23", "198.18.3.0/24") && covers("198.18.2.0/23", "198.18.3.9"));
        assert!(!covers("198.18.2.0/23", "198.18.2.0/22") && !covers("198.18.2.0/23", "198.18.4.0/24"));
    }

    #[test]
    fn an_address_is_read_in_every_usual_spelling() {
        let target = |text: &str| Target::parse(text, Scheme::Http).unwrap();
        assert_eq!(target("10.0.0.5").address, "10.0.0.5:80".parse().unwrap());
        assert_eq!(target("10.0.0.5:8080").service(), "http://10.0.0.5:8080");
        assert_eq!(target("localhost:81").address, "127.0.0.1:81".parse().unwrap());
        assert_eq!(target("::1").address, "[::1]:80".parse().unwrap());
        assert_eq!(target("[::1]").address, "[::1]:80".parse().unwrap());
        assert_eq!(target("tcp://[::1]:9").service(), "tcp://[::1]:9");
        assert_eq!(target("udp://10.0.0.5:53").service(), "udp://10.0.0.5:53");
        assert_eq!(Target::parse("[::1]:7", Scheme::Udp).unwrap().service(), "udp://[::1]:7");
        assert_eq!(target("http://10.0.0.5/a?b=c").path.as_deref(), Some("/a?b=c"));
        assert_eq!(target("http://10.0.0.5?s=1k").path.as_deref(), Some("/?s=1k"));
        assert_eq!(target("http://10.0.0.5/").path, None);
    }

    #[test]
    fn what_is_not_an_address_is_refused_with_what_is() {
        assert_eq!(
            Target::parse("www.example.com", Scheme::Http).unwrap_err(),
            "\"www.example.com\" is not an address; expected ADDRESS[:PORT] or http://ADDRESS[:PORT][/PATH]; \
             names are not resolved, give the IP address"
        );
        assert_eq!(
            Target::parse("https://10.0.0.5", Scheme::Http).unwrap_err(),
            "https is not built yet; what works now: http, tcp, udp"
        );
        for bad in ["", "10.0.0.5:0", "10.0.0.5:70000", "ftp://10.0.0.5", "10.0.0", "localhosts:80", "[::1"] {
            assert!(Target::parse(bad, Scheme::Http).is_err(), "{bad}");
        }
        for bad in ["udp://10.0.0.5", "udp://[::1]", "udp://10.0.0.5:53/x", "udp://10.0.0.5:0"] {
            assert!(Target::parse(bad, Scheme::Udp).unwrap_err().contains("expected ADDRESS"), "{bad}");
        }
        assert!(Target::parse("10.0.0.5", Scheme::Udp).is_err(), "there is no usual port");
        assert_eq!(
            permit("203.0.113.7".parse().unwrap(), &[]).unwrap_err(),
            "203.0.113.7 is a public address; if you may load it, say so: [testbed] allow_targets = [\"203.0.113.7/32\"] \
             or --set 'testbed.allow_targets=[\"203.0.113.7/32\"]'"
        );
    }
}
