//! Whose turn it is: one pure file per algorithm.
//!
//! An algorithm is asked with the servers that may be used now and how busy they are, and keeps only
//! its own place. Nothing here is shared between workers: each has its own rotation, which starts
//! at another server, so that a few connections over many workers do not all meet the first server.

mod least_connections;
mod round_robin;
mod weighted_round_robin;

use crate::config::{Balance, Group};
use least_connections::LeastConnections;
use round_robin::RoundRobin;
use weighted_round_robin::WeightedRoundRobin;

/// One worker's place in a group's rotation.
#[derive(Debug)]
pub(crate) enum Balancer {
    RoundRobin(RoundRobin),
    Weighted(WeightedRoundRobin),
    Least(LeastConnections),
}

impl Balancer {
    /// A rotation that begins at a server, by its place in the group.
    pub(crate) fn new(group: &Group, start: usize) -> Self {
        let weights = || group.servers.iter().map(|server| server.weight).collect();
        match group.balance {
            Balance::RoundRobin => Self::RoundRobin(RoundRobin::new(group.servers.len(), start)),
            Balance::WeightedRoundRobin => Self::Weighted(WeightedRoundRobin::new(weights(), start)),
            Balance::LeastConnections => Self::Least(LeastConnections::new(weights(), start)),
        }
    }

    /// The next server among those that are `eligible`; `None` if there is none.
    pub(crate) fn choose(&mut self, eligible: impl Fn(usize) -> bool, load: impl Fn(usize) -> u64) -> Option<usize> {
        match self {
            Self::RoundRobin(balance) => balance.choose(eligible),
            Self::Weighted(balance) => balance.choose(eligible),
            Self::Least(balance) => balance.choose(eligible, load),
        }
    }

    /// The server whose turn it is, whether it is up or not.
    pub(crate) fn next(&self) -> usize {
        match self {
            Self::RoundRobin(balance) => balance.next(),
            Self::Weighted(balance) => balance.next(),
            Self::Least(balance) => balance.next(),
        }
    }

    /// Whether the algorithm would ever give work to a server: one of weight 0 gets none.
    pub(crate) fn uses(&self, server: usize) -> bool {
        match self {
            Self::RoundRobin(_) => true,
            Self::Weighted(balance) => balance.uses(server),
            Self::Least(balance) => balance.uses(server),
        }
    }
}
