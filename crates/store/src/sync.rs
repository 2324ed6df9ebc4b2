//! Locks that outlive a panic.
//!
//! Nothing that is held under a lock of this crate is left half changed by a panic: every update is a few pushes and
//! pops between states that are all valid. A poisoned lock is therefore taken like any other.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Takes the lock, whatever happened to the thread that held it before.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
