//! Criterion benches and load clients.
