//! The session gateway of a gateway that runs, for clients over gRPC.

use std::fs;
use std::time::Duration;

use serde_json::Value;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::{Request, Status};

use super::Gateway;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long it is between two looks at a gateway: a call takes about as long.
const LOOK: Duration = Duration::from_millis(5);

/// Where it listens.
pub(crate) fn url(gateway: &Gateway) -> String {
    let endpoint = fs::read_to_string(gateway.data_dir().join("gateway.json")).unwrap();
    let endpoint: Value = serde_json::from_str(&endpoint).unwrap();
    endpoint["grpc"].as_str().unwrap().to_owned()
}

/// A key beside every call, or none.
#[derive(Clone)]
pub(crate) struct Key(pub(crate) Option<MetadataValue<Ascii>>);

impl Key {
    pub(crate) fn admin(gateway: &Gateway) -> Self {
        Self::of(&fs::read_to_string(gateway.data_dir().join("admin.token")).unwrap())
    }

    pub(crate) fn of(token: &str) -> Self {
        Self(Some(format!("Bearer {}", token.trim()).parse().unwrap()))
    }
}

impl Interceptor for Key {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(key) = &self.0 {
            request.metadata_mut().insert("authorization", key.clone());
        }
        Ok(request)
    }
}

pub(crate) async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it does not come")
}

/// Leaves the machine to others between two looks at them.
pub(crate) async fn look_again() {
    // not a wait: it is a pause between two looks
    tokio::time::sleep(LOOK).await;
}
