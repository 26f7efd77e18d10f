//! `cutrickle trickle-server`: a trickle server for everyone who can reach its port.

use std::io::Write;

use cutrickle_trickle::ServerConfig;
use cutrickle_worker::{Failure, end_signal};

use crate::listen::{Listen, url};
use crate::progress;

/// The arguments of `cutrickle trickle-server`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Address and port to listen on. `:PORT` listens on all addresses, IPv4 and IPv6; port 0 takes any free
    /// port.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:3389")]
    listen: Listen,
    /// Path to which names of channels are appended.
    #[arg(long, value_name = "PATH", default_value = "/")]
    base: String,
    /// Memory limit for the segments of all channels, in MiB. Beyond that, the channel that uses the most
    /// loses its oldest segment.
    #[arg(
        long,
        value_name = "MIB",
        default_value_t = 1024,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    max_memory: u32,
}

/// Runs until a signal ends it. Prints the URL to which names of channels are appended.
pub async fn run(args: Args) -> Result<(), Failure> {
    let max_total_bytes = u64::from(args.max_memory) << 20;
    let config = ServerConfig { base: args.base, max_total_bytes, ..ServerConfig::default() };
    let server = args
        .listen
        .bind(config)
        .await
        .map_err(|e| Failure::because(format!("listening on {}", args.listen), e))?;
    // It does not matter whether anybody reads it.
    let _ = writeln!(std::io::stdout(), "{}", url(&server));
    let line = progress::line("serving");
    server.run(end_signal()).await;
    line.finish_and_clear();
    Ok(())
}
