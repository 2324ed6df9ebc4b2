//! A list of jobs, page by page.

use moorline_wire::payload::{Jobs, ListJobs};

use crate::client::Client;
use crate::error::CallError;

/// The pages of a list of jobs, in order. Made by [`Client::job_pages`].
#[derive(Debug)]
pub struct JobPages {
    client: Client,
    /// What is asked for next; `None` after the last page.
    next: Option<ListJobs>,
}

impl JobPages {
    pub(crate) const fn new(client: Client, first: ListJobs) -> Self {
        Self { client, next: Some(first) }
    }

    /// The next page; `None` after the last. A page may be empty although another one follows. After an error the same
    /// page is asked for again.
    ///
    /// # Errors
    /// See [`Client::list_jobs`].
    pub async fn next(&mut self) -> Option<Result<Jobs, CallError>> {
        let request = self.next.clone()?;
        let page = self.client.list_jobs(request.clone()).await;
        if let Ok(page) = &page {
            self.next = page.next_cursor.as_deref().and_then(|cursor| after(request, cursor));
        }
        Some(page)
    }
}

/// What asks for the page that begins at the cursor.
fn after(request: ListJobs, cursor: &str) -> Option<ListJobs> {
    match cursor.parse() {
        // A runtime that names the same page again would be asked for ever.
        Ok(cursor) if request.cursor.as_ref() == Some(&cursor) => {
            tracing::warn!("the runtime's list of jobs goes round in a circle; it is left");
            None
        }
        Ok(cursor) => Some(ListJobs { cursor: Some(cursor), ..request }),
        Err(error) => {
            tracing::warn!(%error, "the runtime's list of jobs cannot be continued");
            None
        }
    }
}
