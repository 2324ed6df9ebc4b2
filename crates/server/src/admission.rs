//! How many connections there may be, in all and from one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Counts connections.
#[derive(Debug)]
pub(crate) struct Admission {
    room: Arc<Semaphore>,
    per_address: usize,
    addresses: Mutex<HashMap<IpAddr, Share>>,
}

/// What an address has.
#[derive(Debug, Default)]
struct Share {
    connections: usize,
    /// Whether it was said that there is no more for it: once until all are gone, so that nobody can fill the log.
    is_told: bool,
}

/// Room for one connection. Given back when the last clone of its [`Arc`] is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    admission: Arc<Admission>,
    address: IpAddr,
    _room: OwnedSemaphorePermit,
}

impl Admission {
    pub(crate) fn new(connections: usize, per_address: usize) -> Arc<Self> {
        let room = Arc::new(Semaphore::new(connections.min(Semaphore::MAX_PERMITS)));
        Arc::new(Self { room, per_address, addresses: Mutex::default() })
    }

    /// Waits until one more connection may be accepted. `None` never happens while the admission lives.
    pub(crate) async fn room(self: &Arc<Self>) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.room).acquire_owned().await.ok()
    }

    /// Room for a connection from this address; `None` if the address has all that it may.
    pub(crate) fn admit(self: &Arc<Self>, room: OwnedSemaphorePermit, address: IpAddr) -> Option<Arc<Place>> {
        let address = address.to_canonical();
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let share = addresses.entry(address).or_default();
        if share.connections >= self.per_address {
            if !std::mem::replace(&mut share.is_told, true) {
                tracing::warn!(peer = %address, "the address has all the connections that it may");
            }
            return None;
        }
        share.connections += 1;
        Some(Arc::new(Place { admission: Arc::clone(self), address, _room: room }))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut addresses = self.admission.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = addresses.get_mut(&self.address) {
            share.connections -= 1;
            if share.connections == 0 {
                addresses.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_has_its_share_and_gets_it_back() {
        let admission = Admission::new(10, 1);
        let [one, other]: [IpAddr; 2] = ["192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap()];
        let place = admission.admit(admission.room().await.unwrap(), one).unwrap();
        assert!(admission.admit(admission.room().await.unwrap(), one).is_none());
        let mapped = "::ffff:192.0.2.1".parse().unwrap();
        assert!(admission.admit(admission.room().await.unwrap(), mapped).is_none(), "the same host by another name");
        assert!(admission.admit(admission.room().await.unwrap(), other).is_some());
        drop(place);
        assert!(admission.admit(admission.room().await.unwrap(), one).is_some());
        assert_eq!(admission.room.available_permits(), 10);
    }
}
