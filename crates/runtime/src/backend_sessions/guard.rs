//! What somebody may tell a back end about which items.
//!
//! What is not allowed is refused before it comes to the worker. Among several commands each is judged by itself: one that
//! is not allowed is replaced by its refusal, so that every answer is in its place.

use moorline_backend::contract::{Command, ItemAt, Reading, Status, StatusCategory};
use moorline_core::backend_session::ItemAccess;

use super::SessionError;
use super::shared::Inner;

/// A command as it may be sent, and what of it was left out.
#[derive(Debug)]
pub(super) struct Guarded {
    pub(super) command: Command,
    /// Readings that are not allowed, with their places among all.
    pub(super) unread: Vec<(usize, Reading)>,
}

/// What of a command may be sent.
///
/// # Errors
/// If nothing of it may be.
pub(super) fn guard(access: &ItemAccess, inner: &Inner, command: Command) -> Result<Guarded, SessionError> {
    if access.is_unconstrained() {
        return Ok(Guarded { command, unread: Vec::new() });
    }
    match command {
        Command::Bulk { commands } => {
            let commands = commands.into_iter().map(|command| guard_one(access, inner, command)).collect();
            Ok(Guarded { command: Command::Bulk { commands }, unread: Vec::new() })
        }
        Command::Read { items } => Ok(guard_read(access, items)),
        single @ (Command::Register { .. }
        | Command::Unregister { .. }
        | Command::AddItem { .. }
        | Command::RemoveItem(_)
        | Command::Advise { .. }
        | Command::UnAdvise(_)
        | Command::Suspend(_)
        | Command::Activate(_)
        | Command::Write(_)
        | Command::AuthenticateUser { .. }
        | Command::SetBufferedUpdateInterval { .. }
        | Command::SubscribeAlarms { .. }
        | Command::RefreshAlarms
        | Command::AcknowledgeAlarm { .. }
        | Command::SessionState
        | Command::WorkerInfo
        | Command::Refused { .. }) => match denied(access, inner, &single) {
            Some((what, item)) => Err(SessionError::ItemDenied { what, item }),
            None => Ok(Guarded { command: single, unread: Vec::new() }),
        },
    }
}

fn guard_one(access: &ItemAccess, inner: &Inner, command: Command) -> Command {
    match denied(access, inner, &command) {
        Some((what, item)) => Command::Refused {
            message: SessionError::ItemDenied { what, item }.to_string(),
            status: Status::refused(StatusCategory::SecurityError),
        },
        None => command,
    }
}

fn guard_read(access: &ItemAccess, items: Vec<String>) -> Guarded {
    let (mut allowed, mut unread) = (Vec::new(), Vec::new());
    for (place, item) in items.into_iter().enumerate() {
        if access.may_read(&item) {
            allowed.push(item);
        } else {
            let message = SessionError::ItemDenied { what: "read", item: item.clone() }.to_string();
            let statuses = vec![Status::refused(StatusCategory::SecurityError)];
            unread.push((place, Reading { item, success: false, message, sample: None, statuses }));
        }
    }
    Guarded { command: Command::Read { items: allowed }, unread }
}

/// What of a command is not allowed, if something is not.
fn denied(access: &ItemAccess, inner: &Inner, command: &Command) -> Option<(&'static str, String)> {
    let named = |at: &ItemAt| inner.items.get(&(at.server, at.item)).map(ToString::to_string).unwrap_or_default();
    let read_or_write = |item: &str| access.may_read(item) || access.may_write(item);
    let unless = |allowed: bool, what, item: String| if allowed { None } else { Some((what, item)) };
    match command {
        Command::AddItem { item, context, .. } => {
            let name = if context.is_empty() { item.clone() } else { format!("{context}.{item}") };
            unless(read_or_write(&name), "use", name)
        }
        Command::Advise { at, .. } | Command::Suspend(at) | Command::Activate(at) => {
            let name = named(at);
            unless(read_or_write(&name), "use", name)
        }
        Command::Write(write) => {
            let name = named(&write.at);
            unless(access.may_write(&name), "write", name)
        }
        Command::AcknowledgeAlarm { alarm, .. } => unless(access.may_write(alarm), "acknowledge", alarm.clone()),
        Command::Read { items } => {
            let item = items.iter().find(|item| !access.may_read(item))?;
            Some(("read", item.clone()))
        }
        Command::Register { .. }
        | Command::Unregister { .. }
        | Command::RemoveItem(_)
        | Command::UnAdvise(_)
        | Command::AuthenticateUser { .. }
        | Command::SetBufferedUpdateInterval { .. }
        | Command::SubscribeAlarms { .. }
        | Command::RefreshAlarms
        | Command::SessionState
        | Command::WorkerInfo
        | Command::Bulk { .. }
        | Command::Refused { .. } => None,
    }
}
