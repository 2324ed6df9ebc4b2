//! Opens a session, watches an item of the simulated plant, and closes the session again: `watch URL KEY [SECONDS]`.

use std::time::Duration;

use moorline_gateway_client::{EventBody, GatewayClient, Next, OpenSession, Options, Start};

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "it is what an example does")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(url), Some(key)) = (args.next(), args.next()) else { return Err("watch URL KEY [SECONDS]".into()) };
    let length = Duration::from_secs(args.next().map_or(Ok(10), |seconds| seconds.parse())?);

    let gateway = GatewayClient::connect(Options::new(url, key)).await?;
    let session = gateway.open(OpenSession::new("watch")).await?;
    let server = session.register("watch").await?;
    let item = session.add_item(server, "Plant.Ramp").await?;
    let mut events = session.events(Start::Now).await?;
    session.advise(item).await?;
    let watch = async {
        while let Some(next) = events.next().await {
            match next? {
                Next::Event(event) => {
                    if let EventBody::DataChange(sample) = event.body {
                        println!("{} {}", event.sequence, sample.value);
                    }
                }
                Next::Gap(gap) => println!("{gap}: look at the items anew"),
            }
        }
        Ok::<_, Box<dyn std::error::Error>>(())
    };
    tokio::time::timeout(length, watch).await.unwrap_or(Ok(()))?;
    session.close().await?;
    Ok(())
}
