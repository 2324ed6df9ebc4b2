//! The reference passes the suite.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use async_trait::async_trait;
use moorline_store::conformance::{AT, Factory};
use moorline_store::{MemoryStore, Store, TailLimits};
use moorline_types::Epoch;

#[derive(Default)]
struct Memory {
    stores: AtomicU8,
    current: std::sync::Mutex<Vec<Arc<MemoryStore>>>,
}

impl Memory {
    fn keep(&self, store: MemoryStore) -> Arc<dyn Store> {
        let store = Arc::new(store);
        self.current.lock().unwrap().push(Arc::clone(&store));
        store
    }

    fn again(&self, store: &Arc<dyn Store>) -> Arc<dyn Store> {
        let epoch = store.epoch();
        let known = self.current.lock().unwrap().iter().rev().find(|known| known.epoch() == epoch).cloned();
        self.keep(known.expect("the factory made the store").reopen(TailLimits::default()))
    }
}

#[async_trait]
impl Factory for Memory {
    async fn open(&self) -> Arc<dyn Store> {
        let number = self.stores.fetch_add(1, Ordering::Relaxed);
        self.keep(MemoryStore::new(Epoch::mint(AT, [number; 10]), TailLimits::default()))
    }

    async fn reopen(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        store.close().await;
        self.again(&store)
    }

    async fn crash(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        self.again(&store)
    }
}

moorline_store::conformance_suite!(Memory::default());
