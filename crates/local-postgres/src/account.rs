//! Who runs the server: ourselves, or the account `postgres` when we are root.
//!
//! `initdb` and `postgres` refuse root. `CommandExt::uid` drops all supplementary groups when the caller is root, so
//! no unsafe call is needed here.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::Error;

/// The account of the server processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Account {
    /// The user who runs this process.
    Own,
    /// Another user, only when this process is root.
    Other { uid: u32, gid: u32 },
}

impl Account {
    /// Our own account, or `postgres` when we are root.
    pub(crate) fn choose() -> Result<Self, Error> {
        let own = fs::metadata("/proc/self").map_err(Error::io("/proc/self"))?.uid();
        if own != 0 {
            return Ok(Account::Own);
        }
        let passwd = fs::read_to_string("/etc/passwd").map_err(Error::io("/etc/passwd"))?;
        ids_of(&passwd, "postgres").map_or(Err(Error::NoAccount), |(uid, gid)| Ok(Account::Other { uid, gid }))
    }

    /// Makes `command` run under this account.
    pub(crate) fn apply(self, command: &mut Command) {
        if let Account::Other { uid, gid } = self {
            command.gid(gid).uid(uid);
        }
    }

    /// Creates `folder` with mode 0700 for this account; an existing one is given to it.
    pub(crate) fn own_folder(self, folder: &Path) -> Result<(), Error> {
        fs::create_dir_all(folder).map_err(Error::io(folder))?;
        self.own(folder)?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).map_err(Error::io(folder))
    }

    /// Gives one file or folder to this account.
    pub(crate) fn own(self, path: &Path) -> Result<(), Error> {
        match self {
            Account::Own => Ok(()),
            Account::Other { uid, gid } => chown(path, Some(uid), Some(gid)).map_err(Error::io(path)),
        }
    }

    /// Checks that this account may enter `folder` and everything above it.
    pub(crate) fn check_traversable(self, folder: &Path) -> Result<(), Error> {
        let Account::Other { uid, gid } = self else {
            return Ok(());
        };
        for part in folder.ancestors().filter(|p| !p.as_os_str().is_empty()) {
            let meta = fs::metadata(part).map_err(Error::io(part))?;
            let bit = if meta.uid() == uid {
                0o100
            } else if meta.gid() == gid {
                0o010
            } else {
                0o001
            };
            if meta.mode() & bit == 0 {
                return Err(Error::NotTraversable(part.to_owned()));
            }
        }
        Ok(())
    }
}

/// User and group id of `name` in the text of a passwd file.
fn ids_of(passwd: &str, name: &str) -> Option<(u32, u32)> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let found = fields.next() == Some(name);
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        found.then_some((uid, gid))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ids_come_from_the_line_of_that_name() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\nbroken\npostgres:x:101:104::/var/lib/postgresql:/bin/bash\n";
        assert_eq!(ids_of(passwd, "postgres"), Some((101, 104)));
        assert_eq!(ids_of(passwd, "postgre"), None);
    }
}
