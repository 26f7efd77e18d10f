//! The backends of this build as text: `--help` ends with them, and `cutrickle doctor` shows them.

use std::fmt::Write;

use cutrickle_codec::{Backends, RunsOn};
use serde::Serialize;

/// A backend, as `cutrickle doctor --json` shows it.
#[derive(Debug, Serialize)]
pub struct Entry {
    role: &'static str,
    name: String,
    codecs: String,
    runs_on: &'static str,
}

/// The backends of this build, in the order in which they are tried.
pub fn entries() -> Vec<Entry> {
    let rows = Backends::builtin().rows().into_iter();
    rows.map(|row| Entry {
        role: row.role.name(),
        name: row.name,
        codecs: row.codecs,
        runs_on: match row.runs_on {
            RunsOn::Cpu => "CPU",
            RunsOn::Cuda => "GPU",
        },
    })
    .collect()
}

/// The same as a table, one line per backend.
pub fn table() -> String {
    let mut table = String::from("Backends of this build, in the order in which they are tried:\n");
    for Entry { role, name, codecs, runs_on } in entries() {
        let _ = writeln!(table, "  {role:<14}{name:<26}{codecs:<14}{runs_on}");
    }
    table
}
