//! The private server that another process runs: how a command reaches it while `helpline serve` holds the folder.
//!
//! Starts and stops nothing.

use std::fs;
use std::path::{Path, PathBuf};

use crate::cluster::{DATA_FOLDER, PASSWORDS_FILE, Passwords, url};
use crate::server::PID_FILE;
use crate::{APP_ROLE, DATABASE, Error, OWNER_ROLE};

/// Line of `postmaster.pid` with the folder of the socket, from 0: PostgreSQL writes pid, data folder, start time,
/// port, socket folder, listen address.
const SOCKET_LINE: usize = 4;

/// A server that somebody else runs.
pub struct Running {
    passwords: Passwords,
    socket: PathBuf,
}

impl Running {
    /// Finds the server of `folder` (see [`crate::Config::folder`]).
    ///
    /// # Errors
    /// [`Error::Io`] when the files are not there or belong to another account.
    pub fn find(folder: &Path) -> Result<Running, Error> {
        let read = |path: PathBuf| fs::read_to_string(&path).map_err(Error::io(&path));
        let broken = |path: &Path| Error::io(path)(std::io::Error::other("not a file of this cluster"));
        let passwords = folder.join(PASSWORDS_FILE);
        let pid = folder.join(DATA_FOLDER).join(PID_FILE);
        let socket = read(pid.clone())?.lines().nth(SOCKET_LINE).map(PathBuf::from);
        Ok(Running {
            passwords: Passwords::parse(&read(passwords.clone())?).ok_or_else(|| broken(&passwords))?,
            socket: socket.ok_or_else(|| broken(&pid))?,
        })
    }

    /// Connection string of the role that owns the schema.
    #[must_use]
    pub fn owner_url(&self) -> String {
        url(OWNER_ROLE, &self.passwords.owner, DATABASE, &self.socket)
    }

    /// Connection string of the role the program runs under.
    #[must_use]
    pub fn app_url(&self) -> String {
        url(APP_ROLE, &self.passwords.app, DATABASE, &self.socket)
    }
}
