//! The token with which a worker of another machine is let in.
//!
//! A token is for one worker: it has the worker's id and its secret, and is shown once, when the worker is enrolled. The
//! gateway stores the id only: it derives the secret again from its own ([`GatewaySecret`]). A token is never sent; both
//! sides prove that they know its secret ([`crate::handshake`]).

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use moorline_types::WorkerId;

use crate::secret::{GatewaySecret, SECRET_BYTES, WorkerKey, WorkerSecret};

/// What every token begins with, so that scanners find one that was published by mistake.
const PREFIX: &str = "mle_";

/// Bytes of a worker's id.
const ID_BYTES: usize = 16;

/// Characters of a token: the prefix, and what follows in base 64.
const TOKEN_CHARACTERS: usize = PREFIX.len() + (ID_BYTES + SECRET_BYTES) * 4 / 3;

/// `mle_` and 64 characters. Only [`Self::expose`] shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct EnrolmentToken {
    worker: WorkerId,
    secret: WorkerSecret,
}

/// The text is no enrolment token. Says nothing about the text, because it may be one with a slip in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not an enrolment token: one is {PREFIX} followed by 64 characters of A-Z a-z 0-9 - _, from `moorline workers enroll`"
)]
pub struct EnrolmentTokenError;

impl EnrolmentToken {
    /// Reads a token as its owner has it; white space around it does not matter.
    ///
    /// # Errors
    /// If the text does not have the form of a token.
    pub fn parse(text: &str) -> Result<Self, EnrolmentTokenError> {
        let text = text.trim();
        if text.len() != TOKEN_CHARACTERS {
            return Err(EnrolmentTokenError);
        }
        let encoded = text.strip_prefix(PREFIX).ok_or(EnrolmentTokenError)?;
        let bytes = BASE64URL_NOPAD.decode(encoded.as_bytes()).map_err(|_| EnrolmentTokenError)?;
        let (id, secret) = bytes.split_first_chunk::<ID_BYTES>().ok_or(EnrolmentTokenError)?;
        let secret: [u8; SECRET_BYTES] = secret.try_into().map_err(|_| EnrolmentTokenError)?;
        Ok(Self { worker: WorkerId::from_bytes(*id), secret: WorkerSecret::new(secret) })
    }

    /// Whose it is.
    pub const fn worker(&self) -> WorkerId {
        self.worker
    }

    /// What its worker and the gateway prove that they know.
    pub fn key(&self) -> WorkerKey {
        self.secret.key()
    }

    /// The token, for its owner.
    pub fn expose(&self) -> String {
        let bytes = [self.worker.to_bytes().as_slice(), self.secret.as_bytes()].concat();
        format!("{PREFIX}{}", BASE64URL_NOPAD.encode(&bytes))
    }
}

impl GatewaySecret {
    /// The token of the worker with this id.
    pub fn enrolment_token(&self, worker: WorkerId) -> EnrolmentToken {
        EnrolmentToken { worker, secret: self.enrolment_secret(worker) }
    }
}

impl fmt::Debug for EnrolmentToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnrolmentToken").field("worker", &self.worker).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> EnrolmentToken {
        GatewaySecret::new([0xa5; SECRET_BYTES]).enrolment_token(WorkerId::from_bytes([1; ID_BYTES]))
    }

    #[test]
    fn what_is_no_token_is_refused_without_being_repeated() {
        let good = token().expose();
        for text in [
            String::new(),
            PREFIX.to_owned(),
            good[1..].to_owned(),
            good[..good.len() - 1].to_owned(),
            format!("{good}A"),
            good.replace(PREFIX, "mlk_"),
            format!("{}!", &good[..good.len() - 1]),
            "mle_é".repeat(17),
        ] {
            let error = EnrolmentToken::parse(&text).unwrap_err();
            assert!(text.len() < 5 || !error.to_string().contains(&text), "{text:?}");
        }
    }

    #[test]
    fn a_token_reads_back_and_shows_itself_only_when_asked() {
        let text = token().expose();
        assert_eq!(text.len(), TOKEN_CHARACTERS);
        assert_eq!(EnrolmentToken::parse(&format!(" {text}\n")), Ok(token()));
        assert!(!format!("{:?}", token()).contains(&text[30..]));
    }

    #[test]
    fn a_token_is_no_secret_of_a_worker_that_the_gateway_starts() {
        let gateway = GatewaySecret::new([0xa5; SECRET_BYTES]);
        let worker = WorkerId::from_bytes([1; ID_BYTES]);
        assert_ne!(gateway.enrolment_token(worker).key().as_bytes(), gateway.worker_secret(worker).key().as_bytes());
        let other = GatewaySecret::new([0xa6; SECRET_BYTES]);
        assert_ne!(gateway.enrolment_token(worker), other.enrolment_token(worker));
    }
}
