//! Criterion benches and the kernel floor.
