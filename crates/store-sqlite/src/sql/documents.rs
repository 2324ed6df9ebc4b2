//! The documents.

use moorline_store::limits::{MAX_LIST_BYTES, MAX_LIST_DOCUMENTS};
use moorline_store::{Collection, DocKey, Document, ReadLimit, Revision};
use rusqlite::{OptionalExtension, params};

use super::{Transaction, from_sql, to_sql};
use crate::fault::SqlError;

/// Makes or replaces a document. Its revision is to be noted ([`note_revision`]) in the same transaction, or before.
///
/// One that is there keeps its row, so that its place in the index is not written.
pub(crate) fn put(tx: &Transaction<'_>, key: &DocKey, value: &[u8], revision: Revision) -> Result<(), SqlError> {
    tx.prepare_cached(
        "INSERT INTO documents (collection, key, revision, value) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (collection, key) DO UPDATE SET revision = excluded.revision, value = excluded.value",
    )?
    .execute(params![key.collection().as_str(), key.key(), to_sql(revision.get()), value])?;
    Ok(())
}

/// Takes note of the last revision that may have been given, which a document that is gone again does not tell.
pub(crate) fn note_revision(tx: &Transaction<'_>, revision: Revision) -> Result<(), SqlError> {
    tx.prepare_cached("UPDATE store SET revision = ?1")?.execute(params![to_sql(revision.get())])?;
    Ok(())
}

pub(crate) fn delete(tx: &Transaction<'_>, key: &DocKey) -> Result<(), SqlError> {
    tx.prepare_cached("DELETE FROM documents WHERE collection = ?1 AND key = ?2")?
        .execute(params![key.collection().as_str(), key.key()])?;
    Ok(())
}

pub(crate) fn revision(tx: &Transaction<'_>, key: &DocKey) -> Result<Option<Revision>, SqlError> {
    let mut statement = tx.prepare_cached("SELECT revision FROM documents WHERE collection = ?1 AND key = ?2")?;
    let found = statement.query_row(params![key.collection().as_str(), key.key()], |row| row.get(0)).optional()?;
    found.map(to_revision).transpose()
}

pub(crate) fn document(tx: &Transaction<'_>, key: &DocKey) -> Result<Option<Document>, SqlError> {
    let mut statement =
        tx.prepare_cached("SELECT revision, value FROM documents WHERE collection = ?1 AND key = ?2")?;
    let found: Option<(i64, Vec<u8>)> = statement
        .query_row(params![key.collection().as_str(), key.key()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    found.map(to_document).transpose()
}

/// `after` is empty for the first page: no key is.
pub(crate) fn list(
    tx: &Transaction<'_>,
    collection: Collection,
    after: &str,
    limit: usize,
) -> Result<Vec<(DocKey, Document)>, SqlError> {
    let mut statement = tx
        .prepare_cached("SELECT key, revision, value FROM documents WHERE collection = ?1 AND key > ?2 ORDER BY key")?;
    let mut rows = statement.query(params![collection.as_str(), after])?;
    let mut budget = ReadLimit::new(limit.min(MAX_LIST_DOCUMENTS), MAX_LIST_BYTES).budget();
    let mut documents = Vec::new();
    while let Some(row) = rows.next()? {
        let key: String = row.get(0)?;
        let document = to_document((row.get(1)?, row.get(2)?))?;
        if !budget.take(document.value.len()) {
            break;
        }
        let key = DocKey::new(collection, key).map_err(|_| SqlError::DamagedTable { table: "documents" })?;
        documents.push((key, document));
    }
    Ok(documents)
}

fn to_document((revision, value): (i64, Vec<u8>)) -> Result<Document, SqlError> {
    Ok(Document { revision: to_revision(revision)?, value: value.into() })
}

pub(super) fn to_revision(number: i64) -> Result<Revision, SqlError> {
    from_sql(number).map(Revision::new).ok_or(SqlError::DamagedTable { table: "documents" })
}
