//! The Rust side of the checks.

use crate::{
    shell::{self, Outcome, command},
    tally::Tally,
};

/// Unit tests, the binary under test and the load generator share this build of the tree.
const PROFILE: &str = "test-release";

/// `rustfmt` over the workspace.
pub(crate) fn format() -> Outcome {
    shell::run(&mut command("", "cargo", &["fmt", "--all", "--", "--check"]))
}

/// `clippy` over everything, warnings are errors.
pub(crate) fn clippy() -> Outcome {
    let words = [
        "clippy",
        "--locked",
        "--workspace",
        "--all-targets",
        "--all-features",
        "--",
        "-D",
        "warnings",
    ];
    shell::run(&mut command("", "cargo", &words))
}

/// `rustdoc` over everything, warnings are errors. Private items are documented too, so links to them lead somewhere.
pub(crate) fn document() -> Outcome {
    let words = [
        "doc",
        "--locked",
        "--workspace",
        "--no-deps",
        "--all-features",
        "--document-private-items",
        "--quiet",
    ];
    shell::run(command("", "cargo", &words).env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private_intra_doc_links"))
}

/// The rules of the architecture.
pub(crate) fn tidy(tally: &mut Tally) -> Outcome {
    let words = [
        "test",
        "--locked",
        "--profile",
        PROFILE,
        "--package",
        "testkit",
        "--test",
        "tidy",
    ];
    shell::watch(&mut command("", "cargo", &words), |line| tally.cargo_line(line))
}

/// Every test of the workspace. A test that lacks its tool fails instead of being skipped.
pub(crate) fn tests(tally: &mut Tally, long: bool, require_tools: bool) -> Outcome {
    let words = [
        "test",
        "--locked",
        "--workspace",
        "--profile",
        PROFILE,
        "--all-features",
        "--no-fail-fast",
    ];
    let mut cargo = command("", "cargo", &words);
    if require_tools {
        shell::require_tools(&mut cargo);
    }
    if long {
        cargo.env("HELPLINE_TEST_SIZE", "long");
    }
    shell::watch(&mut cargo, |line| tally.cargo_line(line))
}

/// The binary under test, the load generator and the judge of sounds. The tests are named too: without them the
/// dependencies would be built again with fewer features.
pub(crate) fn binaries() -> Outcome {
    let words = [
        "build",
        "--locked",
        "--workspace",
        "--bins",
        "--tests",
        "--profile",
        PROFILE,
        "--all-features",
    ];
    shell::run(&mut command("", "cargo", &words))
}

/// Where [`binaries`] puts what it builds, relative to the root.
pub(crate) fn binaries_folder() -> String {
    format!("target/{PROFILE}")
}
