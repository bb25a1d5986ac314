//! Shares, limits and leases of a group.

use super::*;
use crate::config::Config;

fn worker_group(balance: &str, servers: &str) -> Rc<WorkerGroup> {
    let text = format!(
        "[[virtual_service]]\nname = 'v'\nlisten = '127.0.0.1:0'\nmode = 'tcp'\ngroup = 'g'\n\
         [[group]]\nname = 'g'\nbalance = '{balance}'\nreal_servers = [{servers}]\n"
    );
    let config = Config::parse("test.toml", &text).unwrap();
    Rc::new(WorkerGroup::new(Arc::new(SharedGroup::new(Arc::clone(&config.groups[0]), 1)), 0))
}

const TWO: &str = "{ name = 'a', address = '127.0.0.1:1' }, { name = 'b', address = '127.0.0.1:2' }";

#[test]
fn a_lease_is_counted_while_it_lives() {
    let group = worker_group("least-connections", TWO);
    let first = group.choose(&[]).unwrap();
    let second = group.choose(&[]).unwrap();
    assert_eq!((first.name.as_str(), second.name.as_str()), ("a", "b"));
    assert_eq!(group.shared.servers[0].current(), 1);
    drop(first);
    assert_eq!(group.shared.servers[0].current(), 0);
    assert_eq!(group.shared.servers[0].counters[0].chosen.get(), 1, "totals stay");
    assert_eq!(group.choose(&[]).unwrap().name, "a", "a is idle, b is not");
}

#[test]
fn a_server_that_is_down_or_excluded_is_not_chosen() {
    let group = worker_group("round-robin", TWO);
    group.shared.servers[0].set_up(false);
    assert!((0..3).all(|_| group.choose(&[]).unwrap().name == "b"));
    assert_eq!(group.choose(&[ServerIndex(1)]).unwrap_err(), NoServer::AllDown);
    group.shared.servers[0].set_up(true);
    assert_eq!(group.choose(&[ServerIndex(1)]).unwrap().name, "a");
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
