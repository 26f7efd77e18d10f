//! `cutrickle serve`: a worker with built-in processors behind the REST API.

use std::path::PathBuf;

use cutrickle::compose::with_overlay;
use cutrickle_worker::{Failure, WorkerArgs};

use crate::processors::{Name, Precision, chain};

/// The arguments of `cutrickle serve`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Processors to run, in order, comma-separated: `tint,mirror`.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Name::Passthrough])]
    processor: Vec<Name>,
    /// File of weights (safetensors) for `depth` or `segment`. May be repeated: one file for each of them, in
    /// their order.
    #[arg(long, value_name = "PATH")]
    weights: Vec<PathBuf>,
    /// Data type that neural networks compute in.
    #[arg(long, value_enum, default_value_t)]
    dtype: Precision,
    #[command(flatten)]
    worker: WorkerArgs,
}

/// Runs until a signal ends it.
pub async fn run(args: Args) -> Result<(), Failure> {
    let processor = chain(&args.processor, args.dtype, &args.weights)?;
    cutrickle_worker::serve(with_overlay(processor), args.worker, |server| server).await
}
