//! Shares, limits and leases of a group.

use super::*;
use crate::config::{Balance, Config};

fn config(balance: &str, servers: &str) -> Arc<Group> {
    let text = format!(
        "[[virtual_service]]\nname = 'v'\nlisten = '127.0.0.1:0'\nmode = 'tcp'\ngroup = 'g'\n\
         [[group]]\nname = 'g'\nbalance = '{balance}'\nreal_servers = [{servers}]\n"
    );
    Arc::clone(&Config::parse("test.toml", &text).unwrap().groups[0])
}

fn groups(balance: &str, servers: &str) -> (Arc<SharedGroup>, WorkerGroup) {
    let shared = Arc::new(SharedGroup::new(config(balance, servers), 1));
    (Arc::clone(&shared), WorkerGroup::new(shared, 0))
}

fn worker_group(balance: &str, servers: &str) -> WorkerGroup {
    groups(balance, servers).1
}

const TWO: &str = "{ name = 'a', address = '127.0.0.1:1' }, { name = 'b', address = '127.0.0.1:2' }";

#[test]
fn a_lease_is_counted_while_it_lives() {
    let (shared, group) = groups("least-connections", TWO);
    let first = group.choose(&[]).unwrap();
    let second = group.choose(&[]).unwrap();
    assert_eq!((first.name.as_str(), second.name.as_str()), ("a", "b"));
    assert_eq!(shared.servers[0].current(), 1);
    drop(first);
    assert_eq!(shared.servers[0].current(), 0);
    assert_eq!(shared.servers[0].counters[0].chosen.get(), 1, "totals stay");
    assert_eq!(group.choose(&[]).unwrap().name, "a", "a is idle, b is not");
}

#[test]
fn a_server_that_is_down_or_excluded_is_not_chosen() {
    let (shared, group) = groups("round-robin", TWO);
    shared.servers[0].set_up(false);
    assert!((0..3).all(|_| group.choose(&[]).unwrap().name == "b"));
    let b = group.choose(&[]).unwrap().index();
    assert_eq!(group.choose(&[b]).unwrap_err(), NoServer::AllDown);
    shared.servers[0].set_up(true);
    assert_eq!(group.choose(&[b]).unwrap().name, "a");
}

#[test]
fn a_full_server_is_passed_over_until_a_lease_ends() {
    let limited = "{ name = 'a', address = '127.0.0.1:1', max_connections = 2 }";
    let group = worker_group("round-robin", limited);
    let first = group.choose(&[]).unwrap();
    let _second = group.choose(&[]).unwrap();
    assert_eq!(group.choose(&[]).unwrap_err(), NoServer::AllFull);
    drop(first);
    assert!(group.choose(&[]).is_ok());
}

#[test]
fn servers_of_weight_zero_are_no_servers_at_all() {
    let group = worker_group("weighted-round-robin", "{ name = 'a', address = '127.0.0.1:1', weight = 0 }");
    assert_eq!(group.choose(&[]).unwrap_err(), NoServer::AllDown);
}

/// What a reload makes of a group, adopted by its only worker.
fn reload(shared: &SharedGroup, group: &WorkerGroup, servers: &str) -> Arc<SharedGroup> {
    let balance = match shared.config.balance {
        Balance::RoundRobin => "round-robin",
        Balance::WeightedRoundRobin => "weighted-round-robin",
        Balance::LeastConnections => "least-connections",
    };
    let changed = Arc::new(shared.changed_to(config(balance, servers), 1));
    group.adopt(&changed);
    changed
}

fn chosen(group: &WorkerGroup, times: usize) -> String {
    (0..times).map(|_| group.choose(&[]).unwrap().name.clone()).collect()
}

const THREE: &str = "{ name = 'a', address = '127.0.0.1:1' }, { name = 'b', address = '127.0.0.1:2' }, \
                     { name = 'c', address = '127.0.0.1:3' }";

#[test]
fn the_rotation_goes_on_where_it_was_when_servers_come_and_go() {
    let (shared, group) = groups("round-robin", TWO);
    assert_eq!(chosen(&group, 3), "aba");
    let shared = reload(&shared, &group, THREE);
    assert_eq!(chosen(&group, 3), "bca");
    let shared =
        reload(&shared, &group, "{ name = 'a', address = '127.0.0.1:1' }, { name = 'c', address = '127.0.0.1:3' }");
    assert_eq!(chosen(&group, 3), "cac", "b, whose turn it was, is gone: the next one has it");
    reload(&shared, &group, "{ name = 'z', address = '127.0.0.1:9' }");
    assert_eq!(chosen(&group, 2), "zz");
}

#[test]
fn a_server_that_stays_keeps_state_and_counters_and_one_that_comes_back_is_new() {
    let (first, group) = groups("weighted-round-robin", TWO);
    first.servers[1].set_up(false);
    let held = group.choose(&[]).unwrap();
    let second = reload(
        &first,
        &group,
        "{ name = 'b', address = '127.0.0.1:2', weight = 9 }, { name = 'a', address = '127.0.0.1:1' }",
    );
    assert!(second.servers[0].is_same(&first.servers[1]) && !second.servers[0].is_up());
    assert_eq!(second.servers[1].counters()[0].chosen.get(), 1);
    assert_eq!(second.servers[1].current(), 1);
    assert!(group.has(held.index()), "another order and another weight leave the server where it is");
    let third = reload(&second, &group, "{ name = 'b', address = '127.0.0.1:2' }");
    assert!(!group.has(held.index()) && !group.is_up(held.index()));
    let fourth = reload(&third, &group, TWO);
    assert!(!group.has(held.index()), "its slot is taken by another server of the same name");
    assert_eq!(fourth.servers[0].counters()[0].chosen.get(), 0);
    drop(held);
    assert_eq!(second.servers[1].current(), 0, "what ran on it is still booked where it began");
}

#[test]
fn a_limit_that_comes_and_goes_leaves_no_place_taken() {
    let server = |limit: u32| format!("{{ name = 'a', address = '127.0.0.1:1', max_connections = {limit} }}");
    let (shared, group) = groups("round-robin", &server(0));
    let unlimited = group.choose(&[]).unwrap();
    let shared = reload(&shared, &group, &server(1));
    let limited = group.choose(&[]).unwrap();
    assert_eq!(group.choose(&[]).unwrap_err(), NoServer::AllFull);
    drop(unlimited);
    assert_eq!(group.choose(&[]).unwrap_err(), NoServer::AllFull, "it had no place to give back");
    let shared = reload(&shared, &group, &server(0));
    drop(limited);
    reload(&shared, &group, &server(1));
    assert!(group.choose(&[]).is_ok());
}

#[test]
fn a_server_that_is_added_is_down_until_checked_if_there_are_checks() {
    let (shared, group) = groups("round-robin", TWO);
    let mut wanted = (*config("round-robin", THREE)).clone();
    let health = "[[virtual_service]]\nname = 'v'\nlisten = '127.0.0.1:0'\nmode = 'tcp'\ngroup = 'g'\n\
                  [[group]]\nname = 'g'\nhealth = { kind = 'tcp' }\nreal_servers = [{ name = 'a', address = '127.0.0.1:1' }]";
    wanted.health = Config::parse("test.toml", health).unwrap().groups[0].health.clone();
    let changed = Arc::new(shared.changed_to(Arc::new(wanted), 1));
    group.adopt(&changed);
    assert_eq!(chosen(&group, 3), "aba");
    changed.servers[2].set_up(true);
    assert_eq!(chosen(&group, 3), "bca");
}

#[test]
fn slots_of_removed_servers_are_used_again() {
    let (mut shared, group) = groups("least-connections", TWO);
    let mut highest = 0;
    for round in 0..200 {
        let server = |port: u32| format!("{{ name = 's{port}', address = '127.0.0.1:{port}' }}");
        shared = reload(&shared, &group, &format!("{}, {}", server(round + 1), server(round + 2)));
        highest = highest.max(group.choose(&[]).unwrap().index().0);
    }
    assert!(highest < 2, "slot {highest}");
}
