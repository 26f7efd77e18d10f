//! Criterion benchmarks and load clients.
