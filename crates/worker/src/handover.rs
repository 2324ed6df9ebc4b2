//! The one place with unsafe code: handing a descriptor to a new process, and taking it over there.
//!
//! Between fork and exec only async-signal-safe calls may be made, which is why the preparation is a handful of plain
//! system calls that neither allocate nor lock.
#![expect(unsafe_code, reason = "a descriptor can only be placed at a given number between fork and exec")]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _};

use tokio::process::Command;

/// Where a worker finds its assignment.
pub(crate) const ASSIGNMENT_FD: i32 = 3;

/// Makes the process that `command` starts the leader of its own session, readable to its user only in what it
/// creates, with `assignment` at [`ASSIGNMENT_FD`] and nothing else inherited beyond its standard streams.
pub(crate) fn detach(command: &mut Command, assignment: BorrowedFd<'_>) {
    let source = assignment.as_raw_fd();
    let prepare = move || {
        // SAFETY: plain system calls on numbers; no memory is touched.
        unsafe {
            check(libc::setsid())?;
            libc::umask(0o077);
            if source == ASSIGNMENT_FD {
                check(libc::fcntl(source, libc::F_SETFD, 0))?;
            } else {
                check(libc::dup2(source, ASSIGNMENT_FD))?;
            }
            // Marked, not closed: the standard library still needs its own descriptor to report that exec failed.
            let first = ASSIGNMENT_FD.unsigned_abs() + 1;
            let marked = libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
            if marked < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: `prepare` makes only async-signal-safe calls and owns only a number.
    unsafe {
        command.pre_exec(prepare);
    }
}

fn check(result: i32) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Takes over the descriptor that a worker was started with; an error if there is none. To be called once, before
/// the process opens anything else.
pub(crate) fn take_assignment() -> io::Result<File> {
    // SAFETY: a plain system call on a number.
    check(unsafe { libc::fcntl(ASSIGNMENT_FD, libc::F_GETFD) })?;
    // SAFETY: the descriptor is open, and nothing else in this process knows of it.
    Ok(unsafe { File::from_raw_fd(ASSIGNMENT_FD) })
}
