//! SQLite passes the suite, with either durability.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use common::{Place, options};
use moorline_store::Store;
use moorline_store::conformance::Factory;
use moorline_store_sqlite::{Durability, SqliteOptions, SqliteStore};

mod common;

struct Sqlite {
    durability: Durability,
    opened: AtomicU8,
    /// Where the latest store of each epoch is.
    places: Mutex<HashMap<[u8; 16], Arc<Place>>>,
}

impl Sqlite {
    fn new(durability: Durability) -> Self {
        Self { durability, opened: AtomicU8::new(0), places: Mutex::default() }
    }

    async fn open_at(&self, place: Place) -> Arc<dyn Store> {
        let entropy = self.opened.fetch_add(1, Ordering::Relaxed);
        let options = SqliteOptions { durability: self.durability, ..options(place.path(), entropy) };
        let store = SqliteStore::open(options).await.expect("the store opens");
        self.places.lock().unwrap().insert(store.epoch().to_bytes(), Arc::new(place));
        Arc::new(store)
    }

    fn place_of(&self, store: &Arc<dyn Store>) -> Arc<Place> {
        Arc::clone(&self.places.lock().unwrap()[&store.epoch().to_bytes()])
    }
}

#[async_trait]
impl Factory for Sqlite {
    async fn open(&self) -> Arc<dyn Store> {
        self.open_at(Place::new()).await
    }

    async fn reopen(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        store.close().await;
        let place = self.place_of(&store);
        assert!(!place.log().exists(), "an orderly close leaves one file");
        let options = SqliteOptions { durability: self.durability, ..options(place.path(), 99) };
        Arc::new(SqliteStore::open(options).await.expect("the store opens again"))
    }

    /// The old process is not there to release anything, so its files are copied as they are.
    async fn crash(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        let copy = self.place_of(&store).copy();
        self.open_at(copy).await
    }
}

mod process {
    use super::{Durability, Sqlite};
    moorline_store::conformance_suite!(Sqlite::new(Durability::Process));
}

mod power {
    use super::{Durability, Sqlite};
    moorline_store::conformance_suite!(Sqlite::new(Durability::Power));
}
