//! What is written down of a credential beside the journal, one document for each issue.

use std::collections::BTreeMap;

use moorline_types::{CredentialId, JobId, PrincipalId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::lease::budget::Budget;

/// How far an issue has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The upstream is to be asked, or was and its answer is not known.
    Intended,
    /// The job has it.
    Live {
        /// Its value, as only this gateway can read it.
        sealed: String,
    },
}

/// A credential that the upstream has, or may have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Custody {
    /// Under which name the upstream has it; also the document's key.
    pub issue: CredentialId,
    /// What the job calls it.
    pub credential: CredentialId,
    /// The job.
    pub job: JobId,
    /// Who has submitted it: the only one who is shown the value.
    pub principal: PrincipalId,
    /// Which upstream has it.
    pub upstream: String,
    /// When it was asked for.
    pub since: Timestamp,
    /// How far it has come.
    pub stage: Stage,
    /// The jobs above that have credentials too, the job's parent first.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub above: Vec<JobId>,
    /// What the job was given of its parent's budget.
    #[serde(skip_serializing_if = "Budget::is_empty", default)]
    pub share: Budget,
}

impl Custody {
    /// The document's text.
    pub fn encode(&self) -> Vec<u8> {
        // Nothing in it fails to serialise: the keys of its map are texts, and it has no float.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads a document.
    ///
    /// # Errors
    /// If it is none.
    pub fn decode(text: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(text)
    }

    /// The same, handed to the job.
    #[must_use]
    pub fn live(self, sealed: String) -> Self {
        Self { stage: Stage::Live { sealed }, ..self }
    }

    /// What is spent with it of the budget of `job`, which is somewhere above, beyond what that has set aside for its open
    /// children.
    pub fn takes_from(&self, job: JobId, open: &BTreeMap<JobId, Budget>) -> Option<&Budget> {
        let generation = self.above.iter().position(|above| *above == job)?;
        let child = generation.checked_sub(1).and_then(|below| self.above.get(below)).unwrap_or(&self.job);
        (!open.contains_key(child)).then_some(&self.share)
    }

    /// Whether the upstream has said that it has issued it.
    pub const fn is_certain(&self) -> bool {
        matches!(self.stage, Stage::Live { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_reads_back_as_it_was_written() {
        let now = Timestamp::from_unix_millis(5);
        let intended = Custody {
            issue: CredentialId::mint(now, [1; 10]),
            credential: CredentialId::mint(now, [2; 10]),
            job: JobId::mint(now, [3; 10]),
            principal: "ada".parse().unwrap(),
            upstream: "litellm https://models.example.com".to_owned(),
            since: now,
            stage: Stage::Intended,
            above: vec![JobId::mint(now, [4; 10])],
            share: Budget::new(["USD:0.50"]).unwrap(),
        };
        let live = intended.clone().live("c2VhbGVk".to_owned());
        for custody in [intended, live] {
            assert_eq!(Custody::decode(&custody.encode()).unwrap(), custody);
        }
        assert!(Custody::decode(b"{}").is_err());
    }

    #[test]
    fn a_credential_takes_from_every_budget_above_that_does_not_count_it_already() {
        let now = Timestamp::from_unix_millis(5);
        let [job, parent, grandparent, stranger] = [1, 2, 3, 4].map(|n| JobId::mint(now, [n; 10]));
        let share = Budget::new(["USD:0.50"]).unwrap();
        let custody = Custody {
            issue: CredentialId::mint(now, [1; 10]),
            credential: CredentialId::mint(now, [1; 10]),
            job,
            principal: "ada".parse().unwrap(),
            upstream: "test".to_owned(),
            since: now,
            stage: Stage::Intended,
            above: vec![parent, grandparent],
            share: share.clone(),
        };
        let open = |child| BTreeMap::from([(child, Budget::default())]);
        for (above, open, expected) in [
            (parent, open(stranger), Some(&share)),
            (parent, open(job), None),
            (grandparent, open(stranger), Some(&share)),
            (grandparent, open(parent), None),
            (stranger, open(stranger), None),
        ] {
            assert_eq!(custody.takes_from(above, &open), expected);
        }
    }
}
