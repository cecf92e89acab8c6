//! Finds the installed PostgreSQL programs; never downloads or installs anything.

use std::path::{Path, PathBuf};
use std::{env, fs};

use crate::Error;

/// Oldest major version that works: `security_invoker` views came with 15.
pub(crate) const MAJOR_VERSION_MIN: u32 = 15;

/// Where Debian and its relatives keep one folder per major version.
const DEBIAN_FOLDER: &str = "/usr/lib/postgresql";

/// The folder that holds `initdb`, `pg_ctl` and `postgres` of one version.
#[derive(Clone, Debug)]
pub(crate) struct Binaries(PathBuf);

impl Binaries {
    /// The newest version below Debian's folder, else the first complete folder of `PATH`.
    pub(crate) fn find() -> Result<Self, Error> {
        newest_below(Path::new(DEBIAN_FOLDER))
            .or_else(|| env::split_paths(&env::var_os("PATH")?).find(|folder| is_complete(folder)))
            .map(Binaries)
            .ok_or(Error::BinariesMissing)
    }

    /// Path of one program.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

/// `<root>/<highest major version>/bin`, complete ones of a version we can use only.
fn newest_below(root: &Path) -> Option<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir(root)
        .ok()?
        .flatten()
        .filter_map(|entry| {
            let version: u32 = entry.file_name().to_str()?.parse().ok()?;
            let folder = entry.path().join("bin");
            (version >= MAJOR_VERSION_MIN && is_complete(&folder)).then_some((version, folder))
        })
        .collect();
    versions.sort();
    versions.pop().map(|(_, folder)| folder)
}

/// Whether all three programs are in `folder`.
fn is_complete(folder: &Path) -> bool {
    ["initdb", "pg_ctl", "postgres"]
        .iter()
        .all(|name| folder.join(name).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_complete_version_wins_and_old_ones_are_left_alone() {
        let root = env::temp_dir().join(format!("hl-binaries-{}", std::process::id()));
        for (version, programs) in [
            ("14", &["initdb", "pg_ctl", "postgres"][..]),
            ("15", &["initdb", "pg_ctl", "postgres"][..]),
            ("16", &["initdb", "pg_ctl", "postgres"][..]),
            ("17", &["initdb"][..]),
        ] {
            let folder = root.join(version).join("bin");
            fs::create_dir_all(&folder).unwrap();
            for program in programs {
                fs::write(folder.join(program), "").unwrap();
            }
        }
        assert_eq!(newest_below(&root), Some(root.join("16/bin")));
        fs::remove_dir_all(root.join("16")).unwrap();
        fs::remove_dir_all(root.join("15")).unwrap();
        assert_eq!(
            newest_below(&root),
            None,
            "14 lacks security_invoker, 17 is not complete"
        );
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn a_missing_installation_names_the_package() {
        assert!(Error::BinariesMissing.to_string().contains("package `postgresql`"));
    }
}
