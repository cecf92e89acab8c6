//! The chance of property tests: a seed that is printed, and that `HELPLINE_SEED` plays again.
//!
//! Nothing is kept in files: a seed repeats a failure, and what it found becomes a test of its own with its own name.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

use proptest::test_runner::{Config, RngSeed};

/// The seed of this run: `HELPLINE_SEED`, or a new one. Printed, so that a failing test shows it.
///
/// # Panics
/// If `HELPLINE_SEED` is no number.
#[must_use]
pub fn seed() -> u64 {
    let seed = match std::env::var("HELPLINE_SEED") {
        Ok(text) => text.parse().expect("HELPLINE_SEED is a number"),
        // Each of the standard library's hashers begins with keys that the system has drawn.
        Err(_) => RandomState::new().build_hasher().finish(),
    };
    println!("HELPLINE_SEED={seed}");
    seed
}

/// `cases` inputs per property, drawn by [`seed`].
#[must_use]
pub fn properties(cases: u32) -> Config {
    Config {
        cases,
        rng_seed: RngSeed::Fixed(seed()),
        failure_persistence: None,
        ..Config::default()
    }
}

/// As many inputs as most properties have: 256.
#[must_use]
pub fn usual() -> Config {
    properties(256)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    #[test]
    fn a_seed_draws_the_same_inputs_again() {
        let draw = |config: &Config| {
            let mut runner = TestRunner::new(config.clone());
            let mut next = || any::<u64>().new_tree(&mut runner).expect("a number").current();
            [next(), next()]
        };
        let (one, other) = (usual(), properties(3));
        assert_eq!(draw(&one), draw(&one));
        // Two runs are two seeds, unless somebody has chosen one.
        let chosen = std::env::var("HELPLINE_SEED").is_ok();
        assert_eq!(draw(&one) == draw(&other), chosen);
    }
}
