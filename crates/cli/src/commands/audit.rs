//! `moorline audit`: who did what, and what was refused.

use std::time::Duration;

use anyhow::{Context as _, Result};
use moorline_client::wire::vendor::{AuditQuery, AuditRecord};
use moorline_server::config::parse_duration;
use serde_json::json;

use crate::args::{Audit, Connection};
use crate::connect::connect;
use crate::exit::{Exit, Stop};
use crate::output::{Output, Style, printable};

/// How often it is looked for more when following.
const FOLLOW_INTERVAL: Duration = Duration::from_secs(1);

pub(crate) async fn run(args: Audit, connection: &Connection, output: &Output) -> Result<Exit> {
    let mut query = query(&args).context(Stop(Exit::Usage))?;
    let client = connect(connection).await?;
    let mut shown: u64 = 0;
    loop {
        let page = client.audit(query.clone()).await?;
        for entry in &page.entries {
            shown += 1;
            if args.json {
                output.line(json!(entry));
            } else {
                output.line(line(entry, output));
            }
        }
        query.cursor = page.next_cursor.or(query.cursor);
        if output.is_over() || !(page.more || args.follow) {
            break;
        }
        if !page.more {
            tokio::time::sleep(FOLLOW_INTERVAL).await;
        }
    }
    if !args.json && shown == 0 {
        output.note("no entries");
    }
    client.close(None).await;
    Ok(Exit::Success)
}

fn query(args: &Audit) -> Result<AuditQuery> {
    // An age or a time.
    let age = args.since.as_deref().and_then(parse_duration);
    let since = args.since.as_deref().filter(|_| age.is_none());
    let since = since.map(|text| text.parse().with_context(|| format!("--since {text:?}"))).transpose()?;
    let text = |flag: &str, text: &Option<String>| {
        text.as_deref().map(|text| text.parse().with_context(|| format!("--{flag} {text:?}"))).transpose()
    };
    Ok(AuditQuery {
        since,
        max_age_ms: age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
        principal: text("principal", &args.principal)?,
        action: text("action", &args.action)?,
        job: text("job", &args.job)?,
        decision: text("decision", &args.decision)?,
        limit: None,
        cursor: None,
    })
}

/// An entry for a person.
fn line(entry: &AuditRecord, output: &Output) -> String {
    let at = entry.at.get(..19).unwrap_or(&entry.at).replace('T', " ");
    let style = if entry.decision == "refused" { Style::Red } else { Style::Green };
    let decision = output.styled(style, printable(&entry.decision));
    let mut text = format!("{at} {decision} {}", printable(&entry.action));
    let details = [
        ("", &entry.object),
        ("of ", &entry.owner),
        ("by ", &entry.who),
        ("with ", &entry.credential),
        ("from ", &entry.from),
        ("in ", &entry.session),
        ("trace ", &entry.trace_id),
        ("× ", &entry.count.map(|count| count.to_string())),
    ];
    for (word, detail) in details {
        if let Some(detail) = detail {
            text.push_str(&format!(" {word}{}", printable(detail)));
        }
    }
    let had = if entry.decision == "refused" { "without scope" } else { "scope" };
    let scope = entry.scope.as_ref().map(|scope| format!("{had} {scope}"));
    let ground: Vec<_> = entry.relation.iter().chain(&scope).map(|word| printable(word)).collect();
    if !ground.is_empty() {
        text.push_str(&format!(" ({})", ground.join(", ")));
    }
    if let Some(reason) = &entry.reason {
        text.push_str(&format!(": {}", printable(reason)));
    }
    text
}
