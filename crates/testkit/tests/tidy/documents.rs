//! Rules over the documents, and over what nothing in the repository may say.

use crate::{assert_none, root};
use std::{fs, path::Path, process::Command};

/// Every text that git tracks: path, content.
pub(crate) fn tracked() -> Vec<(String, String)> {
    let output = Command::new("git")
        .args(["ls-files", "-z"])
        .current_dir(root())
        .output()
        .expect("git lists its files");
    String::from_utf8_lossy(&output.stdout)
        .split('\0')
        .filter(|path| !path.is_empty())
        .filter_map(|path| Some((path.to_owned(), fs::read_to_string(root().join(path)).ok()?)))
        .collect()
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut findings = Vec::new();
    for (path, text) in tracked() {
        if !path.ends_with(".md") {
            continue;
        }
        let folder = root().join(Path::new(&path).parent().unwrap_or(Path::new("")));
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or_default();
            let outside = file.is_empty() || file.contains("://") || file.starts_with("mailto:");
            if !outside && !folder.join(file).exists() {
                findings.push(format!("{path}: {target}"));
            }
        }
    }
    assert_none("A link is dead:", &findings);
}

#[test]
fn nothing_names_a_machine_or_a_registry() {
    // Assembled, so that this file does not find itself.
    let words = [
        ["/ro", "ot/"].concat(),
        ["/wo", "rk/"].concat(),
        ["registry.np", "mjs"].concat(),
        ["static.cra", "tes.io"].concat(),
        ["deb.deb", "ian.org"].concat(),
        ["files.python", "hosted.org"].concat(),
    ];
    let mut findings = Vec::new();
    for (path, text) in tracked() {
        findings.extend(
            words
                .iter()
                .filter(|word| text.contains(*word))
                .map(|word| format!("{path}: {word}")),
        );
    }
    assert_none("A file names somebody's machine or a registry's host:", &findings);
}

#[test]
fn the_documents_that_a_reader_expects_are_there() {
    let expected = [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "SECURITY.md",
        "LICENSE-MIT",
        "LICENSE-APACHE",
    ];
    let findings: Vec<String> = expected
        .iter()
        .filter(|name| !root().join(name).exists())
        .map(|name| (*name).to_owned())
        .collect();
    assert_none("A document is missing:", &findings);
}
