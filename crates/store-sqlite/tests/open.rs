//! What is refused at the opening, and that a refused file is left as it was.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::fs;

use common::{Place, options};
use moorline_store::Store;
use moorline_store::conformance::{job, record};
use moorline_store_sqlite::{OpenError, SqliteStore};

mod common;

async fn refused(place: &Place) -> OpenError {
    SqliteStore::open(options(place.path(), 1)).await.expect_err("it must be refused")
}

#[tokio::test]
async fn a_path_without_its_directory_is_refused() {
    let place = Place::new();
    let path = place.path().join("deeper").join("store.db");
    let error = SqliteStore::open(options(&path, 1)).await.unwrap_err();
    assert!(matches!(error, OpenError::MissingDirectory { .. }), "{error:?}");
    assert!(error.to_string().contains("create the directory"), "{error}");
    assert!(!path.exists());
}

#[tokio::test]
async fn a_directory_is_refused() {
    let place = Place::new();
    fs::create_dir(place.path()).unwrap();
    let error = refused(&place).await;
    assert!(matches!(error, OpenError::IsDirectory { .. }), "{error:?}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_as_it_was() {
    let text = "these are somebody's notes\n".repeat(100);
    let place = Place::new();
    fs::write(place.path(), &text).unwrap();
    let error = refused(&place).await;
    assert!(matches!(error, OpenError::NotADatabase { .. }), "{error:?}");
    assert_eq!(fs::read_to_string(place.path()).unwrap(), text);
}

#[tokio::test]
async fn a_database_of_another_program_is_refused_and_left_as_it_was() {
    for sql in [
        "CREATE TABLE notes (text TEXT)",
        "PRAGMA user_version = 1",
        "PRAGMA application_id = 77; CREATE TABLE notes (text TEXT)",
    ] {
        let place = Place::new();
        place.sql().execute_batch(sql).unwrap();
        let before = fs::read(place.path()).unwrap();
        let error = refused(&place).await;
        assert!(matches!(error, OpenError::Foreign { .. }), "{sql}: {error:?}");
        assert_eq!(fs::read(place.path()).unwrap(), before, "{sql}");
    }
}

#[tokio::test]
async fn a_file_of_a_newer_version_is_refused_and_left_as_it_was() {
    let place = Place::new();
    place.open().await.close().await;
    place.sql().execute_batch("PRAGMA user_version = 1000").unwrap();
    let before = fs::read(place.path()).unwrap();
    let error = refused(&place).await;
    assert!(matches!(error, OpenError::Newer { found: 1000, known: 2, .. }), "{error:?}");
    assert!(error.to_string().contains("run the newer version"), "{error}");
    assert_eq!(fs::read(place.path()).unwrap(), before);
}

#[tokio::test]
async fn a_store_that_is_open_is_refused_to_everyone_else_until_it_is_closed() {
    let place = Place::new();
    let store = place.open().await;
    let error = refused(&place).await;
    assert!(matches!(error, OpenError::InUse { .. }), "{error:?}");
    store.append(vec![record(job(1), 1)].into()).await.expect("the owner is not disturbed");
    store.close().await;
    place.open().await.close().await;
}

#[tokio::test]
async fn a_database_that_another_program_has_locked_is_refused() {
    let place = Place::new();
    place.open().await.close().await;
    let other = place.sql();
    other.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE").unwrap();
    let error = refused(&place).await;
    assert!(matches!(error, OpenError::InUse { .. }), "{error:?}");
}

#[tokio::test]
async fn a_file_whose_tables_are_gone_is_refused_rather_than_opened_empty() {
    for table in ["store", "journal"] {
        let place = Place::new();
        place.open().await.close().await;
        place.sql().execute_batch(&format!("DROP TABLE {table}")).unwrap();
        let error = refused(&place).await;
        assert!(matches!(error, OpenError::Store { .. }), "{table}: {error:?}");
    }
}

#[tokio::test]
async fn an_empty_file_becomes_a_store() {
    let place = Place::new();
    fs::write(place.path(), "").unwrap();
    let store = place.open().await;
    store.append(vec![record(job(1), 1)].into()).await.unwrap();
    store.close().await;
}
