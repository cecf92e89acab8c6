//! The web side: install its packages, check, test and build it.

use crate::{
    setup,
    shell::{self, Outcome, command},
};
use std::{
    collections::hash_map::DefaultHasher,
    env,
    ffi::OsString,
    fs,
    hash::{Hash, Hasher},
    path::Path,
    process::Command,
};

/// `npm` with arguments, run in `web/` with a Node.js that is new enough.
pub(crate) fn npm(arguments: &[&str]) -> Outcome<Command> {
    let node = setup::node()?;
    let mut npm = command("web", "npm", arguments);
    if let Some(bin) = node {
        let mut path = OsString::from(bin);
        path.push(":");
        path.push(env::var_os("PATH").unwrap_or_default());
        npm.env("PATH", path);
    }
    Ok(npm)
}

/// Installs the locked packages, when the lock changed since the last time.
pub(crate) fn packages() -> Outcome {
    let web = shell::root().join("web");
    let lock = fs::read(web.join("package-lock.json")).map_err(|e| format!("web/package-lock.json: {e}"))?;
    let stamp = web.join("node_modules/.helpline-lock");
    if fs::read_to_string(&stamp).is_ok_and(|seen| seen == digest(&[&lock])) {
        return Ok(());
    }
    shell::run(&mut npm(&["ci", "--no-audit", "--no-fund"])?)?;
    fs::write(&stamp, digest(&[&lock])).map_err(|e| format!("{}: {e}", stamp.display()))
}

/// Builds the pages into `web/dist`, when a source changed since the last time.
pub(crate) fn build() -> Outcome {
    let stamp = shell::root().join("target/.web-built");
    let now = sources()?;
    let built = shell::root().join("web/dist/index.html").exists();
    if built && fs::read_to_string(&stamp).is_ok_and(|seen| seen == now) {
        return Ok(());
    }
    packages()?;
    shell::run(&mut npm(&["run", "build"])?)?;
    let _ = fs::create_dir_all(shell::root().join("target"));
    fs::write(&stamp, now).map_err(|e| format!("{}: {e}", stamp.display()))
}

/// A digest of everything that goes into the pages.
fn sources() -> Outcome<String> {
    let mut files = Vec::new();
    collect(&shell::root().join("web"), &mut files)?;
    files.sort();
    let contents: Vec<Vec<u8>> = files
        .iter()
        .map(|path| {
            let mut bytes = path.clone().into_bytes();
            bytes.extend(fs::read(path).unwrap_or_default());
            bytes
        })
        .collect();
    Ok(digest(&contents.iter().map(Vec::as_slice).collect::<Vec<_>>()))
}

fn collect(folder: &Path, files: &mut Vec<String>) -> Outcome {
    for entry in fs::read_dir(folder)
        .map_err(|e| format!("{}: {e}", folder.display()))?
        .flatten()
    {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() {
            if !["node_modules", "dist", "e2e"].iter().any(|skipped| name == *skipped) {
                collect(&path, files)?;
            }
        } else {
            files.push(path.to_string_lossy().into_owned());
        }
    }
    Ok(())
}

/// Not cryptographic: it only notices change.
fn digest(parts: &[&[u8]]) -> String {
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}
