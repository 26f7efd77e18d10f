//! `cutrickle doctor`: shows what this machine has, which decoders and encoders a stream will use on it, and
//! why.

use std::fmt::Write;

use cutrickle_codec::probe::{DeviceFindings, Machine, machine};
use cutrickle_worker::Failure;
use serde::Serialize;

use crate::backends;
use crate::output::print;

/// The arguments of `cutrickle doctor`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print the findings as one JSON object.
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Findings {
    #[serde(flatten)]
    machine: Machine,
    /// The backends of this build, in the order in which they are tried.
    backends: Vec<backends::Entry>,
}

/// Looks at the machine, and prints what was found.
pub fn run(args: &Args) -> Result<(), Failure> {
    let machine = machine();
    if args.json {
        let found = Findings { machine, backends: backends::entries() };
        let json =
            serde_json::to_string_pretty(&found).map_err(|e| Failure::because("the findings as JSON", e))?;
        print(json + "\n")
    } else {
        print(backends::table() + &describe(&machine))
    }
}

fn describe(found: &Machine) -> String {
    let mut text = String::new();
    for device in &found.devices {
        describe_device(&mut text, device);
    }
    if let Some(why) = &found.no_gpu {
        let _ = writeln!(text, "no GPU: {why}");
    }
    let (decode, encode, place) = match found.devices.first() {
        Some(first) => (&first.video_decode, &first.video_encode, first.device.as_str()),
        None => (&found.host_decoder, &found.host_encoder, "cpu"),
    };
    let _ = writeln!(text, "--device auto is {place}: {decode} decodes, {encode} encodes");
    text
}

fn describe_device(text: &mut String, device: &DeviceFindings) {
    let DeviceFindings { name, compute_capability, memory_mb, .. } = device;
    let _ =
        writeln!(text, "{}: {name}, compute capability {compute_capability}, {memory_mb} MiB", device.device);
    let decodes: Vec<String> = device
        .decodes
        .iter()
        .map(|kind| format!("{} {} bit to {}x{}", kind.codec, kind.bits, kind.max_size.0, kind.max_size.1))
        .collect();
    let line = |what: &[String], why: &Option<String>| match why {
        Some(why) => format!("nothing: {why}"),
        None if what.is_empty() => "nothing".to_owned(),
        None => what.join(", "),
    };
    let _ = writeln!(text, "  decodes {}", line(&decodes, &device.no_decoder));
    let _ = writeln!(text, "  encodes {}", line(&device.encodes, &device.no_encoder));
}
