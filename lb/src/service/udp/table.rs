//! The flows of one worker and service: found by key, ordered by their last use.
//!
//! Pure. As the idle timeout of all flows is the same, the one that is due next, or has to make room for
//! another, is the first of a list in the order of use; using a flow moves it to the end. All operations
//! take the same time however many flows there are. A [`FlowId`] names one flow for ever: a place that
//! is used again has another generation. The memory of a place is kept for the next flow.

use std::collections::HashMap;
use std::hash::Hash;

/// No place.
const NONE: u32 = u32::MAX;

/// A flow of one table: its place, and which of the flows that had the place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FlowId {
    place: u32,
    generation: u32,
}

impl FlowId {
    /// As one number, for what cannot carry anything else.
    pub(crate) fn to_bits(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.place)
    }

    /// What [`Self::to_bits`] has made.
    pub(crate) fn from_bits(bits: u64) -> Self {
        Self { place: bits as u32, generation: (bits >> 32) as u32 }
    }
}

/// Flows with keys of type `K`.
#[derive(Debug)]
pub(crate) struct FlowTable<K, F> {
    by_key: HashMap<K, FlowId>,
    places: Vec<Place<K, F>>,
    /// The first free place; they are chained by `next`.
    free: u32,
    oldest: u32,
    newest: u32,
    count: usize,
}

#[derive(Debug)]
struct Place<K, F> {
    generation: u32,
    previous: u32,
    next: u32,
    used_ns: u64,
    flow: Option<(K, F)>,
}

impl<K, F> Default for FlowTable<K, F> {
    fn default() -> Self {
        Self { by_key: HashMap::new(), places: Vec::new(), free: NONE, oldest: NONE, newest: NONE, count: 0 }
    }
}

impl<K: Copy + Eq + Hash, F> FlowTable<K, F> {
    /// How many flows there are, those without their key included.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// The flow of a key.
    pub(crate) fn find(&self, key: &K) -> Option<FlowId> {
        self.by_key.get(key).copied()
    }

    /// A flow and its key.
    pub(crate) fn at(&self, id: FlowId) -> Option<(&K, &F)> {
        self.place(id)?.flow.as_ref().map(|(key, flow)| (key, flow))
    }

    /// A flow, to be changed, and its key.
    pub(crate) fn at_mut(&mut self, id: FlowId) -> Option<(&K, &mut F)> {
        let place = self.places.get_mut(id.place as usize).filter(|place| place.generation == id.generation)?;
        place.flow.as_mut().map(|(key, flow)| (&*key, flow))
    }

    /// The flow that was not used for longest, and when it was.
    pub(crate) fn oldest(&self) -> Option<(FlowId, u64)> {
        let place = self.places.get(self.oldest as usize)?;
        Some((FlowId { place: self.oldest, generation: place.generation }, place.used_ns))
    }

    /// Adds a flow, used now; a flow that had the key loses it. `now` never goes back.
    pub(crate) fn insert(&mut self, key: K, flow: F, now_ns: u64) -> FlowId {
        let at = self.take_place();
        let place = &mut self.places[at as usize];
        (place.flow, place.used_ns) = (Some((key, flow)), now_ns);
        let id = FlowId { place: at, generation: place.generation };
        self.append(at);
        self.by_key.insert(key, id);
        self.count += 1;
        id
    }

    /// A flow is used now.
    pub(crate) fn touch(&mut self, id: FlowId, now_ns: u64) {
        if self.place(id).is_none_or(|place| place.flow.is_none()) {
            return;
        }
        self.places[id.place as usize].used_ns = now_ns;
        if self.newest != id.place {
            self.unlink(id.place);
            self.append(id.place);
        }
    }

    /// Takes the key from a flow: the next one who asks for it finds none.
    pub(crate) fn release_key(&mut self, id: FlowId) {
        let Some(key) = self.at(id).map(|(key, _)| *key) else { return };
        if self.find(&key) == Some(id) {
            self.by_key.remove(&key);
        }
    }

    /// Removes a flow.
    pub(crate) fn remove(&mut self, id: FlowId) -> Option<(K, F)> {
        self.release_key(id);
        let place = self.places.get_mut(id.place as usize).filter(|place| place.generation == id.generation)?;
        let taken = place.flow.take()?;
        place.generation = place.generation.wrapping_add(1);
        self.unlink(id.place);
        self.places[id.place as usize].next = self.free;
        self.free = id.place;
        self.count -= 1;
        Some(taken)
    }

    fn place(&self, id: FlowId) -> Option<&Place<K, F>> {
        self.places.get(id.place as usize).filter(|place| place.generation == id.generation)
    }

    fn take_place(&mut self) -> u32 {
        if self.free == NONE {
            self.places.push(Place { generation: 0, previous: NONE, next: NONE, used_ns: 0, flow: None });
            return (self.places.len() - 1) as u32;
        }
        let at = self.free;
        self.free = self.places[at as usize].next;
        at
    }

    fn append(&mut self, at: u32) {
        let previous = std::mem::replace(&mut self.newest, at);
        let place = &mut self.places[at as usize];
        (place.previous, place.next) = (previous, NONE);
        match self.places.get_mut(previous as usize) {
            Some(place) => place.next = at,
            None => self.oldest = at,
        }
    }

    fn unlink(&mut self, at: u32) {
        let Place { previous, next, .. } = self.places[at as usize];
        match self.places.get_mut(previous as usize) {
            Some(place) => place.next = next,
            None => self.oldest = next,
        }
        match self.places.get_mut(next as usize) {
            Some(place) => place.previous = previous,
            None => self.newest = previous,
        }
    }
}

#[cfg(test)]
mod tests;
