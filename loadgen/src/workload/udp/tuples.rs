//! Where each stream is sent from: the local half of its 5-tuple.
//!
//! All local addresses and ports of a run's streams are chosen at once from the seed, so that every worker
//! and every trial has the same ones and no two streams share one. Random ports are uniform over 1,024 to
//! 65,535 (RFC 4814, 4.5); a fixed or the first sequential one is 49,184 (0xC020: RFC 2544, C.2.6.4). Whether
//! a port is free shows when it is bound; [`Tuples::another`] then gives the next choice.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use crate::scenario::plan::Tuples as Rule;

/// Source port of RFC 2544's test frames.
const PORT_FIRST: u16 = 0xC020;
/// Smallest port that needs no privileges, and that RFC 4814 draws.
const PORT_MIN: u16 = 1_024;
/// Ports from there to 65,535.
const PORTS: u32 = 65_536 - PORT_MIN as u32;

/// The local addresses and ports of all streams.
#[derive(Clone, Debug)]
pub struct Tuples {
    rule: Rule,
    addresses: Vec<IpAddr>,
    chosen: Vec<SocketAddr>,
    /// All of them and the replacements of this worker.
    taken: HashSet<SocketAddr>,
    random: Xoshiro256PlusPlus,
    /// Sequential choices so far.
    counted: u32,
}

impl Tuples {
    /// Those of so many streams from `addresses`, of which there is at least one.
    ///
    /// # Errors
    /// There are fewer addresses and ports than streams.
    pub fn choose(rule: Rule, streams: u16, addresses: Vec<IpAddr>, seed: u64) -> Result<Self, String> {
        let there_are = addresses.len() as u64 * u64::from(PORTS);
        if u64::from(streams) > there_are {
            return Err(format!(
                "{streams} streams need as many ports, but {} addresses have {there_are}",
                addresses.len()
            ));
        }
        let (random, taken) = (Xoshiro256PlusPlus::seed_from_u64(seed), HashSet::with_capacity(streams.into()));
        let mut tuples =
            Self { rule, addresses, chosen: Vec::with_capacity(streams.into()), taken, random, counted: 0 };
        for _ in 0..streams {
            let next = tuples.another();
            tuples.chosen.extend(next);
        }
        Ok(tuples)
    }

    /// The local address and port of each stream.
    pub fn chosen(&self) -> &[SocketAddr] {
        &self.chosen
    }

    /// One that no stream has been given; `None` when all are taken.
    pub fn another(&mut self) -> Option<SocketAddr> {
        let there_are = self.addresses.len() * PORTS as usize;
        while self.taken.len() < there_are {
            let candidate = match self.rule {
                Rule::Fixed | Rule::Sequential => self.count_up(),
                Rule::Random => self.draw(),
            };
            if self.taken.insert(candidate) {
                return Some(candidate);
            }
        }
        None
    }

    /// Addresses count up, then ports, which begin again behind the last one.
    fn count_up(&mut self) -> SocketAddr {
        let (turn, addresses) = (self.counted as usize, self.addresses.len());
        self.counted += 1;
        let offset = u32::from(PORT_FIRST - PORT_MIN) + (turn / addresses) as u32;
        SocketAddr::new(self.addresses[turn % addresses], PORT_MIN + (offset % PORTS) as u16)
    }

    fn draw(&mut self) -> SocketAddr {
        let address = self.addresses[self.random.random_range(0..self.addresses.len())];
        SocketAddr::new(address, self.random.random_range(PORT_MIN..=u16::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(rule: Rule, streams: u16, addresses: &[&str], seed: u64) -> Vec<SocketAddr> {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        Tuples::choose(rule, streams, addresses, seed).unwrap().chosen
    }

    #[test]
    fn sequential_tuples_count_up_and_wrap() {
        let tuples = choose(Rule::Sequential, 5, &["198.18.1.2", "198.18.1.3"], 1);
        let text: Vec<_> = tuples.iter().map(ToString::to_string).collect();
        assert_eq!(text[..3], ["198.18.1.2:49184", "198.18.1.3:49184", "198.18.1.2:49185"]);
        assert_eq!(choose(Rule::Fixed, 1, &["2001:2::2"], 1)[0].to_string(), "[2001:2::2]:49184");
        let many = choose(Rule::Sequential, 20_000, &["198.18.1.2"], 1);
        assert_eq!((many[16_351].port(), many[16_352].port()), (65_535, 1_024));
    }

    #[test]
    fn random_tuples_are_uniform_different_and_repeatable() {
        let addresses = ["198.18.2.1", "198.18.2.2", "198.18.2.3", "198.18.2.4"];
        let tuples = choose(Rule::Random, 40_000, &addresses, 7);
        assert_eq!(tuples.iter().collect::<HashSet<_>>().len(), 40_000);
        assert!(tuples.iter().all(|tuple| tuple.port() >= 1_024));
        // 16 ranges of 4,032 ports: 2,500 each with a standard deviation of 48.
        for range in 0..16 {
            let inside = |tuple: &&SocketAddr| (tuple.port() - 1_024) / 4_032 == range;
            let count = tuples.iter().filter(inside).count();
            assert!((2_250..2_750).contains(&count), "{range}: {count}");
        }
        for address in addresses {
            let count = tuples.iter().filter(|tuple| tuple.ip().to_string() == address).count();
            assert!((9_500..10_500).contains(&count), "{address}: {count}");
        }
        assert_eq!(choose(Rule::Random, 99, &addresses, 7), tuples[..99]);
        assert_ne!(choose(Rule::Random, 99, &addresses, 8), tuples[..99]);
    }

    #[test]
    fn another_one_is_nobodys_until_there_are_none() {
        let address = vec!["127.0.0.1".parse().unwrap()];
        for rule in [Rule::Sequential, Rule::Random] {
            let mut tuples = Tuples::choose(rule, 64_000, address.clone(), 3).unwrap();
            let mut all: HashSet<_> = tuples.chosen().iter().copied().collect();
            for left in (0..512).rev() {
                assert!(all.insert(tuples.another().unwrap()), "{rule:?}, {left} left");
            }
            assert_eq!((all.len(), tuples.another()), (64_512, None));
        }
        let refused = Tuples::choose(Rule::Sequential, 65_000, address, 3).unwrap_err();
        assert!(refused.starts_with("65000 streams need as many ports"), "{refused}");
    }
}
