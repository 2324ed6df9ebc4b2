//! `moorline jobs`: what was submitted, and how it stands.

use anyhow::{Context as _, Result};
use moorline_client::wire::payload::{JobEntry, JobFilter, ListJobs};
use moorline_client::wire::vendor::Whose;
use moorline_client::wire::{JobStatus, Word as _};
use moorline_types::limits::MAX_LIST_JOBS;
use serde_json::json;

use crate::args::{Connection, Jobs};
use crate::connect::connect;
use crate::exit::{Exit, Stop};
use crate::output::{Output, Style, printable};
use crate::table;

pub(crate) async fn run(args: Jobs, connection: &Connection, output: &Output) -> Result<Exit> {
    let filter = filter(&args).context(Stop(Exit::Usage))?;
    let client = connect(connection).await?;
    let wanted = if args.all { usize::MAX } else { args.limit };
    let request = ListJobs { filter: Some(filter), limit: Some(wanted.min(MAX_LIST_JOBS) as u64), cursor: None };
    let mut pages = client.job_pages(request);
    let (mut shown, mut more) = (0, false);
    while let Some(page) = pages.next().await {
        let page = page?;
        let jobs = page.jobs.get(..wanted - shown).unwrap_or(&page.jobs);
        more = jobs.len() < page.jobs.len() || page.next_cursor.is_some();
        if args.json {
            jobs.iter().for_each(|job| output.line(json!(job)));
        } else if !jobs.is_empty() {
            show(jobs, args.observable, shown == 0, output);
        }
        shown += jobs.len();
        if shown == wanted || output.is_over() {
            break;
        }
    }
    if !args.json && shown == 0 {
        output.note("no jobs");
    } else if !args.json && more && !output.is_over() {
        output.note("there are more; --all shows them");
    }
    drop(pages);
    client.close(None).await;
    Ok(Exit::Success)
}

fn filter(args: &Jobs) -> Result<JobFilter> {
    let status = args.status.iter().filter_map(|word| JobStatus::read(word)).collect();
    let agent = args.agent.as_deref().map(|agent| agent.parse().with_context(|| format!("{agent:?} names no agent")));
    let moment = |flag: &str, text: &Option<String>| {
        text.as_deref().map(|text| text.parse().with_context(|| format!("{flag} {text:?}"))).transpose()
    };
    Ok(JobFilter {
        whose: args.observable.then_some(Whose::Observable),
        status,
        agent: agent.transpose()?,
        created_after: moment("--after", &args.after)?,
        created_before: moment("--before", &args.before)?,
    })
}

/// A page as a table.
fn show(jobs: &[JobEntry], with_owner: bool, with_header: bool, output: &Output) {
    let owner = with_owner.then_some("owner");
    let header: Vec<_> = ["status", "job", "agent", "created (UTC)", "parent"].into_iter().chain(owner).collect();
    let mut table = table::table(&header, &[]);
    for job in jobs {
        let created = job.accepted_at().map(|at| at.to_string()).unwrap_or_default();
        let cells = [
            job.status.to_string(),
            job.job_id.to_string(),
            job.agent.clone(),
            created.get(..19).unwrap_or(&created).replace('T', " "),
            job.parent_job_id.as_ref().map(ToString::to_string).unwrap_or_default(),
        ];
        table.add_row(cells.into_iter().chain(with_owner.then(|| job.owner.clone().unwrap_or_default())));
    }
    let mut text = String::new();
    table::add(&mut text, &table, output);
    let mut lines = text.lines();
    if let (Some(header), true) = (lines.next(), with_header) {
        output.line(header);
    }
    for (line, job) in lines.zip(jobs) {
        // The column is the first, so it is the status that is painted and no agent of that name.
        let status = printable(job.status.as_str()).into_owned();
        output.line(printable(line).replacen(&status, &painted(job, &status, output), 1));
    }
}

fn painted(job: &JobEntry, status: &str, output: &Output) -> String {
    let style = match job.status.known() {
        Some(JobStatus::Running) => Style::Cyan,
        Some(JobStatus::Success) => Style::Green,
        Some(JobStatus::Error | JobStatus::TimedOut) => Style::Red,
        Some(JobStatus::Cancelled) => Style::Yellow,
        Some(JobStatus::Pending) | None => Style::Dim,
    };
    output.styled(style, status)
}
