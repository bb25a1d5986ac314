//! The table against a naive model, and what a generation is for.

use super::*;

/// The same as a list, in the order of use.
#[derive(Default)]
struct Model(Vec<Row>);

struct Row {
    id: FlowId,
    key: u16,
    flow: u64,
    used_ns: u64,
    has_key: bool,
}

impl Model {
    fn at(&self, id: FlowId) -> Option<usize> {
        self.0.iter().position(|row| row.id == id)
    }

    fn find(&self, key: u16) -> Option<FlowId> {
        self.0.iter().find(|row| row.key == key && row.has_key).map(|row| row.id)
    }

    fn insert(&mut self, row: Row) {
        self.0.iter_mut().filter(|other| other.key == row.key).for_each(|other| other.has_key = false);
        self.0.push(row);
    }
}

/// A small generator (xorshift64*), so that a failure is the same every time.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % n
    }
}

fn compare(table: &FlowTable<u16, u64>, model: &Model) {
    assert_eq!(table.count(), model.0.len());
    assert_eq!(table.oldest(), model.0.first().map(|row| (row.id, row.used_ns)));
    for row in &model.0 {
        assert_eq!(table.at(row.id), Some((&row.key, &row.flow)));
    }
}

/// One random operation on both; `ids` are all that were ever given.
fn step(random: &mut Random, table: &mut FlowTable<u16, u64>, model: &mut Model, ids: &mut Vec<FlowId>, now: u64) {
    const BOUND: usize = 24;
    let key = random.below(40) as u16;
    let any = ids.get(random.below(ids.len().max(1) as u64) as usize).copied();
    assert_eq!(table.find(&key), model.find(key));
    match (random.below(8), any) {
        (0..=3, _) | (_, None) => {
            // As the service does it: the oldest makes room.
            if table.count() == BOUND {
                let (oldest, _) = table.oldest().unwrap();
                assert_eq!(table.remove(oldest).map(|(_, flow)| flow), Some(model.0.remove(0).flow));
            }
            let id = table.insert(key, now, now);
            model.insert(Row { id, key, flow: now, used_ns: now, has_key: true });
            ids.push(id);
            assert!(table.places.len() <= BOUND, "places are used again");
        }
        (4 | 5, Some(id)) => {
            table.touch(id, now);
            if let Some(at) = model.at(id) {
                let row = model.0.remove(at);
                model.0.push(Row { used_ns: now, ..row });
            }
        }
        (6, Some(id)) => {
            table.release_key(id);
            if let Some(at) = model.at(id) {
                model.0[at].has_key = false;
            }
        }
        (_, Some(id)) => {
            let removed = model.at(id).map(|at| model.0.remove(at)).map(|row| (row.key, row.flow));
            assert_eq!(table.remove(id), removed);
        }
    }
}

#[test]
fn it_does_what_a_list_does_and_needs_no_more_places_than_flows() {
    for seed in 1..=40_u64 {
        let mut random = Random(seed);
        let (mut table, mut model, mut ids) = (FlowTable::default(), Model::default(), Vec::new());
        for now in 0..2_000 {
            step(&mut random, &mut table, &mut model, &mut ids, now);
            compare(&table, &model);
        }
        while let Some((oldest, _)) = table.oldest() {
            assert!(table.remove(oldest).is_some());
        }
        assert_eq!((table.count(), table.by_key.len()), (0, 0));
    }
}

#[test]
fn a_flow_that_is_gone_is_not_taken_for_the_next_one_at_its_place() {
    let mut table = FlowTable::default();
    let first = table.insert(1, "first", 0);
    assert_eq!(table.remove(first), Some((1, "first")));
    let second = table.insert(1, "second", 1);
    assert_eq!(first.place, second.place);
    table.touch(first, 9);
    table.release_key(first);
    assert_eq!(table.at(first), None);
    assert_eq!(table.remove(first), None);
    assert_eq!(table.oldest(), Some((second, 1)));
    assert_eq!(table.find(&1), Some(second));
    assert_eq!(FlowId::from_bits(second.to_bits()), second);
}
