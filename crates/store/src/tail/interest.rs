//! Who waits for which streams.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use moorline_types::StreamId;
use tokio::sync::Notify;

use crate::sync::lock;

/// Wakes one reader when a stream that it is interested in gets records.
///
/// The wake-up is level-triggered: records that arrive while nobody waits make the next [`changed`](Self::changed)
/// return at once. Many arrivals are one wake-up. Dropping the interest ends it.
#[derive(Debug)]
pub struct Interest {
    id: u64,
    streams: BTreeSet<StreamId>,
    signal: Arc<Notify>,
    registry: Arc<Mutex<Registry>>,
}

impl Interest {
    pub(super) fn new(registry: Arc<Mutex<Registry>>) -> Self {
        let id = lock(&registry).next_id();
        Self { id, streams: BTreeSet::new(), signal: Arc::default(), registry }
    }

    /// Takes an interest in a stream. Counts as a change, because what the stream got before this moment woke nobody.
    pub fn add(&mut self, stream: StreamId) {
        if self.streams.insert(stream) {
            lock(&self.registry).add(stream, self.id, &self.signal);
            self.signal.notify_one();
        }
    }

    /// Loses interest in a stream. A wake-up that it has already caused remains.
    pub fn remove(&mut self, stream: StreamId) {
        if self.streams.remove(&stream) {
            lock(&self.registry).remove(stream, self.id);
        }
    }

    /// The streams of interest, in order.
    pub fn streams(&self) -> impl Iterator<Item = StreamId> {
        self.streams.iter().copied()
    }

    /// Waits until a stream of interest has got records since the last call, or was added. Safe to cancel: a wake-up
    /// that was not returned is returned by the next call.
    pub async fn changed(&mut self) {
        self.signal.notified().await;
    }
}

impl Drop for Interest {
    fn drop(&mut self) {
        let mut registry = lock(&self.registry);
        for stream in &self.streams {
            registry.remove(*stream, self.id);
        }
    }
}

/// The interests in each stream. Holds no entry for a stream that nobody is interested in.
#[derive(Debug, Default)]
pub(super) struct Registry {
    last_id: u64,
    waiting: HashMap<StreamId, BTreeMap<u64, Arc<Notify>>>,
}

impl Registry {
    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    fn add(&mut self, stream: StreamId, id: u64, signal: &Arc<Notify>) {
        self.waiting.entry(stream).or_default().insert(id, Arc::clone(signal));
    }

    fn remove(&mut self, stream: StreamId, id: u64) {
        if let Some(interests) = self.waiting.get_mut(&stream) {
            interests.remove(&id);
            if interests.is_empty() {
                self.waiting.remove(&stream);
            }
        }
    }

    pub(super) fn wake(&self, streams: &[StreamId]) {
        for signal in streams.iter().filter_map(|stream| self.waiting.get(stream)).flat_map(BTreeMap::values) {
            signal.notify_one();
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use moorline_types::{JobId, Timestamp};

    use super::*;

    #[test]
    fn an_interest_leaves_nothing_behind() {
        let registry = Arc::new(Mutex::new(Registry::default()));
        let stream = |n| StreamId::Job(JobId::mint(Timestamp::from_unix_millis(1), [n; 10]));
        let (mut one, mut other) = (Interest::new(Arc::clone(&registry)), Interest::new(Arc::clone(&registry)));
        one.add(stream(1));
        one.add(stream(1));
        one.add(stream(2));
        other.add(stream(2));
        other.remove(stream(3));
        one.remove(stream(1));
        assert_eq!(lock(&registry).waiting.len(), 1);
        drop(one);
        assert_eq!(lock(&registry).waiting[&stream(2)].len(), 1);
        drop(other);
        assert!(lock(&registry).is_empty());
    }
}
