//! The CPU time and memory of the worker's process, read from `/proc` (Linux only).

use std::time::Duration;

use cutrickle_worker::Failure;

/// Ticks per second of the times in `/proc/PID/stat`. proc(5) calls it USER_HZ; it is 100 on every
/// architecture that this is built for.
const TICKS_PER_SECOND: u64 = 100;

/// A process that is watched.
#[derive(Debug, Clone, Copy)]
pub struct Process(u32);

impl Process {
    /// The process `pid`.
    ///
    /// # Errors
    /// There is no such process, or no `/proc`.
    pub fn new(pid: u32) -> Result<Self, Failure> {
        let process = Self(pid);
        process.cpu().and(process.resident()).map(|_| process).ok_or_else(|| {
            Failure::usage(format!("--pid {pid}: no such process, or no /proc to read about it"))
        })
    }

    /// The CPU time of all its threads so far, user and system.
    pub fn cpu(self) -> Option<Duration> {
        cpu(&std::fs::read_to_string(format!("/proc/{}/stat", self.0)).ok()?)
    }

    /// The memory that is resident now, in bytes.
    pub fn resident(self) -> Option<u64> {
        resident(&std::fs::read_to_string(format!("/proc/{}/status", self.0)).ok()?)
    }
}

/// Reads fields 14 (utime) and 15 (stime) of `/proc/PID/stat`. Field 2, the name, may contain spaces and
/// brackets.
fn cpu(stat: &str) -> Option<Duration> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut times = after_name.split_ascii_whitespace().skip(11).map(str::parse::<u64>);
    let ticks = times.next()?.ok()?.checked_add(times.next()?.ok()?)?;
    Some(Duration::from_millis(ticks.saturating_mul(1000 / TICKS_PER_SECOND)))
}

fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_ascii_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_after_any_name() {
        let stat = "4242 (a) b (c) S 1 4242 4242 0 -1 4194304 900 0 3 0 150 25 0 0 20 0 7 0 88 1000 200";
        assert_eq!(cpu(stat), Some(Duration::from_millis(1750)));
        assert_eq!(cpu("4242 (cut"), None);
    }

    #[test]
    fn resident_memory_is_in_bytes() {
        assert_eq!(resident("Name:\tx\nVmHWM:\t  9000 kB\nVmRSS:\t  2048 kB\n"), Some(2 << 20));
        assert_eq!(resident("Name:\tx\n"), None);
    }
}
