//! The rules of ARCHITECTURE.md and CONTRIBUTING.md, as tests over `cargo metadata` and the sources.
//!
//! A convention without a check is a wish. Exceptions stand in these files by name, with a reason, and only get fewer.

mod commands;
mod documents;
mod graph;
mod sources;

use std::path::{Path, PathBuf};

/// The repository's root.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .expect("the crate lies two folders below the root")
}

/// Fails with every finding at once.
fn assert_none(rule: &str, findings: &[String]) {
    assert!(findings.is_empty(), "{rule}\n  {}", findings.join("\n  "));
}
