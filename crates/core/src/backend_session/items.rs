//! Which items of a back end somebody may read and write.
//!
//! It is said where everything is said that an identity may do: as patterns of two capabilities in what its leases may
//! name at most. An identity that is not constrained may read and write every item; one that is may do what its patterns
//! match, and a capability that is not named allows nothing. Names of items are compared without regard to case, as back
//! ends do.

use std::sync::LazyLock;

use moorline_types::{Capability, Constraints};

use crate::access::read_lease_cap;
use crate::lease::{Grants, GrantsError, Target};

/// The capability of reading items: events and readings.
pub const READ_CAPABILITY: &str = "x-vendor.moorline.item-read";

/// The capability of writing items.
pub const WRITE_CAPABILITY: &str = "x-vendor.moorline.item-write";

static READ: LazyLock<Capability> = LazyLock::new(|| Capability::Vendor(READ_CAPABILITY.into()));
static WRITE: LazyLock<Capability> = LazyLock::new(|| Capability::Vendor(WRITE_CAPABILITY.into()));

/// What an identity may do with items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemAccess(Option<Grants>);

/// The constraints of an identity cannot be read, so nothing is known to be within them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("what this identity may do with items cannot be read: {0}")]
pub struct ItemAccessError(#[from] GrantsError);

impl ItemAccess {
    /// What somebody with these constraints may do.
    ///
    /// # Errors
    /// If its patterns cannot be read.
    pub fn of(constraints: &Constraints) -> Result<Self, ItemAccessError> {
        let Some(cap) = &constraints.lease else { return Ok(Self(None)) };
        let mut cap = cap.clone();
        for name in [READ_CAPABILITY, WRITE_CAPABILITY] {
            if let Some(patterns) = cap.0.get_mut(name) {
                patterns.iter_mut().for_each(|pattern| *pattern = pattern.to_lowercase().into());
            }
        }
        // The budget is no capability.
        cap.0.retain(|name, _| matches!(&**name, READ_CAPABILITY | WRITE_CAPABILITY));
        Ok(Self(Some(read_lease_cap(&cap)?)))
    }

    /// Whether the item may be read.
    pub fn may_read(&self, item: &str) -> bool {
        self.may(&READ, item)
    }

    /// Whether the item may be written.
    pub fn may_write(&self, item: &str) -> bool {
        self.may(&WRITE, item)
    }

    /// Whether nothing is constrained.
    pub const fn is_unconstrained(&self) -> bool {
        self.0.is_none()
    }

    fn may(&self, capability: &Capability, item: &str) -> bool {
        let Some(grants) = &self.0 else { return true };
        Target::new(capability, &item.to_lowercase()).is_ok_and(|target| grants.cover(&target))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(constraints: &str) -> ItemAccess {
        ItemAccess::of(&serde_json::from_str(constraints).unwrap()).unwrap()
    }

    #[test]
    fn patterns_decide_item_by_item() {
        let reader = r#"{"lease":{"x-vendor.moorline.item-read":["Line1.*"],"x-vendor.moorline.item-write":["Line1.Setpoint"],"cost.budget":["USD:1"]}}"#;
        for (constraints, item, read, write) in [
            ("{}", "Line1.Speed", true, true),
            ("{}", "", true, true),
            (reader, "Line1.Speed", true, false),
            (reader, "line1.SETPOINT", true, true),
            (reader, "Line2.Speed", false, false),
            (reader, "", false, false),
            (r#"{"lease":{}}"#, "Line1.Speed", false, false),
            (r#"{"lease":{"fs.read":["/**"]}}"#, "/etc", false, false),
        ] {
            let access = access(constraints);
            assert_eq!((access.may_read(item), access.may_write(item)), (read, write), "{constraints} {item:?}");
        }
    }
}
