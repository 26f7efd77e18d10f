//! `cutrickle probe`.

use crate::failure::Failure;

/// Arguments of `cutrickle probe`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs.
pub async fn run(_args: Args) -> Result<(), Failure> {
    Err(Failure::usage("not built yet"))
}
