//! From what SQLite reports to what the contract knows.

use std::sync::Arc;

use moorline_store::{AppendError, Cause, PutError, ReadError, StoreFault, WriteError};
use moorline_types::{Offset, UnknownRecordKind};
use rusqlite::ErrorCode;

/// Why SQL did not give what it should.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SqlError {
    /// SQLite failed, or a row that must be there is not.
    #[error("the database failed")]
    Sqlite(#[from] rusqlite::Error),
    /// A record was written by a newer version.
    #[error("the record at {offset} is of a newer version")]
    UnknownKind { offset: Offset, source: UnknownRecordKind },
    /// A column of the journal holds what was never written there.
    #[error("the record at {offset} is damaged ({field})")]
    Damaged { offset: Offset, field: &'static str },
    /// A value outside the journal holds what was never written there.
    #[error("{table} is damaged")]
    DamagedTable { table: &'static str },
}

impl SqlError {
    pub(crate) fn kind(&self) -> StoreFault {
        match self {
            Self::Sqlite(error) => kind_of(error),
            Self::UnknownKind { .. } => StoreFault::Newer,
            Self::Damaged { .. } | Self::DamagedTable { .. } => StoreFault::Corrupt,
        }
    }

    /// Whether somebody else has the file locked.
    pub(crate) fn is_locked(&self) -> bool {
        match self {
            Self::Sqlite(error) => error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy),
            Self::UnknownKind { .. } | Self::Damaged { .. } | Self::DamagedTable { .. } => false,
        }
    }
}

/// What a failure of SQLite means.
pub(crate) fn kind_of(error: &rusqlite::Error) -> StoreFault {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreFault::Full,
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => StoreFault::ReadOnly,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreFault::Corrupt,
        // The database did what it was asked, and the answer cannot be what was written.
        None => StoreFault::Corrupt,
        Some(_) => StoreFault::Io,
    }
}

/// A failed transaction, as everyone who was in it hears of it.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) kind: StoreFault,
    pub(crate) source: Cause,
}

impl From<SqlError> for Failure {
    fn from(error: SqlError) -> Self {
        Self { kind: error.kind(), source: Arc::new(error) }
    }
}

impl From<Failure> for AppendError {
    fn from(Failure { kind, source }: Failure) -> Self {
        Self::Store { kind, source }
    }
}

impl From<Failure> for PutError {
    fn from(Failure { kind, source }: Failure) -> Self {
        Self::Store { kind, source }
    }
}

impl From<Failure> for WriteError {
    fn from(Failure { kind, source }: Failure) -> Self {
        Self::Store { kind, source }
    }
}

/// A failed read, as the reader hears of it.
pub(crate) fn read_error(error: SqlError) -> ReadError {
    match error {
        SqlError::UnknownKind { offset, source } => ReadError::UnknownKind { offset, source },
        SqlError::Damaged { offset, field } => ReadError::Damaged { offset, field },
        other @ (SqlError::Sqlite(_) | SqlError::DamagedTable { .. }) => {
            let Failure { kind, source } = other.into();
            ReadError::Store { kind, source }
        }
    }
}
