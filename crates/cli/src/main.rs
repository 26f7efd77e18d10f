//! The command `cutrickle`.
fn main() {}
