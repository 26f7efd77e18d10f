//! The trickle server on its own, so that it can be measured. It prints its URL and serves until it is
//! interrupted.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::thread::available_parallelism;

use clap::Parser;
use cutrickle_trickle::{Server, ServerConfig};
use tokio::runtime::Builder;

/// Serves trickle channels until it is interrupted.
#[derive(Debug, Parser)]
struct Args {
    /// The address and port to listen on; port 0 picks a free one.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The number of threads. By default half of the cores are used, so that the others are left for the
    /// clients.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
}

fn main() -> io::Result<()> {
    let args = Args::parse();
    let half = || available_parallelism().map_or(1, |cores| cores.get().div_ceil(2));
    // With a single thread, tasks do not have to move between threads.
    let mut runtime = match args.threads.map_or_else(half, usize::from) {
        1 => Builder::new_current_thread(),
        threads => {
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(threads);
            builder
        }
    };
    runtime.enable_all().build()?.block_on(serve(args.listen))
}

async fn serve(listen: SocketAddr) -> io::Result<()> {
    let server = Server::bind(listen, ServerConfig::default()).await?;
    writeln!(io::stdout(), "{}", server.url())?;
    server
        .run(async {
            let _ = tokio::signal::ctrl_c().await;
        })
        .await;
    Ok(())
}
