//! `cutrickle doctor`: what this machine has, which way a picture will take on it, and why.

use std::fmt::Write;

use cutrickle_codec::probe::{DeviceFindings, Machine, machine};

use crate::failure::Failure;
use crate::output::print;

/// Arguments of `cutrickle doctor`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print the findings as JSON.
    #[arg(long)]
    json: bool,
}

/// Looks and prints.
pub fn run(args: &Args) -> Result<(), Failure> {
    let found = machine();
    if args.json {
        let json =
            serde_json::to_string_pretty(&found).map_err(|e| Failure::because("the findings as JSON", e))?;
        print(json + "\n")
    } else {
        print(describe(&found))
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
        Some(first) => (first.video_decode, first.video_encode, first.device.as_str()),
        None => (found.host_decoder, found.host_encoder, "cpu"),
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
