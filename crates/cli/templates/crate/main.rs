//! The worker: serves the processor of `processor.rs` behind the REST API. `--help` lists the options.

mod processor;

fn main() -> cutrickle::Result<()> {
    cutrickle::run(processor::processor())
}
