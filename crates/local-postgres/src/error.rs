//! What can go wrong around a private cluster, in words for the person who starts it.

use std::path::PathBuf;

/// Why the private cluster is not there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No `initdb`, `pg_ctl` and `postgres` were found.
    #[error(
        "PostgreSQL is not installed: no initdb, pg_ctl and postgres in /usr/lib/postgresql/*/bin or PATH. \
         Install the package `postgresql` (15 or newer), or set DATABASE_URL to a server of your own"
    )]
    BinariesMissing,
    /// We are root and there is nobody to become.
    #[error(
        "PostgreSQL refuses to run as root and there is no account `postgres` to use instead: \
         install the package `postgresql`, or start Helpline as another user"
    )]
    NoAccount,
    /// The account that runs the server cannot reach its own folder.
    #[error(
        "the account `postgres` cannot pass through {0}: choose a data folder below a folder that everybody may \
         enter (mode 0711 or 0755), or start Helpline as another user than root"
    )]
    NotTraversable(PathBuf),
    /// Another live process holds the folder.
    #[error("the folder {0} is used by another running Helpline")]
    InUse(PathBuf),
    /// A PostgreSQL program failed.
    #[error("{program} failed: {output}")]
    Program {
        /// Name of the program.
        program: &'static str,
        /// The last lines it wrote.
        output: String,
    },
    /// A file or folder could not be made, read or given away.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The server runs but refused what a first run needs.
    #[error("the private database refused its first set-up: {0}")]
    Sql(#[from] sqlx::Error),
    /// A helper task was cancelled because the runtime is shutting down.
    #[error("interrupted by shutdown")]
    Interrupted,
}

impl Error {
    /// Ties an I/O error to the path it is about.
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.into();
        move |source| Error::Io { path, source }
    }
}
