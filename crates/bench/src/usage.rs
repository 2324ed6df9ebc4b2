//! What processes have used, by the word of the system.

use std::fs;
use std::path::Path;
use std::time::Duration;

/// In what the system counts a process's time: a hundredth of a second on every machine that Linux runs on.
const TICK: Duration = Duration::from_millis(10);

/// What a group of processes has used and holds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// Time on a processor, of all threads, in user and system mode.
    pub(crate) cpu: Duration,
    /// Memory that is resident, in bytes.
    pub(crate) resident: u64,
    /// The most that was resident at once, in bytes: of each process, added up.
    pub(crate) peak: u64,
}

impl Usage {
    /// Of these processes; one that is gone counts as nothing.
    pub(crate) fn of(pids: &[u32]) -> Self {
        pids.iter().filter_map(|pid| Self::of_one(*pid)).fold(Self::default(), |sum, one| Self {
            cpu: sum.cpu + one.cpu,
            resident: sum.resident + one.resident,
            peak: sum.peak + one.peak,
        })
    }

    fn of_one(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name is in parentheses and may hold anything; user and system time are the 12th and 13th behind it.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
        let cpu = TICK * u32::try_from(ticks(11)? + ticks(12)?).ok()?;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        Some(Self { cpu, resident: kilobytes(&status, "VmRSS:"), peak: kilobytes(&status, "VmHWM:") })
    }
}

fn kilobytes(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_ascii_whitespace().next().and_then(|number| number.parse::<u64>().ok()).unwrap_or_default() * 1024
}

/// The worker processes of a gateway, which are those that were told to write below its data directory.
pub(crate) fn workers_of(data_dir: &Path) -> Vec<u32> {
    let wanted = format!("MOORLINE_WORKER_SCRATCH={}/", data_dir.display());
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let is_ours = |pid: &u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable.starts_with(wanted.as_bytes()))
    };
    pids.filter(is_ours).collect()
}
