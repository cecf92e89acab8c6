//! A WebRTC stack that is not ours, in a Python environment of its own below `target/`, for the test that joins with it.

use crate::{shell::Outcome, speech};

/// Where it is, relative to the root; the test looks there.
const HOME: &str = "target/foreign";
/// What is in it.
const PACKAGES: [&str; 1] = ["aiortc==1.16.0"];

/// Makes it, when it is missing or other than it should be.
pub(crate) fn prepare() -> Outcome {
    speech::environment(HOME, &PACKAGES)
}
