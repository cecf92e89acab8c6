//! Rules over the resolved dependency graph.

use crate::{assert_none, root};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
};

/// Licences that may be in the tree; each identifier of an `OR` counts, all of an `AND` must be here.
const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Crates that must never be resolved, and why.
const BANNED: &[(&str, &str)] = &[
    ("aws-lc-rs", "ring is the one provider; two make rustls panic"),
    ("aws-lc-sys", "ring is the one provider; two make rustls panic"),
    ("openssl-sys", "ring is the one provider"),
    ("native-tls", "ring is the one provider"),
    ("audiopus_sys", "an old libopus"),
];

/// Protocol crates of webrtc-rs, and the async stacks that only tests may see.
const MEDIA_ONLY: &[&str] = &[
    "rtc-dtls",
    "rtc-crypto",
    "rtc-sdp",
    "rtc-rtcp",
    "rtc-shared",
    "rtc-srtp",
    "rtc-stun",
    "rtc",
    "webrtc",
];

fn metadata() -> Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked", "--all-features"])
        .current_dir(root())
        .output()
        .expect("cargo runs: it runs this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON")
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Our members: name → names of its dependencies, those of tests and builds left out.
fn members(metadata: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let ours: BTreeSet<&str> = list(metadata, "workspace_members")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    list(metadata, "packages")
        .iter()
        .filter(|package| ours.contains(text(package, "id")))
        .map(|package| {
            let normal = list(package, "dependencies").iter().filter(|d| d["kind"].is_null());
            (
                text(package, "name").to_owned(),
                normal.map(|d| text(d, "name").to_owned()).collect(),
            )
        })
        .collect()
}

/// The table of ARCHITECTURE.md: crate → ours that it may use.
fn table() -> BTreeMap<String, BTreeSet<String>> {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md is there");
    let section = page
        .split("## Who may depend on whom")
        .nth(1)
        .expect("the section is there");
    let mut table = BTreeMap::new();
    for line in section.lines().take_while(|line| !line.starts_with("## ")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        if let [name, uses] = cells[..]
            && !name.starts_with("---")
            && name != "crate"
            && line.starts_with('|')
        {
            let uses = uses
                .split(", ")
                .filter(|used| *used != "–")
                .map(str::to_owned)
                .collect();
            table.insert(name.to_owned(), uses);
        }
    }
    table
}

#[test]
fn no_product_build_has_defects_on_purpose() {
    let metadata = metadata();
    let mut findings = Vec::new();
    let mut in_tests = 0;
    for package in list(&metadata, "packages") {
        let enables = |dependency: &&Value| {
            text(dependency, "name") == "media-core"
                && list(dependency, "features").iter().any(|feature| feature == "faults")
        };
        for dependency in list(package, "dependencies").iter().filter(enables) {
            if text(dependency, "kind") == "dev" {
                in_tests += 1;
            } else {
                findings.push(format!("{} asks for media-core/faults", text(package, "name")));
            }
        }
        // A feature of another crate could turn it on as well, and so could a default of its own.
        for (name, parts) in package["features"].as_object().into_iter().flatten() {
            let mut parts = parts.as_array().into_iter().flatten().filter_map(Value::as_str);
            if parts.any(|part| part == "media-core/faults" || name == "default" && part == "faults") {
                findings.push(format!("{}: feature {name}", text(package, "name")));
            }
        }
    }
    assert_none("Only tests may break the engine on purpose:", &findings);
    assert!(in_tests > 0, "the feature is called otherwise now");
}

#[test]
fn every_crate_uses_only_what_the_architecture_allows() {
    let table = table();
    let members = members(&metadata());
    let mut findings = Vec::new();
    for (name, dependencies) in &members {
        let Some(allowed) = table.get(name) else {
            findings.push(format!("{name} has no row in ARCHITECTURE.md"));
            continue;
        };
        for used in dependencies
            .iter()
            .filter(|d| members.contains_key(*d) && !allowed.contains(*d))
        {
            findings.push(format!("{name} uses {used}"));
        }
    }
    findings.extend(
        table
            .keys()
            .filter(|name| !members.contains_key(*name))
            .map(|name| format!("{name} is no crate")),
    );
    assert_none("The table in ARCHITECTURE.md is broken:", &findings);
}

#[test]
fn the_database_and_the_protocol_crates_stay_in_their_rooms() {
    let mut findings = Vec::new();
    for (name, dependencies) in members(&metadata()) {
        if dependencies.contains("sqlx") && !["desk", "local-postgres"].contains(&name.as_str()) {
            findings.push(format!("{name} uses sqlx"));
        }
        let may_see_media = ["media-core", "stun", "testkit", "loadtest", "benches"].contains(&name.as_str());
        for used in dependencies
            .iter()
            .filter(|d| MEDIA_ONLY.contains(&d.as_str()) && !may_see_media)
        {
            findings.push(format!("{name} uses {used}"));
        }
        let pure = ["call-model", "stun", "media-core", "recording", "wire", "ports"].contains(&name.as_str());
        for used in dependencies
            .iter()
            .filter(|d| ["tokio", "rand", "getrandom", "axum"].contains(&d.as_str()) && pure)
        {
            findings.push(format!("{name} uses {used}"));
        }
        if name == "call-model" && dependencies.contains("serde") {
            findings.push("call-model uses serde".to_owned());
        }
    }
    assert_none("A crate sees what it must never see:", &findings);
}

#[test]
fn no_banned_crate_and_one_tungstenite_in_the_graph() {
    let metadata = metadata();
    let mut findings = Vec::new();
    let mut tungstenite = BTreeSet::new();
    for package in list(&metadata, "packages") {
        let name = text(package, "name");
        if let Some((_, why)) = BANNED.iter().find(|(banned, _)| *banned == name) {
            findings.push(format!("{name}: {why}"));
        }
        if name == "tungstenite" {
            tungstenite.insert(text(package, "version").to_owned());
        }
        let source = text(package, "source");
        if !source.is_empty() && !source.starts_with("registry+") {
            findings.push(format!("{name} does not come from the registry"));
        }
    }
    if tungstenite.len() > 1 {
        findings.push(format!("tungstenite in {} versions", tungstenite.len()));
    }
    assert_none("The resolved graph holds what it must not:", &findings);
}

#[test]
fn every_licence_is_one_we_accept() {
    let findings: Vec<String> = list(&metadata(), "packages")
        .iter()
        .filter(|package| !acceptable(text(package, "license")))
        .map(|package| {
            format!(
                "{} {}: {:?}",
                text(package, "name"),
                text(package, "version"),
                text(package, "license")
            )
        })
        .collect();
    assert_none("A licence is not on the list:", &findings);
}

/// True when an expression of SPDX can be met from [`LICENCES`].
fn acceptable(expression: &str) -> bool {
    let flat = expression.replace(['(', ')'], " ").replace('/', " OR ");
    let one = |name: &str| LICENCES.contains(&name.trim());
    let all_of = |part: &str| part.split(" AND ").all(one);
    // `A AND (B OR C)` flattens wrongly only towards refusing, never towards accepting a licence that is not listed.
    flat.split(" OR ").any(all_of) || flat.split(" AND ").all(|part| part.split(" OR ").any(one))
}

#[test]
fn licence_expressions_are_read_as_spdx_means_them() {
    assert!(acceptable("MIT OR Apache-2.0"));
    assert!(acceptable("MIT/Apache-2.0"));
    assert!(acceptable("(MIT OR GPL-3.0) AND Unicode-3.0"));
    assert!(!acceptable("GPL-3.0"));
    assert!(!acceptable("MIT AND GPL-3.0"));
    assert!(!acceptable(""));
}
