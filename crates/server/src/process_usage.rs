//! How much of its machine this process uses, as Linux tells it. On other systems nothing is known.

/// Memory, time and threads of this process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ProcessUsage {
    /// Memory that is in RAM, in bytes.
    pub(crate) resident: u64,
    /// Time that all processors spent on it, in seconds.
    pub(crate) cpu_seconds: f64,
    /// Its threads.
    pub(crate) threads: u64,
}

/// The unit in which Linux tells programs of time, whatever its own clock is.
const TICKS_A_SECOND: f64 = 100.0;

impl ProcessUsage {
    /// As of now. `None` where the system does not say.
    pub(crate) fn now() -> Option<Self> {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/self/{file}")).ok();
        Self::parse(&read("stat")?, &read("status")?)
    }

    fn parse(stat: &str, status: &str) -> Option<Self> {
        // The program's name comes before this, and may have blanks and brackets in it.
        let (_, fields) = stat.rsplit_once(')')?;
        let mut fields = fields.split_ascii_whitespace();
        // The 14th and 15th field; two have been skipped.
        let user: f64 = fields.nth(11)?.parse().ok()?;
        let system: f64 = fields.next()?.parse().ok()?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            line.split_ascii_whitespace().next()?.parse::<u64>().ok()
        };
        Some(Self {
            resident: field("VmRSS")?.saturating_mul(1024),
            cpu_seconds: (user + system) / TICKS_A_SECOND,
            threads: field("Threads")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_own_files_are_read() {
        let stat =
            "4711 (a (name) b) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 12 0 1000 99 7 18446744073709551615";
        let status = "Name:\ta (name) b\nVmRSS:\t    2048 kB\nThreads:\t12\n";
        let usage = ProcessUsage { resident: 2 << 20, cpu_seconds: 3.0, threads: 12 };
        assert_eq!(ProcessUsage::parse(stat, status), Some(usage));
        for (stat, status) in [("", ""), ("4711 (x", status), ("1 (x) S 1", status), (stat, "VmRSS: many kB")]
        {
            assert_eq!(ProcessUsage::parse(stat, status), None);
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_takes_something() {
        let usage = ProcessUsage::now().unwrap();
        assert!(usage.resident > 1 << 20 && usage.threads > 0, "{usage:?}");
    }
}
