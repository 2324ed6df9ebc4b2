//! Who has failed to authenticate too often waits before he may try again.
//!
//! A key cannot be guessed; this is about what guessing costs everybody else. An address has some failures free. Each
//! one beyond them shuts it out for twice as long as the one before, and a time without a failure wipes the slate. An
//! IPv6 network of 64 bits counts as one address, since that is what one subscriber has.
//!
//! Who shares an address with a guesser waits with him, as behind a proxy. The wait is short for that reason, and whoever
//! is connected already does not notice.

use std::collections::HashMap;
use std::net::IpAddr;
use std::net::Ipv6Addr;

use moorline_types::{Millis, Timestamp};

/// The first wait.
const FIRST_WAIT: Millis = Millis::from_secs(1);

/// The longest wait: a client with a key that was just repaired is not shut out for longer.
pub const MAX_WAIT: Millis = Millis::from_secs(30);

/// After which time without a failure an address is as good as new.
pub const FORGET_AFTER: Millis = Millis::from_secs(300);

/// Addresses that are remembered. More fail at once only if somebody commands many; then whoever failed longest ago is
/// forgotten.
pub const MAX_ADDRESSES: usize = 4096;

/// See the module's documentation. `now` never decreases.
#[derive(Debug)]
pub struct Backoff {
    free: u32,
    failed: HashMap<IpAddr, Failed>,
}

#[derive(Debug, Clone, Copy)]
struct Failed {
    times: u32,
    last: Timestamp,
    until: Timestamp,
}

impl Backoff {
    /// Addresses that have this many failures free.
    pub fn new(free: u32) -> Self {
        Self { free, failed: HashMap::new() }
    }

    /// Somebody at this address has failed to authenticate.
    pub fn handle_failure(&mut self, now: Timestamp, address: IpAddr) {
        let address = network(address);
        if !self.failed.contains_key(&address) {
            self.make_room(now);
        }
        let fresh = Failed { times: 0, last: now, until: now };
        let failed = self.failed.entry(address).or_insert(fresh);
        if failed.last + FORGET_AFTER <= now {
            *failed = fresh;
        }
        failed.times = failed.times.saturating_add(1);
        failed.last = now;
        if let Some(beyond) = failed.times.checked_sub(self.free.saturating_add(1)) {
            let wait = FIRST_WAIT.get().checked_shl(beyond.min(16)).unwrap_or(u64::MAX).min(MAX_WAIT.get());
            failed.until = now + Millis::new(wait);
        }
    }

    /// How long this address has to wait; `None` if it may try.
    pub fn wait(&self, now: Timestamp, address: IpAddr) -> Option<Millis> {
        let until = self.failed.get(&network(address))?.until;
        (until > now).then(|| until.since(now))
    }

    fn make_room(&mut self, now: Timestamp) {
        if self.failed.len() < MAX_ADDRESSES {
            return;
        }
        self.failed.retain(|_, failed| failed.last + FORGET_AFTER > now);
        if self.failed.len() >= MAX_ADDRESSES
            && let Some(oldest) = self.failed.iter().min_by_key(|(_, failed)| failed.last).map(|(address, _)| *address)
        {
            self.failed.remove(&oldest);
        }
    }
}

/// What one subscriber has.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix_millis(seconds * 1_000)
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn each_failure_beyond_the_free_ones_doubles_the_wait() {
        let (mut backoff, guesser) = (Backoff::new(2), address("192.0.2.1"));
        let mut waits = Vec::new();
        for _ in 0..9 {
            backoff.handle_failure(at(0), guesser);
            waits.push(backoff.wait(at(0), guesser).map_or(0, |wait| wait.get() / 1_000));
        }
        assert_eq!(waits, [0, 0, 1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(backoff.wait(at(30), guesser), None);
        assert_eq!(backoff.wait(at(0), address("192.0.2.2")), None, "nobody else waits");
        backoff.handle_failure(at(400), guesser);
        assert_eq!(backoff.wait(at(400), guesser), None, "what was is forgotten");
    }

    #[test]
    fn the_addresses_of_one_subscriber_wait_together() {
        for (one, other, expected) in [
            ("2001:db8::1", "2001:db8::ffff:1", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
            ("::ffff:192.0.2.1", "192.0.2.1", true),
        ] {
            let mut backoff = Backoff::new(0);
            backoff.handle_failure(at(0), address(one));
            assert_eq!(backoff.wait(at(0), address(other)).is_some(), expected, "{one} {other}");
        }
    }

    #[test]
    fn many_addresses_take_no_more_memory_and_the_latest_are_remembered() {
        let mut backoff = Backoff::new(0);
        for number in 0..20_000 {
            backoff
                .handle_failure(at(u64::from(number) / 1_000), IpAddr::from((0x0a00_0000_u32 + number).to_be_bytes()));
        }
        assert_eq!(backoff.failed.len(), MAX_ADDRESSES);
        let last = IpAddr::from((0x0a00_0000_u32 + 19_999).to_be_bytes());
        assert!(backoff.wait(at(19), last).is_some());
    }
}
