//! `moorline serve`: the gateway.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use moorline_server::{Doors, Reload, Server, logging};
use tokio::sync::Mutex;

use crate::args::ConfigArgs;
use crate::exit::Exit;
use crate::output::{Output, Style};
use crate::signals::{Hangups, Signals};

pub(crate) async fn run(stdio: bool, args: ConfigArgs, output: &Output) -> Result<Exit> {
    let (config, resolved) = super::config::resolve(args)?;
    logging::init(&config.log)?;
    let signals = Arc::new(Mutex::new(Signals::listen().context("signals cannot be listened for")?));
    let doors = if stdio { Doors::Stdio } else { Doors::Network };
    let server = Server::start(config, &resolved.settings(), doors).await?;
    if let Some(key) = server.admin_key() {
        let (title, path) =
            (output.styled_note(Style::Bold, "The administrator's API key"), server.data_dir().admin_token());
        output.note(format_args!("{title}, shown this once: {}", key.expose()));
        output.note(format_args!("Commands on this machine read it from {}", path.display()));
    }
    // Listened for before anybody knows that we are there.
    let reload = server.reload();
    let hangups = if reload.is_empty() { None } else { Some(Hangups::listen()) };
    let hangups = hangups.transpose().context("signals cannot be listened for")?;
    if let Some(url) = server.url() {
        output.line(format_args!("listening url={url}"));
    }
    let stop = || {
        let signals = Arc::clone(&signals);
        async move { signals.lock().await.next().await }
    };
    tokio::select! {
        () = server.run(stop) => {}
        () = reload_on_hangup(&reload, hangups) => {}
    }
    Ok(Exit::Success)
}

/// Loads certificates anew at each SIGHUP. A gateway that has none ends at one, as it would without listening for it.
async fn reload_on_hangup(reload: &Reload, hangups: Option<Hangups>) {
    let Some(mut hangups) = hangups else { return std::future::pending().await };
    loop {
        hangups.next().await;
        reload.run();
    }
}
