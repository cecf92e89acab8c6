//! The reference implementations of PESQ and STOI, in a Python environment of their own below `target/`.

use crate::shell::{self, Outcome, command};
use std::fs;

/// Where it is, relative to the root; the speech test looks there.
const HOME: &str = "target/speech";
/// What is in it. PESQ is compiled on the spot; it comes under the ITU's terms and serves tests only.
const PACKAGES: [&str; 4] = ["numpy==2.2.6", "scipy==1.15.3", "pesq==0.0.4", "pystoi==0.4.1"];

/// Makes it, when it is missing or other than it should be.
pub(crate) fn prepare() -> Outcome {
    environment(HOME, &PACKAGES)
}

/// A Python environment at `home` with exactly these packages.
pub(crate) fn environment(home: &str, packages: &[&str]) -> Outcome {
    let place = shell::root().join(home);
    let (stamp, wanted) = (place.join(".packages"), packages.join("\n"));
    if fs::read_to_string(&stamp).is_ok_and(|made| made == wanted) {
        return Ok(());
    }
    shell::run(&mut command("", "python3", &["-m", "venv", "--clear", home]))?;
    let mut words = vec!["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    words.extend(packages);
    shell::run(&mut command("", place.join("bin/python"), &words))?;
    fs::write(&stamp, wanted).map_err(|e| format!("{}: {e}", stamp.display()))
}
