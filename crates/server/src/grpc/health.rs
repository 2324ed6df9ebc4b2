//! Whether the session gateway can be used, for whoever asks by gRPC's own health service.
//!
//! It cannot before the workers of the last run have come back or were given up, and not once the gateway ends: a client
//! that would be told that its session's worker is away does better to wait.

use std::sync::Arc;
use std::time::Duration;

use moorline_gateway_proto::v1::session_gateway_server::SERVICE_NAME;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::connection::Service;

/// How often is looked whether workers are still awaited. Short beside how long they take to come back.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Tells whether the session gateway can be used, until the gateway ends.
pub(super) async fn report(reporter: HealthReporter, service: Arc<Service>) {
    reporter.set_service_status(SERVICE_NAME, ServingStatus::NotServing).await;
    reporter.set_service_status("", ServingStatus::NotServing).await;
    let closing = service.closing().clone();
    while service.gateway().pool().awaited() > 0 {
        tokio::select! {
            () = tokio::time::sleep(LOOK_INTERVAL) => {}
            () = closing.cancelled() => return,
        }
    }
    reporter.set_service_status(SERVICE_NAME, ServingStatus::Serving).await;
    reporter.set_service_status("", ServingStatus::Serving).await;
    closing.cancelled().await;
    reporter.set_service_status(SERVICE_NAME, ServingStatus::NotServing).await;
    reporter.set_service_status("", ServingStatus::NotServing).await;
}
