//! A client of a gateway, told things by a stream.

use async_trait::async_trait;
use moorline_gateway_client::{EventBody, EventStream, GatewayClient, Item, Next, OpenSession, Session, Start, Value};

use super::{Told, Watch};
use crate::{Failure, tags};

/// A session of a gateway, and the stream of its events.
#[derive(Debug)]
pub struct OfGateway {
    session: Session,
    events: EventStream,
    /// The tag that counts, and the one that lets it; there when it has begun.
    items: Option<(Item, Item)>,
}

impl OfGateway {
    /// Opens a session, and a stream of what happens in it from now on.
    ///
    /// # Errors
    /// If the gateway does not open them.
    pub async fn open(client: &GatewayClient) -> Result<Self, Failure> {
        let session = client.open(OpenSession::new("cuts")).await?;
        let events = session.events(Start::Now).await?;
        Ok(Self { session, events, items: None })
    }

    /// Closes the session, so that its worker ends.
    ///
    /// # Errors
    /// If the gateway does not close it.
    pub async fn close(self) -> Result<(), Failure> {
        self.session.close().await?;
        Ok(())
    }
}

#[async_trait]
impl Watch for OfGateway {
    async fn begin(&mut self) -> Result<(), Failure> {
        let server = self.session.register("cuts").await?;
        let counter = self.session.add_item(server, tags::item(tags::COUNTER)).await?;
        let control = self.session.add_item(server, tags::item(tags::COUNTING)).await?;
        for item in [control, counter] {
            self.session.advise(item).await?;
        }
        self.items = Some((counter, control));
        Ok(())
    }

    async fn control(&mut self, on: bool) -> Result<(), Failure> {
        let unbegun = || Failure::Refused { command: "write", message: "nothing is advised yet".to_owned() };
        let (_, control) = self.items.ok_or_else(unbegun)?;
        self.session.write(control, on).await?;
        Ok(())
    }

    async fn read(&mut self) -> Result<Option<i64>, Failure> {
        let readings = self.session.read([tags::item(tags::COUNTER)]).await?;
        let sample = readings.into_iter().next().and_then(|reading| reading.sample.ok());
        Ok(sample.and_then(|sample| if let Value::Integer(value) = sample.value { Some(value) } else { None }))
    }

    async fn next(&mut self) -> Result<Told, Failure> {
        let event = match self.events.next().await.ok_or(Failure::Ended)?? {
            Next::Event(event) => event,
            Next::Gap(gap) => return Ok(Told::Gap(gap.to_string())),
        };
        let is_counter = event.item.is_some() && event.item == self.items.map(|(counter, _)| counter);
        if let EventBody::BackendGap { reason } = event.body {
            return Ok(Told::Gap(reason));
        }
        if let EventBody::DataChange(sample) = event.body
            && is_counter
            && sample.is_good()
            && let Value::Integer(value) = sample.value
        {
            return Ok(Told::Count(value));
        }
        Ok(Told::Else)
    }
}
