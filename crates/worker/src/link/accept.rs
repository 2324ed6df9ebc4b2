//! The gateway's half of the handshake.

use std::collections::VecDeque;
use std::future::Future;

use futures_util::{SinkExt as _, StreamExt as _};
use moorline_types::limits::MAX_REPORT_WINDOW;
use moorline_types::{Fence, JobId, Millis, WorkerId, WorkerSeq};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::{AttachParams, Here, LinkEnd, LinkReceiver, LinkSender, WorkerLink, pump};
use crate::codec::{FrameError, HearFrames};
use crate::handshake::{NONCE_BYTES, Nonce, Side, Transcript, WrongProof};
use crate::limits::{
    LINK_QUEUE, MAX_GATEWAY_FRAME_BYTES, MAX_HELLO_FRAME_BYTES, MAX_SDK_TEXT_BYTES, MAX_WORKER_FRAME_BYTES, READ_QUEUE,
};
use crate::message::{Flaw, FromWorker, Malformed, ToWorker, WorkerInfo, decode};
use crate::proto::{self, GatewayMessage, WorkerMessage, gateway_message, worker_message};
use crate::random::{self, NoEntropy};
use crate::secret::WorkerKey;
use crate::stream::{self, Reader, Stream, Writer};
use crate::tasks;
use crate::text::clip;
use crate::version::{NoCommonVersion, ProtocolVersion, VersionRange};

/// The window that workers are told.
#[expect(clippy::cast_possible_truncation, reason = "it is a few thousand")]
const REPORT_WINDOW: u32 = MAX_REPORT_WINDOW as u32;

/// Why a worker was not attached. In every case the transport is closed and nothing else has happened: a peer that
/// has not proven itself can make us neither end a process nor forget one.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The handshake took too long.
    #[error("the handshake was not done within {} ms", deadline.as_millis())]
    Deadline {
        /// How long it may take.
        deadline: std::time::Duration,
    },
    /// The peer closed the transport before the handshake was done.
    #[error("the peer went away during the handshake")]
    Gone,
    /// The transport failed.
    #[error("the transport failed during the handshake")]
    Frame(#[source] FrameError),
    /// The peer sent what the protocol does not allow.
    #[error("the peer sent a message that it should not have sent")]
    Malformed(#[source] Malformed),
    /// The peer sent a message that does not belong there.
    #[error("the peer did not send the {expected} that was due")]
    OutOfTurn {
        /// What was due.
        expected: &'static str,
    },
    /// No version of the protocol is common.
    #[error("no version of the worker protocol is common")]
    Version(#[source] NoCommonVersion),
    /// The worker is not one of ours.
    #[error("{worker} is not known here")]
    Unknown {
        /// Who the peer says it is.
        worker: WorkerId,
    },
    /// The peer does not have the worker's key.
    #[error("the peer that says it is {worker} could not prove it")]
    Unproven {
        /// Who the peer says it is.
        worker: WorkerId,
        /// The proof that failed.
        #[source]
        source: WrongProof,
    },
    /// No nonce could be made.
    #[error("no nonce could be made")]
    Entropy(#[source] NoEntropy),
}

/// A worker that has proven itself and waits for the gateway's answer. Dropping it closes the transport; the worker
/// then tries again.
pub struct Candidate {
    info: WorkerInfo,
    way: Way,
}

/// How the candidate is reached.
enum Way {
    /// Over a transport.
    Frames(Box<Frames>),
    /// It is in this process, and waits for its end of the link.
    Here(Here, oneshot::Sender<WorkerSide>),
}

struct Frames {
    params: AttachParams,
    reader: Reader<WorkerMessage>,
    writer: Writer<GatewayMessage>,
}

/// The worker's end of a link within this process. What is said does not come this way ([`Here`]); whether the link is
/// closed, and why, does.
pub(crate) struct WorkerSide {
    pub(crate) incoming: mpsc::Receiver<ToWorker>,
    pub(crate) outgoing: mpsc::Sender<Result<Vec<FromWorker>, LinkEnd>>,
}

impl std::fmt::Debug for Candidate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Candidate").field("info", &self.info).finish_non_exhaustive()
    }
}

/// Leads a new transport through the handshake up to the point where the gateway has to decide.
///
/// `lookup` finds the key of a worker that the gateway expects; `None` for any other. Check the peer's user with
/// [`crate::peer::check_same_user`] before this. The future holds no resource but `stream`; dropping it closes that.
pub async fn accept<L, K>(stream: impl Stream, lookup: L, params: AttachParams) -> Result<Candidate, AttachError>
where
    L: FnOnce(WorkerId) -> K + Send,
    K: Future<Output = Option<WorkerKey>> + Send,
{
    within(params, challenge(stream, lookup, params)).await
}

impl Candidate {
    /// What the worker has said about itself.
    pub const fn info(&self) -> &WorkerInfo {
        &self.info
    }

    /// Takes the worker. `committed` says for held jobs which reports are committed already: the worker drops those
    /// and sends the rest. A held job that is not named has nothing committed. Send [`ToWorker::Kill`] for held jobs
    /// that are to end.
    ///
    /// [`ToWorker::Kill`]: crate::message::ToWorker::Kill
    pub async fn admit(
        self,
        fence: Fence,
        committed: impl IntoIterator<Item = (JobId, WorkerSeq)>,
    ) -> Result<WorkerLink, AttachError> {
        let Self { info, way } = self;
        let (to_worker, outgoing) = mpsc::channel(LINK_QUEUE);
        let (incoming, from_worker) = mpsc::channel(READ_QUEUE);
        let committed = committed.into_iter();
        let (here, pumps) = match way {
            Way::Here(here, admission) => {
                here.admit(committed);
                let side = WorkerSide { incoming: outgoing, outgoing: incoming };
                admission.send(side).map_err(|_side| AttachError::Gone)?;
                (Some(here), Vec::new())
            }
            Way::Frames(frames) => {
                let Frames { params, reader, mut writer } = *frames;
                let ack =
                    |(job, seq): (JobId, WorkerSeq)| proto::Ack { job_id: job.to_string(), worker_seq: seq.get() };
                let accepted = proto::Accepted {
                    fence: fence.get(),
                    heartbeat_interval_ms: Millis::from(params.heartbeat).get(),
                    acks: committed.map(ack).collect(),
                    report_window: REPORT_WINDOW,
                };
                within(params, send(&mut writer, gateway_message::Body::Accepted(accepted))).await?;
                let reader = reader.map_decoder(HearFrames::from);
                let read = pump::read(reader, incoming, super::lost_after(params.heartbeat));
                let write = pump::write(writer, outgoing, params.heartbeat);
                (None, vec![tasks::spawn("worker link reader", read), tasks::spawn("worker link writer", write)])
            }
        };
        Ok(WorkerLink {
            info,
            sender: LinkSender { fence, queue: to_worker, here: here.clone() },
            receiver: LinkReceiver { fence, queue: from_worker, here, taken: VecDeque::new(), _pumps: pumps },
        })
    }

    /// Sends the worker away. With `terminate` it ends itself; without, it tries again later.
    pub async fn refuse(self, reason: String, terminate: bool) -> Result<(), AttachError> {
        match self.way {
            Way::Here(_here, _admission) => Ok(()),
            Way::Frames(frames) => {
                let Frames { params, mut writer, .. } = *frames;
                let refused = proto::Refused { reason, terminate };
                within(params, send(&mut writer, gateway_message::Body::Refused(refused))).await
            }
        }
    }

    /// A worker in this process, and what tells it that it is admitted.
    pub(crate) fn here(info: WorkerInfo, here: Here) -> (Self, oneshot::Receiver<WorkerSide>) {
        let (admission, admitted) = oneshot::channel();
        (Self { info, way: Way::Here(here, admission) }, admitted)
    }
}

async fn challenge<L, K>(stream: impl Stream, lookup: L, params: AttachParams) -> Result<Candidate, AttachError>
where
    L: FnOnce(WorkerId) -> K + Send,
    K: Future<Output = Option<WorkerKey>> + Send,
{
    let (mut reader, mut writer) = stream::frames(stream, MAX_HELLO_FRAME_BYTES, MAX_GATEWAY_FRAME_BYTES);
    let hello = Hello::try_from(receive_hello(&mut reader).await?)?;
    let protocol = match params.versions.common(hello.offered) {
        Ok(protocol) => protocol,
        Err(error) => {
            // Said before any proof, so a worker only reports it; that it could not be sent changes nothing.
            let refused = proto::Refused { reason: error.to_string(), terminate: false };
            send(&mut writer, gateway_message::Body::Refused(refused)).await.unwrap_or_default();
            return Err(AttachError::Version(error));
        }
    };
    let worker = hello.worker;
    let key = lookup(worker).await.ok_or(AttachError::Unknown { worker })?;
    let gateway_nonce = random::draw().map_err(AttachError::Entropy)?;
    let transcript = hello.transcript(gateway_nonce, params, protocol);
    let challenge = proto::Challenge {
        nonce: gateway_nonce.to_vec(),
        gateway_epoch: params.epoch.get(),
        protocol: protocol.get(),
        mac: transcript.prove(&key, Side::Gateway),
    };
    send(&mut writer, gateway_message::Body::Challenge(challenge)).await?;
    reader.decoder_mut().set_max(MAX_WORKER_FRAME_BYTES);
    let proof = receive_proof(&mut reader).await?;
    let fits = transcript.verify(&key, Side::Worker, &proof.mac);
    fits.map_err(|source| AttachError::Unproven { worker, source })?;
    let offers = decode::offers(proof.agents).map_err(AttachError::Malformed)?;
    let held = decode::held(proof.jobs).map_err(AttachError::Malformed)?;
    let info = WorkerInfo { worker, pid: hello.pid, instance: hello.instance, sdk: hello.sdk, protocol, offers, held };
    Ok(Candidate { info, way: Way::Frames(Box::new(Frames { params, reader, writer })) })
}

/// A checked hello.
struct Hello {
    worker: WorkerId,
    nonce: Nonce,
    offered: VersionRange,
    pid: u32,
    instance: u64,
    sdk: String,
}

impl TryFrom<proto::Hello> for Hello {
    type Error = AttachError;

    fn try_from(hello: proto::Hello) -> Result<Self, AttachError> {
        let malformed = |field, flaw| AttachError::Malformed(Malformed { message: "Hello", field, flaw });
        let sdk = |text| clip(text, MAX_SDK_TEXT_BYTES);
        Ok(Self {
            worker: hello.worker_id.parse().map_err(|_| malformed("worker_id", Flaw::Form))?,
            nonce: <[u8; NONCE_BYTES]>::try_from(hello.nonce).map_err(|_| malformed("nonce", Flaw::Form))?,
            offered: VersionRange {
                min: ProtocolVersion::new(hello.min_protocol),
                max: ProtocolVersion::new(hello.max_protocol),
            },
            pid: hello.pid,
            instance: hello.instance,
            sdk: format!("{}/{}", sdk(hello.sdk_name), sdk(hello.sdk_version)),
        })
    }
}

impl Hello {
    const fn transcript(&self, gateway_nonce: Nonce, params: AttachParams, protocol: ProtocolVersion) -> Transcript {
        Transcript {
            worker: self.worker,
            worker_nonce: self.nonce,
            gateway_nonce,
            epoch: params.epoch,
            offered: self.offered,
            protocol,
        }
    }
}

async fn receive_hello(reader: &mut Reader<WorkerMessage>) -> Result<proto::Hello, AttachError> {
    match receive(reader).await? {
        Some(worker_message::Body::Hello(hello)) => Ok(hello),
        _ => Err(AttachError::OutOfTurn { expected: "hello" }),
    }
}

async fn receive_proof(reader: &mut Reader<WorkerMessage>) -> Result<proto::Proof, AttachError> {
    match receive(reader).await? {
        Some(worker_message::Body::Proof(proof)) => Ok(proof),
        _ => Err(AttachError::OutOfTurn { expected: "proof" }),
    }
}

async fn receive(reader: &mut Reader<WorkerMessage>) -> Result<Option<worker_message::Body>, AttachError> {
    let frame = reader.next().await.ok_or(AttachError::Gone)?;
    Ok(frame.map_err(AttachError::Frame)?.body)
}

async fn send(writer: &mut Writer<GatewayMessage>, body: gateway_message::Body) -> Result<(), AttachError> {
    writer.send(GatewayMessage { body: Some(body) }).await.map_err(AttachError::Frame)
}

async fn within<T>(params: AttachParams, step: impl Future<Output = Result<T, AttachError>>) -> Result<T, AttachError> {
    let deadline = params.deadline;
    timeout(deadline, step).await.unwrap_or(Err(AttachError::Deadline { deadline }))
}
