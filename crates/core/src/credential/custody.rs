//! What is written down of a credential beside the journal, one document for each issue.

use moorline_types::{CredentialId, JobId, PrincipalId, Timestamp};
use serde::{Deserialize, Serialize};

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
}

impl Custody {
    /// The document's text.
    pub fn encode(&self) -> Vec<u8> {
        // Nothing in it fails to serialise: it has no map and no float.
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
        };
        let live = intended.clone().live("c2VhbGVk".to_owned());
        for custody in [intended, live] {
            assert_eq!(Custody::decode(&custody.encode()).unwrap(), custody);
        }
        assert!(Custody::decode(b"{}").is_err());
    }
}
