//! A streamed result on its way through the gateway.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::clock;
use crate::context::Context;
use crate::gateway::{Gateway, Place};
use crate::samples::{Samples, mebibytes, number};
use crate::session::Session;

const MEBIBYTE: u64 = 1024 * 1024;

pub(super) async fn run(context: &Context) -> Result<Samples> {
    let mut samples = Samples::default();
    let bytes = context.scale.of(256 * MEBIBYTE, 64 * MEBIBYTE, MEBIBYTE);
    let gateway = Gateway::start(context, Place::Inside, &[]).await?;
    let mut session = gateway.session().await?;
    stream(&mut session, bytes / 4).await?;
    samples.put("chunked.peak_quarter", mebibytes(gateway.own_usage().peak));
    let begun = clock::now();
    stream(&mut session, bytes).await?;
    samples.put("chunked.rate", number(bytes) / 1e6 / begun.elapsed().as_secs_f64());
    samples.put("chunked.peak", mebibytes(gateway.own_usage().peak));
    session.check()?;
    gateway.end().await?;
    Ok(samples)
}

/// Reads a result of so many bytes. What chunks hold is text that has the same length in JSON.
async fn stream(session: &mut Session, bytes: u64) -> Result<()> {
    session.submit("load", &json!({ "result_bytes": bytes })).await?;
    let mut read = 0;
    loop {
        let event = session.event().await?;
        if event.is_terminal() {
            break;
        }
        read += event.0.len() as u64;
    }
    ensure!(read >= bytes, "{read} bytes of {bytes}");
    Ok(())
}
