//! The epoch names a lineage of numbers: it stays as long as nothing that was given can be given again.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::fs;

use common::{Place, options};
use moorline_store::Store;
use moorline_store::conformance::{job, record};
use moorline_store_sqlite::{Durability, SqliteOptions, SqliteStore};
use moorline_types::{Batch, Epoch};

mod common;

/// Opens the store, with entropy of its own, and says its epoch.
async fn open(place: &Place, entropy: u8) -> (SqliteStore, Epoch) {
    let store = SqliteStore::open(options(place.path(), entropy)).await.unwrap();
    let epoch = store.epoch();
    (store, epoch)
}

async fn append(store: &SqliteStore, seq: u64) {
    store.append(Batch::from(vec![record(job(1), seq)])).await.unwrap();
}

/// Puts the files of `from` in the place of those of `to`, the witness excepted.
fn restore(from: &Place, to: &Place) {
    fs::copy(from.path(), to.path()).unwrap();
    let log = to.log();
    if from.log().exists() {
        fs::copy(from.log(), log).unwrap();
    } else if log.exists() {
        fs::remove_file(log).unwrap();
    }
}

#[tokio::test]
async fn closing_and_killing_leave_the_epoch() {
    let place = Place::new();
    let (store, first) = open(&place, 1).await;
    append(&store, 1).await;
    let killed = place.copy();
    store.close().await;
    for (place, entropy) in [(&place, 2), (&killed, 3)] {
        let (store, epoch) = open(place, entropy).await;
        assert_eq!(epoch, first);
        append(&store, 2).await;
        store.close().await;
    }
}

#[tokio::test]
async fn a_backup_that_is_put_back_has_another_epoch_if_anything_came_after_it() {
    let place = Place::new();
    let (store, first) = open(&place, 1).await;
    append(&store, 1).await;
    store.close().await;
    let backup = place.copy();

    restore(&backup, &place);
    let (store, epoch) = open(&place, 2).await;
    assert_eq!(epoch, first, "nothing came after it");
    append(&store, 2).await;
    store.close().await;

    restore(&backup, &place);
    let (store, second) = open(&place, 3).await;
    assert_ne!(second, first);
    append(&store, 2).await;
    store.close().await;
    let (store, epoch) = open(&place, 4).await;
    assert_eq!(epoch, second, "the new epoch stays");
    store.close().await;
}

#[tokio::test]
async fn a_database_without_its_witness_has_another_epoch() {
    let place = Place::new();
    let (store, first) = open(&place, 1).await;
    append(&store, 1).await;
    store.close().await;
    let witness = fs::read(place.witness()).unwrap();
    for rubbish in [None, Some(&b"rubbish"[..]), Some(&witness[..witness.len() / 2])] {
        match rubbish {
            None => fs::remove_file(place.witness()).unwrap(),
            Some(rubbish) => fs::write(place.witness(), rubbish).unwrap(),
        }
        let (store, epoch) = open(&place, 9).await;
        assert_ne!(epoch, first, "{rubbish:?}");
        store.close().await;
    }
}

#[tokio::test]
async fn a_loss_of_power_renews_the_epoch_of_a_store_that_did_not_wait_for_the_disk() {
    for (durability, renewed) in [(Durability::Process, true), (Durability::Power, false)] {
        let place = Place::new();
        let options = |entropy: u8| SqliteOptions { durability, ..options(place.path(), entropy) };
        let store = SqliteStore::open(options(1)).await.unwrap();
        append(&store, 1).await;
        let cut = place.copy();
        // The machine that starts again is not the one that the witness was written on.
        let text = fs::read_to_string(cut.witness()).unwrap();
        let mut lines: Vec<_> = text.lines().collect();
        if lines[3] != "closed" {
            lines[3] = "another-start-of-the-machine";
        }
        fs::write(cut.witness(), lines.join("\n") + "\n").unwrap();
        let again = SqliteStore::open(SqliteOptions { path: cut.path(), ..options(2) }).await.unwrap();
        assert_eq!(again.epoch() != store.epoch(), renewed, "{durability:?}");
    }
}
