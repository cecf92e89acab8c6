//! The published keys of the customers' identity provider, fetched over https.
//!
//! Never decides what a key is good for; the desk caches, pins and checks.

use std::time::Duration;

use desk::auth::jwks::KeySource;
use ports::Later;

/// Longest wait for the provider: a customer waits for it at his first request after a rotation.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Largest key set in bytes: a dozen RSA keys are 10 kB.
pub(crate) const KEY_SET_BYTES_MAX: usize = 256 * 1_024;

/// See the top of this file.
pub(crate) struct Published {
    client: reqwest::Client,
    url: String,
}

impl Published {
    /// The key set of a Supabase project.
    ///
    /// # Errors
    /// What the client says when it cannot be built.
    pub(crate) fn of_supabase(project: &str) -> Result<Published, reqwest::Error> {
        let client = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .https_only(!is_loopback(project))
            .build()?;
        Ok(Published {
            client,
            url: format!("{}/auth/v1/.well-known/jwks.json", project.trim_end_matches('/')),
        })
    }

    async fn get(&self) -> Option<String> {
        let mut answer = self.client.get(&self.url).send().await.ok()?.error_for_status().ok()?;
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.ok()? {
            if body.len() + chunk.len() > KEY_SET_BYTES_MAX {
                return None;
            }
            body.extend_from_slice(&chunk);
        }
        String::from_utf8(body).ok()
    }
}

/// A project on this machine (development) has no certificate.
pub(crate) fn is_loopback(url: &str) -> bool {
    ["http://127.0.0.1", "http://localhost", "http://[::1]"]
        .iter()
        .any(|prefix| url.starts_with(prefix))
}

impl KeySource for Published {
    fn fetch(&self) -> Later<'_, Option<String>> {
        Box::pin(async move {
            let set = self.get().await;
            if set.is_none() {
                tracing::warn!("the identity provider's keys could not be fetched");
            }
            set
        })
    }
}
