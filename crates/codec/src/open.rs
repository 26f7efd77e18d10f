//! Picks a backend for each stage.
