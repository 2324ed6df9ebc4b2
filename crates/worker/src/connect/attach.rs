//! The worker's half of the handshake.

use std::io;

use futures_util::{SinkExt as _, StreamExt as _};
use moorline_types::limits::{MAX_REPORT_WINDOW, WORKER_REPORT_WINDOW};
use moorline_types::{Fence, JobId, Millis, WorkerSeq};

use super::Identity;
use super::session::Session;
use crate::codec::FrameError;
use crate::handshake::{NONCE_BYTES, Nonce, Side, Transcript, WrongProof};
use crate::host::Host;
use crate::limits::{HEARTBEAT_INTERVAL, MAX_GATEWAY_FRAME_BYTES, MAX_WORKER_FRAME_BYTES};
use crate::message::{Flaw, GatewayEpoch, Malformed};
use crate::outbox::LinkState;
use crate::proto::{self, GatewayMessage, WorkerMessage, gateway_message, worker_message};
use crate::random::{self, NoEntropy};
use crate::stream::{self, Reader, Stream, Writer};
use crate::version::{ProtocolVersion, VersionRange};

/// Why an attempt to attach failed. All but a refusal for good are tried again.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody could be reached.
    #[error("the gateway could not be reached")]
    Dial(#[source] io::Error),
    /// It took too long.
    #[error("the handshake was not done in time")]
    Deadline,
    /// The transport was closed before the handshake was done.
    #[error("the gateway closed the transport during the handshake")]
    Gone,
    /// The transport failed.
    #[error("the transport failed during the handshake")]
    Frame(#[source] FrameError),
    /// A message came that does not belong there.
    #[error("the gateway did not send the {expected} that was due")]
    OutOfTurn {
        /// What was due.
        expected: &'static str,
    },
    /// A message came that the protocol does not allow.
    #[error("the gateway sent a message that it should not have sent")]
    Malformed(#[source] Malformed),
    /// Whoever answered does not have our key.
    #[error(
        "whoever answers is not the gateway that gave this worker its secret: check the address, and whose token it is"
    )]
    Unproven(#[source] WrongProof),
    /// A gateway answered that another has replaced.
    #[error("the gateway that answers is of epoch {}, but one of epoch {} was seen", got.get(), seen.get())]
    Overtaken {
        /// Its epoch.
        got: GatewayEpoch,
        /// The largest that was seen.
        seen: GatewayEpoch,
    },
    /// The gateway wants a version of the protocol that we do not speak.
    #[error("the gateway wants version {0} of the protocol, which was not offered")]
    Version(ProtocolVersion),
    /// The gateway does not take the worker. `terminate` is only ever true from one that has proven itself.
    #[error("the gateway does not take this worker: {reason}")]
    Refused {
        /// Its reason.
        reason: String,
        /// Whether the worker is to end.
        terminate: bool,
    },
    /// No nonce could be made.
    #[error("no nonce could be made")]
    Entropy(#[source] NoEntropy),
}

/// Leads a transport through the handshake. From the moment the proof is sent, what the host has said to older links
/// counts as unsaid.
pub(crate) async fn attach(
    stream: impl Stream,
    identity: &Identity,
    seen: GatewayEpoch,
    host: &Host,
) -> Result<Session, ConnectError> {
    let (mut reader, mut writer) = stream::frames(stream, MAX_GATEWAY_FRAME_BYTES, MAX_WORKER_FRAME_BYTES);
    let nonce = random::draw().map_err(ConnectError::Entropy)?;
    send(&mut writer, worker_message::Body::Hello(hello(identity, nonce, host.instance()))).await?;
    let answer = receive(&mut reader).await?;
    if let gateway_message::Body::Refused(proto::Refused { reason, .. }) = answer {
        return Err(ConnectError::Refused { reason, terminate: false });
    }
    let gateway_message::Body::Challenge(challenge) = answer else {
        return Err(ConnectError::OutOfTurn { expected: "challenge" });
    };
    let transcript = transcript(identity, nonce, &challenge)?;
    transcript.verify(&identity.key, Side::Gateway, &challenge.mac).map_err(ConnectError::Unproven)?;
    let got = transcript.epoch;
    if got < seen {
        return Err(ConnectError::Overtaken { got, seen });
    }
    let proof = proto::Proof {
        mac: transcript.prove(&identity.key, Side::Worker),
        agents: host.offers().into_iter().map(Into::into).collect(),
        jobs: host.held().into_iter().map(Into::into).collect(),
    };
    send(&mut writer, worker_message::Body::Proof(proof)).await?;
    let answer = receive(&mut reader).await?;
    if let gateway_message::Body::Refused(proto::Refused { reason, terminate }) = answer {
        return Err(ConnectError::Refused { reason, terminate });
    }
    let gateway_message::Body::Accepted(accepted) = answer else {
        return Err(ConnectError::OutOfTurn { expected: "answer to the proof" });
    };
    for ack in accepted.acks {
        let (job, seq) = committed(&ack)?;
        host.acknowledge(job, seq);
    }
    let heartbeat = match accepted.heartbeat_interval_ms {
        0 => HEARTBEAT_INTERVAL,
        millis => Millis::new(millis).as_duration(),
    };
    let window = match accepted.report_window {
        0 => WORKER_REPORT_WINDOW,
        told => u64::from(told).min(MAX_REPORT_WINDOW),
    };
    let link = LinkState::Attached { window, answers: transcript.protocol >= ProtocolVersion::V2 };
    Ok(Session::new(reader, writer, Fence::new(accepted.fence), got, heartbeat, link))
}

fn hello(identity: &Identity, nonce: Nonce, instance: u64) -> proto::Hello {
    proto::Hello {
        min_protocol: VersionRange::OURS.min.get(),
        max_protocol: VersionRange::OURS.max.get(),
        worker_id: identity.worker.to_string(),
        nonce: nonce.to_vec(),
        pid: std::process::id(),
        sdk_name: env!("CARGO_PKG_NAME").to_owned(),
        sdk_version: env!("CARGO_PKG_VERSION").to_owned(),
        instance,
    }
}

fn transcript(
    identity: &Identity,
    worker_nonce: Nonce,
    challenge: &proto::Challenge,
) -> Result<Transcript, ConnectError> {
    let malformed = |field, flaw| ConnectError::Malformed(Malformed { message: "Challenge", field, flaw });
    let gateway_nonce = <[u8; NONCE_BYTES]>::try_from(challenge.nonce.as_slice());
    let protocol = ProtocolVersion::new(challenge.protocol);
    if !VersionRange::OURS.contains(protocol) {
        return Err(ConnectError::Version(protocol));
    }
    Ok(Transcript {
        worker: identity.worker,
        worker_nonce,
        gateway_nonce: gateway_nonce.map_err(|_| malformed("nonce", Flaw::Form))?,
        epoch: GatewayEpoch::new(challenge.gateway_epoch),
        offered: VersionRange::OURS,
        protocol,
    })
}

fn committed(ack: &proto::Ack) -> Result<(JobId, WorkerSeq), ConnectError> {
    let job = ack
        .job_id
        .parse()
        .map_err(|_| ConnectError::Malformed(Malformed { message: "Accepted", field: "acks", flaw: Flaw::Form }))?;
    Ok((job, WorkerSeq::new(ack.worker_seq)))
}

async fn receive(reader: &mut Reader<GatewayMessage>) -> Result<gateway_message::Body, ConnectError> {
    let frame = reader.next().await.ok_or(ConnectError::Gone)?.map_err(ConnectError::Frame)?;
    frame.body.ok_or(ConnectError::OutOfTurn { expected: "message" })
}

async fn send(writer: &mut Writer<WorkerMessage>, body: worker_message::Body) -> Result<(), ConnectError> {
    writer.send(WorkerMessage { body: Some(body) }).await.map_err(ConnectError::Frame)
}
