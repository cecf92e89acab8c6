//! What is printed: version, the demo's welcome, the addresses for programs.

use std::fs::{OpenOptions, remove_file};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::json;

use desk::DemoAccount;

/// Everything that listens.
#[derive(Clone, Debug)]
pub(crate) struct Listening {
    /// Pages and API.
    pub(crate) http: SocketAddr,
    /// The guide's signalling port.
    pub(crate) compat: Option<SocketAddr>,
    /// Prometheus.
    pub(crate) metrics: SocketAddr,
    /// STUN and TURN.
    pub(crate) stun: Vec<SocketAddr>,
    /// Media shards.
    pub(crate) media: Vec<SocketAddr>,
    /// As browsers see it.
    pub(crate) url: String,
    /// As clients are told.
    pub(crate) ws_url: String,
}

/// What only the demo has.
#[derive(Debug)]
pub(crate) struct Demo {
    /// People with this start's passwords.
    pub(crate) accounts: Vec<DemoAccount>,
    /// The key for tests and the load generator.
    pub(crate) service_key: String,
}

/// `helpline version`.
pub(crate) fn version(as_json: bool) {
    let (version, schema) = (env!("CARGO_PKG_VERSION"), desk::migrations::newest());
    if as_json {
        println!(
            "{}",
            json!({ "name": "helpline", "version": version, "schema": schema })
        );
    } else {
        println!("helpline {version}, schema {schema:04}");
    }
}

/// One JSON object for programs.
pub(crate) fn addresses(listening: &Listening, demo: Option<&Demo>) -> String {
    let mut object = json!({
        "url": listening.url,
        "signalingUrl": listening.ws_url,
        "http": listening.http,
        "compat": listening.compat,
        "metrics": listening.metrics,
        "stun": listening.stun,
        "media": listening.media,
        "pid": std::process::id(),
    });
    if let Some(demo) = demo {
        let account = |account: &DemoAccount| json!({ "email": account.email, "password": account.password, "role": account.role });
        object["accounts"] = demo.accounts.iter().map(account).collect();
        object["serviceKey"] = json!(demo.service_key);
    }
    object.to_string()
}

/// The demo's addresses and keys in its data folder for programs that come later; gone with it.
#[derive(Debug)]
pub(crate) struct Left(PathBuf);

impl Left {
    /// Writes `demo.json`, for this account alone.
    pub(crate) fn behind(data: &Path, line: &str) -> io::Result<Left> {
        let path = data.join("demo.json");
        // A file of an earlier start may be readable by more.
        match remove_file(&path) {
            Err(fault) if fault.kind() != io::ErrorKind::NotFound => return Err(fault),
            Ok(()) | Err(_) => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        writeln!(file, "{line}")?;
        Ok(Left(path))
    }
}

impl Drop for Left {
    fn drop(&mut self) {
        // The keys in it are void with this process; a file that stays is replaced by the next one.
        let _ = remove_file(&self.0);
    }
}

/// The welcome of `serve --demo`.
pub(crate) fn welcome(listening: &Listening, demo: &Demo) -> String {
    let url = &listening.url;
    let mut text = format!(
        "\nHelpline is ready.\n\n  Customer   {url}/demo\n  Agent      {url}/agent\n  QA         {url}/qa\n  Metrics    \
         http://{}/metrics\n\nSign in as\n",
        listening.metrics
    );
    for account in &demo.accounts {
        text.push_str(&format!("  {:<20} {}\n", account.email, account.password));
    }
    text.push_str(
        "\nOpen the agent's page first, go online, then call from the customer's page in a second window.\nBrowsers give \
         a page the microphone over http only on localhost. Ctrl-C ends it.\n",
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demos_file_is_its_accounts_own_and_ends_with_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = std::env::temp_dir().join(format!("helpline-told-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("demo.json");
        std::fs::write(&path, "of an earlier start").expect("written");
        let left = Left::behind(&folder, "{}").expect("written");
        assert_eq!(std::fs::read_to_string(&path).expect("there"), "{}\n");
        let mode = std::fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(left);
        assert!(!path.exists());
        std::fs::remove_dir_all(&folder).expect("removed");
    }

    #[test]
    fn secrets_are_printed_in_the_demo_only() {
        let any: SocketAddr = "127.0.0.1:1".parse().expect("an address");
        let listening = Listening {
            http: any,
            compat: None,
            metrics: any,
            stun: vec![],
            media: vec![any],
            url: "http://localhost:1".to_owned(),
            ws_url: "ws://localhost:1/ws".to_owned(),
        };
        let demo = Demo {
            accounts: Vec::new(),
            service_key: "geheim".to_owned(),
        };
        assert!(!addresses(&listening, None).contains("serviceKey"));
        assert!(addresses(&listening, Some(&demo)).contains("geheim"));
        assert!(welcome(&listening, &demo).contains("http://localhost:1/demo"));
    }
}
