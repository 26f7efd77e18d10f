//! `cutrickle trickle-server`: channels for everyone who can reach the port.

use std::io::Write;

use cutrickle::trickle::ServerConfig;

use crate::failure::Failure;
use crate::listen::{Listen, url};
use crate::{progress, signals};

/// Arguments of `cutrickle trickle-server`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Address and port; `:PORT` is all addresses, of IPv4 and IPv6; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:3389")]
    listen: Listen,
    /// The path above the channels.
    #[arg(long, value_name = "PATH", default_value = "/")]
    base: String,
    /// MiB that the segments of all channels may hold together; beyond that the channel that holds the most loses its
    /// oldest segment.
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..))]
    max_memory: u32,
}

/// Runs until a signal ends it. Prints the URL that channel names are appended to.
pub async fn run(args: Args) -> Result<(), Failure> {
    let max_total_bytes = u64::from(args.max_memory) << 20;
    let config = ServerConfig { base: args.base, max_total_bytes, ..ServerConfig::default() };
    let server = args
        .listen
        .bind(config)
        .await
        .map_err(|e| Failure::because(format!("listening on {}", args.listen), e))?;
    // Nobody has to read it.
    let _ = writeln!(std::io::stdout(), "{}", url(&server));
    let line = progress::line("serving");
    server.run(signals::end()).await;
    line.finish_and_clear();
    Ok(())
}
