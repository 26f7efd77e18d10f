//! The resources that a process on this machine has used, as `/proc` on Linux reports them.

use std::fs;
use std::io;

/// The value of `sysconf(_SC_CLK_TCK)`, which is 100 on every common Linux system.
const TICKS_PER_SECOND: f64 = 100.0;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usage {
    /// User and system time, in seconds.
    pub cpu_s: f64,
    /// The current resident memory, in MB.
    pub rss_mb: f64,
    /// The largest amount of resident memory so far, in MB.
    pub peak_mb: f64,
}

/// Reads the figures of a process.
///
/// # Errors
/// Returns an error if there is no such process, or no `/proc`.
pub fn usage(pid: u32) -> io::Result<Usage> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    parse(&stat, &status).ok_or_else(|| io::Error::other(format!("/proc/{pid} makes no sense")))
}

/// Parses the contents of `stat` (fields 14 and 15, see proc_pid_stat(5)) and `status` (see
/// proc_pid_status(5)).
fn parse(stat: &str, status: &str) -> Option<Usage> {
    // The second field is the name, which may contain any characters.
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut times = after_name.split_whitespace().skip(11).map(str::parse::<f64>);
    let ticks = times.next()?.ok()? + times.next()?.ok()?;
    let megabytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<f64>().ok().map(|kib| kib * 1024.0 / 1e6)
    };
    Some(Usage {
        cpu_s: ticks / TICKS_PER_SECOND,
        rss_mb: megabytes("VmRSS:")?,
        peak_mb: megabytes("VmHWM:")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_brackets_confuses_nothing() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 3 0 1 1 1 1";
        let status = "Name:\tx\nVmHWM:\t    2000 kB\nVmRSS:\t    1000 kB\n";
        assert_eq!(parse(stat, status), Some(Usage { cpu_s: 2.0, rss_mb: 1.024, peak_mb: 2.048 }));
        assert_eq!(parse("7 (a", status), None);
    }
}
