//! One cluster folder: made once, started, stopped, and taken over after a crash.
//!
//! Layout below [`Config::folder`]: `cluster/` (PGDATA), `run/` (socket), `passwords` (0600), `server.log`, `lock`.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};

use crate::account::Account;
use crate::binaries::Binaries;
use crate::process::{self, Watchdog};
use crate::server::{Server, Stop};
use crate::{APP_ROLE, DATABASE, Error, OWNER_ROLE};

/// Longest path of a Unix socket in bytes: `sun_path` has 108, the last one is the terminating zero.
pub(crate) const SOCKET_PATH_BYTES_MAX: usize = 107;

/// Name of the socket file PostgreSQL makes for its default port.
const SOCKET_FILE: &str = ".s.PGSQL.5432";

/// The server's data and the passwords, below the folder.
pub(crate) const DATA_FOLDER: &str = "cluster";
pub(crate) const PASSWORDS_FILE: &str = "passwords";

/// Seconds `pg_ctl` waits for a start: crash recovery after a power cut replays up to `max_wal_size` (1 GB).
const START_SECONDS_MAX: u32 = 120;

/// Attempts to start while the backends of a killed server still hold its shared memory; they notice within
/// a second that their parent is gone.
const START_ATTEMPTS_MAX: u32 = 20;

/// Pause between two such attempts.
const START_RETRY: Duration = Duration::from_millis(250);

/// Random bytes of a generated password.
const PASSWORD_BYTES: usize = 24;

/// How much the server does to survive a power cut, and whom it lets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// fsync on, passwords (SCRAM): for data that somebody wants back.
    Kept,
    /// fsync off, everybody of this account trusted: for tests.
    Scratch,
}

/// Where the cluster lives and how careful it is.
#[derive(Clone, Debug)]
pub struct Config {
    /// Folder that belongs to the cluster alone; made when missing.
    pub folder: PathBuf,
    /// See [`Durability`].
    pub durability: Durability,
}

/// A running private server. Dropping it stops the server.
pub struct Cluster {
    parts: Parts,
    passwords: Passwords,
    socket: PathBuf,
    watchdog: Option<Watchdog>,
    /// Held for as long as we live; the kernel releases it whatever way we end.
    _lock: Lock,
}

/// What every step needs.
#[derive(Clone)]
struct Parts {
    binaries: Binaries,
    account: Account,
    folder: PathBuf,
    durability: Durability,
}

/// The generated passwords of the three roles that may log in.
#[derive(Clone)]
pub(crate) struct Passwords {
    superuser: String,
    pub(crate) owner: String,
    pub(crate) app: String,
}

impl Cluster {
    /// Makes the cluster when it is missing, ends what a crash left running, starts the server, and makes sure that
    /// roles and database are there.
    ///
    /// # Errors
    /// See [`Error`]; a second live process on the same folder is [`Error::InUse`].
    pub async fn start(config: Config) -> Result<Self, Error> {
        let cluster = tokio::task::spawn_blocking(move || Self::start_server(config))
            .await
            .map_err(|_| Error::Interrupted)??;
        cluster.ensure_roles_and_database().await?;
        Ok(cluster)
    }

    /// Connection string of the role that owns the schema, for migrations.
    pub fn owner_url(&self) -> String {
        self.url(OWNER_ROLE, &self.passwords.owner, DATABASE)
    }

    /// Connection string of the role the program runs under.
    pub fn app_url(&self) -> String {
        self.url(APP_ROLE, &self.passwords.app, DATABASE)
    }

    /// Stops the server with a fast shutdown and waits for its end. Dropping does the same.
    pub async fn stop(self) {
        // The blocking wait belongs on a blocking thread; a cancelled runtime drops it there too.
        let _ = tokio::task::spawn_blocking(move || drop(self)).await;
    }

    /// Stops and starts the server under the same address, for tests and drills of an absent database.
    pub async fn restart_after<F: Future<Output = ()>>(&mut self, while_away: F) -> Result<(), Error> {
        let parts = self.parts.clone();
        tokio::task::spawn_blocking(move || parts.server().stop(Stop::Fast))
            .await
            .map_err(|_| Error::Interrupted)??;
        while_away.await;
        let parts = self.parts.clone();
        let pid = tokio::task::spawn_blocking(move || parts.start())
            .await
            .map_err(|_| Error::Interrupted)??;
        if self.parts.durability == Durability::Kept {
            // The old watchdog knows only the old process and does nothing when it is let go.
            let new = Watchdog::of_server(self.parts.account, &self.parts.data(), pid)?;
            if let Some(old) = self.watchdog.replace(new) {
                old.release();
            }
        }
        Ok(())
    }

    /// Connection string of the superuser, for set-up and for tests that must see everything.
    pub(crate) fn superuser_url(&self, database: &str) -> String {
        self.url("postgres", &self.passwords.superuser, database)
    }

    /// Connection string of any role of a scratch cluster.
    pub(crate) fn url(&self, role: &str, password: &str, database: &str) -> String {
        url(role, password, database, &self.socket)
    }

    fn start_server(config: Config) -> Result<Self, Error> {
        let binaries = Binaries::find()?;
        let account = Account::choose()?;
        let folder = &config.folder;
        fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let folder = fs::canonicalize(folder).map_err(Error::io(folder))?;
        account.check_traversable(&folder)?;
        let lock = take_lock(&folder)?;
        let parts = Parts {
            binaries,
            account,
            folder,
            durability: config.durability,
        };
        let passwords = parts.ensure_passwords()?;
        // A test's watchdog is there before the first file, so that nothing is ever left behind.
        let early = match config.durability {
            Durability::Scratch => {
                account.own(&parts.folder)?;
                Some(Watchdog::of_test(
                    &parts.binaries,
                    account,
                    &parts.data(),
                    &parts.folder,
                )?)
            }
            Durability::Kept => None,
        };
        parts.ensure_initialised(&passwords)?;
        parts.stop_orphan()?;
        let socket = parts.socket_folder()?;
        parts.write_settings(&socket)?;
        let pid = parts.start()?;
        let watchdog = match early {
            Some(watchdog) => watchdog,
            None => Watchdog::of_server(account, &parts.data(), pid)?,
        };
        Ok(Cluster {
            parts,
            passwords,
            socket,
            watchdog: Some(watchdog),
            _lock: lock,
        })
    }

    /// Roles of the private cluster with the passwords of the file, and the database; safe to repeat.
    async fn ensure_roles_and_database(&self) -> Result<(), Error> {
        let options: PgConnectOptions = self.superuser_url("postgres").parse()?;
        let mut conn = options.disable_statement_logging().connect().await?;
        for (role, attributes, password) in [
            (OWNER_ROLE, "login createrole", &self.passwords.owner),
            (APP_ROLE, "login noinherit nobypassrls", &self.passwords.app),
        ] {
            ensure_role(&mut conn, role, attributes, password).await?;
        }
        let exists: bool = sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
            .bind(DATABASE)
            .fetch_one(&mut conn)
            .await?;
        if !exists {
            // Names are constants of this crate.
            conn.execute(AssertSqlSafe(format!("create database {DATABASE} owner {OWNER_ROLE}")))
                .await?;
        }
        conn.close().await?;
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let how = match self.parts.durability {
            Durability::Kept => Stop::Fast,
            Durability::Scratch => Stop::Immediate,
        };
        if let Err(error) = self.parts.server().stop(how) {
            tracing::warn!(%error, "the private database did not stop in time");
        }
        if let Some(watchdog) = self.watchdog.take() {
            watchdog.release();
        }
        if !self.socket.starts_with(&self.parts.folder) {
            // The substitute folder of a path that was too long; another start makes a new one.
            let _ = fs::remove_dir_all(&self.socket);
        }
    }
}

impl Parts {
    fn data(&self) -> PathBuf {
        self.folder.join(DATA_FOLDER)
    }

    fn server(&self) -> Server {
        Server {
            binaries: self.binaries.clone(),
            account: self.account,
            data: self.data(),
        }
    }

    fn log(&self) -> PathBuf {
        self.folder.join("server.log")
    }

    fn is_initialised(&self) -> bool {
        self.data().join("PG_VERSION").exists()
    }

    /// The passwords of the file, which is made with mode 0600 on the first run.
    fn ensure_passwords(&self) -> Result<Passwords, Error> {
        let path = self.folder.join(PASSWORDS_FILE);
        match fs::read_to_string(&path) {
            Ok(text) => {
                let broken = || std::io::Error::other("not the password file of this cluster");
                return Passwords::parse(&text).ok_or_else(broken).map_err(Error::io(&path));
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !self.is_initialised() => {}
            Err(error) => return Err(Error::io(&path)(error)),
        }
        let passwords = Passwords {
            superuser: random_hex()?,
            owner: random_hex()?,
            app: random_hex()?,
        };
        let new = self.folder.join("passwords.new");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)
            .map_err(Error::io(&new))?;
        file.write_all(passwords.text().as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(Error::io(&new))?;
        fs::rename(&new, &path).map_err(Error::io(&path))?;
        Ok(passwords)
    }

    /// `initdb` into a folder of another name first, so that a crash in the middle leaves nothing half made.
    fn ensure_initialised(&self, passwords: &Passwords) -> Result<(), Error> {
        let data = self.data();
        if self.is_initialised() {
            return Ok(());
        }
        let new = self.folder.join("cluster.new");
        if new.exists() {
            fs::remove_dir_all(&new).map_err(Error::io(&new))?;
        }
        self.account.own_folder(&new)?;
        let pwfile = self.folder.join("superuser.tmp");
        write_secret(&pwfile, &passwords.superuser)?;
        self.account.own(&pwfile)?;
        let mut initdb = process::command(&self.binaries, self.account, "initdb");
        initdb
            .args(["-U", "postgres", "-E", "UTF8", "--locale=C", "-D"])
            .arg(&new);
        match self.durability {
            Durability::Kept => initdb.args(["-A", "scram-sha-256", "--pwfile"]).arg(&pwfile),
            Durability::Scratch => initdb.args(["-A", "trust", "--no-sync"]),
        };
        let made = process::run("initdb", &mut initdb);
        fs::remove_file(&pwfile).map_err(Error::io(&pwfile))?;
        made?;
        let conf = new.join("postgresql.conf");
        OpenOptions::new()
            .append(true)
            .open(&conf)
            .and_then(|mut file| file.write_all(b"\ninclude_if_exists 'helpline.conf'\n"))
            .map_err(Error::io(&conf))?;
        fs::rename(&new, &data).map_err(Error::io(&data))
    }

    /// Where the socket goes: beside the cluster, or in a short folder when that path would be too long.
    fn socket_folder(&self) -> Result<PathBuf, Error> {
        let beside = self.folder.join("run");
        let folder = if is_usable_for_socket(&beside) {
            beside
        } else {
            std::env::temp_dir().join(format!("hl-{}", &random_hex()?[..16]))
        };
        self.account.own_folder(&folder)?;
        // A killed server's socket lock names a process that may still be a zombie, which PostgreSQL takes for alive.
        for stale in [SOCKET_FILE.to_owned(), format!("{SOCKET_FILE}.lock")] {
            let _ = fs::remove_file(folder.join(stale));
        }
        Ok(folder)
    }

    /// Settings of this start. No TCP; no DETAIL lines in the log, for they quote the customer's data.
    fn write_settings(&self, socket: &Path) -> Result<(), Error> {
        let path = self.data().join("helpline.conf");
        let careful = match self.durability {
            Durability::Kept => "",
            Durability::Scratch => "fsync = off\nsynchronous_commit = off\nfull_page_writes = off\n",
        };
        let text = format!(
            "listen_addresses = ''\nport = 5432\nunix_socket_directories = '{}'\nunix_socket_permissions = 0700\n\
             max_connections = 200\nlog_error_verbosity = terse\ntimezone = 'UTC'\n{careful}",
            socket.display()
        );
        fs::write(&path, text).map_err(Error::io(&path))?;
        self.account.own(&path)
    }

    /// Ends a server that outlived its parent. Our lock proves that nobody else wants it.
    fn stop_orphan(&self) -> Result<(), Error> {
        let server = self.server();
        if server.live().is_some() {
            tracing::info!("ending the database server that a crash left running");
            server.stop(Stop::Fast)?;
        }
        // What is left names a dead process, a zombie, or somebody else by now, and PostgreSQL refuses to start beside the
        // last two. Whether children of the dead one still hold its memory it finds out without the file.
        let path = server.pid_file();
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io(&path)(error)),
            _ => Ok(()),
        }
    }

    /// Starts the server and returns its process id.
    fn start(&self) -> Result<u32, Error> {
        let log = self.log();
        OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&log)
            .map_err(Error::io(&log))?;
        self.account.own(&log)?;
        let mut attempt = 0;
        loop {
            attempt += 1;
            let mut pg_ctl = process::command(&self.binaries, self.account, "pg_ctl");
            pg_ctl
                .args(["start", "-w", "-s", "-t", &START_SECONDS_MAX.to_string(), "-l"])
                .arg(&log);
            pg_ctl.arg("-D").arg(self.data());
            match process::run("pg_ctl", &mut pg_ctl) {
                Ok(()) => break,
                Err(_) if attempt < START_ATTEMPTS_MAX && self.is_memory_still_held() => pause(START_RETRY),
                Err(_) => {
                    return Err(Error::Program {
                        program: "postgres",
                        output: self.log_tail(),
                    });
                }
            }
        }
        self.server().pid().ok_or_else(|| Error::Program {
            program: "postgres",
            output: self.log_tail(),
        })
    }

    /// Whether the last start failed because a killed server's children have not gone yet.
    fn is_memory_still_held(&self) -> bool {
        self.log_tail()
            .lines()
            .rev()
            .take(3)
            .any(|line| line.contains("shared memory block"))
    }

    fn log_tail(&self) -> String {
        let mut bytes = Vec::new();
        // An unreadable log only makes the message poorer.
        let _ = File::open(self.log()).and_then(|mut file| file.read_to_end(&mut bytes));
        process::tail(&bytes)
    }
}

impl Passwords {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let mut next = |key: &str| lines.next()?.strip_prefix(key)?.strip_prefix('=').map(str::to_owned);
        Some(Passwords {
            superuser: next("postgres")?,
            owner: next(OWNER_ROLE)?,
            app: next(APP_ROLE)?,
        })
    }

    fn text(&self) -> String {
        format!(
            "postgres={}\n{OWNER_ROLE}={}\n{APP_ROLE}={}\n",
            self.superuser, self.owner, self.app
        )
    }
}

/// Connection string through the socket in `folder`.
pub(crate) fn url(role: &str, password: &str, database: &str, folder: &Path) -> String {
    let host = percent_encoded(folder);
    format!("postgres://{role}:{password}@localhost/{database}?host={host}")
}

/// Blocks this (blocking) thread between two attempts.
pub(crate) fn pause(length: Duration) {
    std::thread::park_timeout(length);
}

/// A folder that is this process's until this is dropped.
///
/// It is given back in so many words: a child that another thread is just starting has a copy of the descriptor until it
/// runs its own program, and closing ours alone would leave the folder taken that long.
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // What fails here is given back with the last descriptor.
        let _ = self.0.unlock();
    }
}

/// Takes the folder for this process.
fn take_lock(folder: &Path) -> Result<Lock, Error> {
    let path = folder.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(Error::io(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(Lock(file)),
        Err(fs::TryLockError::WouldBlock) => Err(Error::InUse(folder.to_owned())),
        Err(fs::TryLockError::Error(source)) => Err(Error::Io { path, source }),
    }
}

/// Creates or updates one login role.
async fn ensure_role(conn: &mut PgConnection, role: &str, attributes: &str, password: &str) -> Result<(), Error> {
    let exists: bool = sqlx::query_scalar("select exists (select from pg_roles where rolname = $1)")
        .bind(role)
        .fetch_one(&mut *conn)
        .await?;
    let verb = if exists { "alter" } else { "create" };
    // Names and attributes are constants, the password is hexadecimal: nothing to quote.
    conn.execute(AssertSqlSafe(format!(
        "{verb} role {role} {attributes} password '{password}'"
    )))
    .await?;
    Ok(())
}

/// A new file with mode 0600 and one line.
fn write_secret(path: &Path, secret: &str) -> Result<(), Error> {
    let _ = fs::remove_file(path);
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| writeln!(file, "{secret}"))
        .map_err(Error::io(path))
}

/// A secret of [`PASSWORD_BYTES`] random bytes in hexadecimal digits.
fn random_hex() -> Result<String, Error> {
    let mut bytes = [0u8; PASSWORD_BYTES];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(Error::io("/dev/urandom"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Whether a socket below `folder` fits the kernel's limit and needs no quoting in the settings.
fn is_usable_for_socket(folder: &Path) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@".contains(c);
    folder.join(SOCKET_FILE).as_os_str().len() <= SOCKET_PATH_BYTES_MAX
        && folder.to_str().is_some_and(|text| text.chars().all(plain))
}

/// The path as a query value of a URL; [`is_usable_for_socket`] left only characters that survive as they are,
/// and the substitute folder has no others unless the temporary folder is odd.
fn percent_encoded(path: &Path) -> String {
    path.as_os_str()
        .as_encoded_bytes()
        .iter()
        .map(|&b| match b {
            b'/' | b'.' | b'_' | b'-' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => char::from(b).to_string(),
            _ => format!("%{b:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_free_once_it_is_given_back_though_a_child_still_has_the_descriptor() {
        let folder = std::env::temp_dir().join(format!("hl-lock-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let lock = take_lock(&folder).unwrap();
        let of_a_child = lock.0.try_clone().unwrap();
        assert!(matches!(take_lock(&folder), Err(Error::InUse(_))));
        drop(lock);
        assert!(take_lock(&folder).is_ok());
        drop(of_a_child);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_socket_folder_is_taken_up_to_the_kernels_limit_and_not_beyond() {
        let longest = SOCKET_PATH_BYTES_MAX - SOCKET_FILE.len() - 1;
        let folder = |len: usize| PathBuf::from(format!("/{}", "a".repeat(len - 1)));
        assert!(is_usable_for_socket(&folder(longest)));
        assert!(!is_usable_for_socket(&folder(longest + 1)));
        assert!(!is_usable_for_socket(Path::new("/tmp/it's")));
    }

    #[test]
    fn the_password_file_reads_back() {
        let passwords = Passwords {
            superuser: "a1".into(),
            owner: "b2".into(),
            app: "c3".into(),
        };
        let read = Passwords::parse(&passwords.text()).unwrap();
        assert_eq!(
            (read.superuser, read.owner, read.app),
            ("a1".into(), "b2".into(), "c3".into())
        );
        assert!(Passwords::parse("postgres=x\n").is_none());
    }
}
