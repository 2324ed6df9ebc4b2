//! API keys: bearer secrets that are shown once and stored hashed.
//!
//! A key is 256 random bits, so its hash needs neither salt nor a slow function: there is nothing to guess. Keys are
//! looked up by the hash of what is presented, and whole hashes are compared in constant time; how long a refusal
//! takes says nothing about any key.
//!
//! Everything here is a function of what is passed in, except [`ApiKey::generate`], which draws the 256 bits. Where
//! the records are stored, and who may change them, is decided elsewhere.

mod api_key;
mod base64url;
mod record;
mod ring;
mod standing;

pub use api_key::{ApiKey, ApiKeyError, EntropyError, KEY_ENTROPY_BYTES, KeyHash};
pub(crate) use record::check_grants;
pub use record::{KeyRecord, KeyRecordError, MAX_KEY_NAME_BYTES, NewKey, PreviousKey, create_admin};
pub use ring::{KeyRing, NotLetIn, Presented};
pub use standing::{Authenticated, Certified, Credential, Standing, Validity, told};
