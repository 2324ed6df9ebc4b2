//! The kinds of operations that a lease may allow, and their names.

use std::fmt;
use std::str::FromStr;

use crate::VENDOR_PREFIX;
use crate::limits::MAX_LEASE_PATTERN_BYTES;

/// The namespace of budgets. It is no capability: nothing is done with it, it bounds the others (spec 9.6).
pub const COST_BUDGET: &str = "cost.budget";

/// A kind of operation (spec 9.2). [`COST_BUDGET`] is none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Capability {
    /// Reading files; targets are absolute paths.
    FsRead,
    /// Writing files; targets are absolute paths.
    FsWrite,
    /// Fetching over HTTP; targets are URLs.
    NetFetch,
    /// Calling a tool; targets are tools' names.
    ToolCall,
    /// Handing work to another agent; targets are agents' names.
    AgentDelegate,
    /// Using a language model; targets are models' names.
    ModelUse,
    /// Something of a vendor's, by its whole name; targets are names.
    Vendor(Box<str>),
}

/// The text names no capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be one of fs.read, fs.write, net.fetch, tool.call, agent.delegate, model.use or x-vendor.<vendor>.<name>"
)]
pub struct CapabilityError;

impl Capability {
    /// The name that leases use.
    pub fn as_str(&self) -> &str {
        match self {
            Self::FsRead => "fs.read",
            Self::FsWrite => "fs.write",
            Self::NetFetch => "net.fetch",
            Self::ToolCall => "tool.call",
            Self::AgentDelegate => "agent.delegate",
            Self::ModelUse => "model.use",
            Self::Vendor(name) => name,
        }
    }
}

impl FromStr for Capability {
    type Err = CapabilityError;

    fn from_str(text: &str) -> Result<Self, CapabilityError> {
        Ok(match text {
            "fs.read" => Self::FsRead,
            "fs.write" => Self::FsWrite,
            "net.fetch" => Self::NetFetch,
            "tool.call" => Self::ToolCall,
            "agent.delegate" => Self::AgentDelegate,
            "model.use" => Self::ModelUse,
            vendor if is_vendor(vendor) => Self::Vendor(vendor.into()),
            _ => return Err(CapabilityError),
        })
    }
}

fn is_vendor(name: &str) -> bool {
    let part =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    let rest = name.strip_prefix(VENDOR_PREFIX).filter(|_| name.len() <= MAX_LEASE_PATTERN_BYTES);
    rest.is_some_and(|rest| rest.contains('.') && rest.split('.').all(part))
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capability_is_the_specs_or_a_vendors() {
        for name in [
            "fs.read",
            "fs.write",
            "net.fetch",
            "tool.call",
            "agent.delegate",
            "model.use",
            "x-vendor.acme.gpu",
            "x-vendor.acme.gpu.a100",
        ] {
            assert_eq!(name.parse::<Capability>().unwrap().to_string(), name);
        }
        for name in [
            "",
            "fs",
            "fs.chown",
            "cost.budget",
            "FS.READ",
            "x-vendor.acme",
            "x-vendor..a",
            "x-vendor.a.",
            "x-vendor.a.b/c",
        ] {
            assert_eq!(name.parse::<Capability>(), Err(CapabilityError), "{name:?}");
        }
    }
}
