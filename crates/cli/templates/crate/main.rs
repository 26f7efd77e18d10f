//! The worker: the processor of `processor.rs` behind the REST API.

mod processor;

use std::io::IsTerminal;

use cutrickle::DeviceChoice;
use cutrickle::prelude::*;
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> Result<()> {
    let log = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(log)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        .init();
    let port = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "8000".into())
        .parse()?;
    // The first GPU, else the CPU.
    let opened = DeviceChoice::default().open()?;
    StreamServer::builder(processor::processor())
        .devices(opened.devices)
        .with_options(|options| options.device_fallback = opened.fallback)
        .capability_name(env!("CARGO_PKG_NAME"))
        .port(port)
        .build()?
        .run_forever()
        .await?;
    Ok(())
}
