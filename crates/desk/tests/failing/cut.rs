//! A way to PostgreSQL that can swallow the answer to a commit: the server has committed, and nobody hears of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

/// `COMMIT` as a simple query.
///
/// Source: PostgreSQL, "Message Formats", Query.
const COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";
/// What PostgreSQL calls its socket.
const SOCKET: &str = ".s.PGSQL.5432";
/// Bytes that are carried at once.
const CARRIED: usize = 16_384;

/// Numbers the ways of this process.
static NEXT: AtomicU32 = AtomicU32::new(1);

/// See the top of this file.
pub(crate) struct Way {
    /// The connection string through it.
    pub url: String,
    swallow: Arc<AtomicBool>,
    folder: PathBuf,
    listening: JoinHandle<()>,
}

impl Way {
    /// A way to the server of `url`.
    pub(crate) fn to(url: &str) -> Self {
        let (front, host) = url.split_once("?host=").expect("the tests' server is at a socket");
        let server = PathBuf::from(host.replace("%2F", "/").replace("%2f", "/")).join(SOCKET);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("hl-cut-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let listener = UnixListener::bind(folder.join(SOCKET)).unwrap();
        let swallow = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&swallow);
        let listening = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = UnixStream::connect(&server).await.unwrap();
                tokio::spawn(carry(client, server, Arc::clone(&asked)));
            }
        });
        Way {
            url: format!("{front}?host={}", folder.display().to_string().replace('/', "%2F")),
            swallow,
            folder,
            listening,
        }
    }

    /// The next commit is carried out and its answer swallowed, with the connection.
    pub(crate) fn swallow(&self) {
        self.swallow.store(true, Ordering::SeqCst);
    }

    /// Whether that has happened.
    pub(crate) fn has_swallowed(&self) -> bool {
        !self.swallow.load(Ordering::SeqCst)
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.listening.abort();
        // What stays in the temporary folder costs disk, not a test.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

async fn carry(mut client: UnixStream, mut server: UnixStream, asked: Arc<AtomicBool>) {
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let (mut question, mut answer) = (vec![0; CARRIED], vec![0; CARRIED]);
    let mut swallows = false;
    loop {
        tokio::select! {
            n = from_client.read(&mut question) => {
                let Ok(n @ 1..) = n else { return };
                if question[..n].ends_with(COMMIT) && asked.swap(false, Ordering::SeqCst) {
                    swallows = true;
                }
                if to_server.write_all(&question[..n]).await.is_err() {
                    return;
                }
            }
            n = from_server.read(&mut answer) => {
                let Ok(n @ 1..) = n else { return };
                // The server answers a commit when it is one.
                if swallows || to_client.write_all(&answer[..n]).await.is_err() {
                    return;
                }
            }
        }
    }
}
