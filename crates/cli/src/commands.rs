//! The subcommands, one file each.

pub mod demo;
pub mod doctor;
pub mod list;
pub mod new;
pub mod probe;
pub mod process;
pub mod publish;
pub mod record;
pub mod serve;
pub mod trickle_server;
