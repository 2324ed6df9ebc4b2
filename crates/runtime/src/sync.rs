//! Locks that are held for a few instructions, never across an await.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks. A panic in another holder leaves no half-made state behind in the maps that we keep, so poisoning is passed
/// over.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
