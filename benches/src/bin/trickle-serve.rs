//! The trickle server by itself, for measuring it: prints its URL and serves until it is interrupted.

use std::io::{self, Write};
use std::net::SocketAddr;

use clap::Parser;
use cutrickle_trickle::{Server, ServerConfig};

/// Serves trickle channels, and nothing else, until it is interrupted.
#[derive(Debug, Parser)]
struct Args {
    /// Address and port; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let server = Server::bind(Args::parse().listen, ServerConfig::default()).await?;
    writeln!(io::stdout(), "{}", server.url())?;
    server
        .run(async {
            let _ = tokio::signal::ctrl_c().await;
        })
        .await;
    Ok(())
}
