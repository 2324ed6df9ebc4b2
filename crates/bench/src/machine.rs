//! Where it was measured.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

/// The machine, and what is installed on it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) memory_mib: u64,
    pub(crate) kernel: String,
    /// The file system of the data directories.
    pub(crate) disk: String,
    pub(crate) moorline: String,
    pub(crate) commit: String,
    pub(crate) rustc: String,
    pub(crate) nats: Option<String>,
    pub(crate) python: Option<String>,
}

impl Machine {
    /// This one.
    pub(crate) fn look(moorline: &Path, scratch: &Path, python: Option<&Path>) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let sdk = "import sys, importlib.metadata as m; \
                   print('Python', sys.version.split()[0], 'with agentruntimecontrolprotocol', m.version('agentruntimecontrolprotocol'))";
        Self {
            processor: field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown".to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mib: field(&read("/proc/meminfo"), "MemTotal")
                .and_then(|size| size.split(' ').next()?.parse::<u64>().ok())
                .unwrap_or_default()
                / 1024,
            kernel: format!("Linux {}", read("/proc/sys/kernel/osrelease").trim()),
            disk: disk(&read("/proc/mounts"), scratch),
            moorline: said(moorline.as_os_str().to_str(), &["--version"]).unwrap_or_default(),
            commit: said(Some("git"), &["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "unknown".to_owned()),
            rustc: said(Some("rustc"), &["--version"]).unwrap_or_else(|| "unknown".to_owned()),
            nats: said(Some("nats-server"), &["--version"]),
            python: python.and_then(|python| said(python.to_str(), &["-c", sdk])),
        }
    }
}

fn field(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The file system that is mounted closest above the path.
fn disk(mounts: &str, path: &Path) -> String {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let mounted = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        let (_, on, kind) = (fields.next()?, fields.next()?, fields.next()?);
        path.starts_with(on).then_some((on.len(), kind))
    });
    mounted.max_by_key(|(length, _)| *length).map_or("unknown", |(_, kind)| kind).to_owned()
}

/// The first line that a program prints.
fn said(program: Option<&str>, args: &[&str]) -> Option<String> {
    let output = Command::new(program?).args(args).output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.lines().next()?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_mount_is_the_disk() {
        let mounts = "/dev/a / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n";
        assert_eq!(disk(mounts, Path::new("/tmp")), "tmpfs");
        assert_eq!(disk(mounts, Path::new("/usr")), "ext4");
        assert_eq!(field("MemTotal:  1024 kB\n", "MemTotal").as_deref(), Some("1024 kB"));
    }
}
