//! Passwords of staff: argon2id with 19 MiB, two passes, one lane.
//!
//! Never runs on an async worker, never more often at the same time than half the cores, and takes as long for an
//! unknown account as for a known one.

use std::sync::Arc;

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};
use tokio::sync::Semaphore;

/// Memory of one hash in KiB (19 MiB), the least that is recommended for argon2id with two passes.
pub const MEMORY_KIB: u32 = 19 * 1024;
/// Passes over that memory.
pub const PASSES: u32 = 2;
/// Lanes.
pub const LANES: u32 = 1;
/// Shortest password that is accepted when one is set, in characters.
pub const PASSWORD_CHARS_MIN: usize = 12;
/// Longest password in bytes: more entropy than the hash holds, and hashing must not become work on demand.
pub const PASSWORD_BYTES_MAX: usize = 256;
/// Sign-ins that may wait for a free core: at 30 ms each the last one waits about 2 s.
pub const WAITING_MAX: usize = 64;

/// Why a password was not hashed or checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordFault {
    /// Shorter than [`PASSWORD_CHARS_MIN`] or longer than [`PASSWORD_BYTES_MAX`].
    #[error("a password has 12 characters at least and 256 bytes at most")]
    Length,
    /// More than [`WAITING_MAX`] are waiting already.
    #[error("too many sign-ins at the same time")]
    Busy,
    /// The hash itself failed.
    #[error("the password could not be hashed")]
    Internal,
}

/// Hashes and checks, a few at a time.
#[derive(Clone)]
pub struct Passwords {
    running: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    /// Hash of nothing anybody knows, checked when the account does not exist.
    decoy: Arc<str>,
}

impl Passwords {
    /// `cores`: of this machine; half of them may hash. `salt`: random, for the decoy.
    ///
    /// # Errors
    /// `Internal` when the parameters are refused by the library.
    pub fn new(cores: usize, salt: &[u8; 16]) -> Result<Self, PasswordFault> {
        Ok(Self {
            running: Arc::new(Semaphore::new((cores / 2).max(1))),
            waiting: Arc::new(Semaphore::new(WAITING_MAX)),
            decoy: hash_now(b"nobody signs in with this", salt)?.into(),
        })
    }

    /// The hash to store for a new password.
    ///
    /// # Errors
    /// As [`PasswordFault`] says.
    pub async fn hash(&self, password: String, salt: [u8; 16]) -> Result<String, PasswordFault> {
        if password.chars().count() < PASSWORD_CHARS_MIN || password.len() > PASSWORD_BYTES_MAX {
            return Err(PasswordFault::Length);
        }
        self.run(move || hash_now(password.as_bytes(), &salt)).await?
    }

    /// True when `password` is the one of `stored`. Without `stored` it takes the same time and is false.
    ///
    /// # Errors
    /// `Busy`, `Internal`.
    pub async fn check(&self, password: String, stored: Option<String>) -> Result<bool, PasswordFault> {
        if password.len() > PASSWORD_BYTES_MAX {
            return Ok(false);
        }
        let known = stored.is_some();
        let hash = stored.unwrap_or_else(|| self.decoy.as_ref().to_owned());
        let same = self
            .run(move || {
                let parsed = PasswordHash::new(&hash).map_err(|_| PasswordFault::Internal)?;
                Ok(argon()?.verify_password(password.as_bytes(), &parsed).is_ok())
            })
            .await??;
        Ok(same && known)
    }

    /// Runs `work` on a blocking thread once a core is free.
    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, PasswordFault> {
        let _waiting = self.waiting.try_acquire().map_err(|_| PasswordFault::Busy)?;
        let permit = self.running.clone().acquire_owned().await;
        let permit = permit.map_err(|_| PasswordFault::Internal)?;
        tokio::task::spawn_blocking(move || {
            let value = work();
            drop(permit);
            value
        })
        .await
        .map_err(|_| PasswordFault::Internal)
    }
}

/// The one parameter set.
fn argon() -> Result<Argon2<'static>, PasswordFault> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|_| PasswordFault::Internal)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// Hashes on the calling thread; about 30 ms.
fn hash_now(password: &[u8], salt: &[u8; 16]) -> Result<String, PasswordFault> {
    let hash: PasswordHash = argon()?
        .hash_password_with_salt(password, salt)
        .map_err(|_| PasswordFault::Internal)?;
    Ok(hash.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passwords() -> Passwords {
        Passwords::new(2, &[7; 16]).unwrap()
    }

    #[tokio::test]
    async fn a_password_is_known_again_and_another_is_not() {
        let passwords = passwords();
        let hash = passwords
            .hash("correct horse battery".to_owned(), [1; 16])
            .await
            .unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(
            passwords
                .check("correct horse battery".to_owned(), Some(hash.clone()))
                .await
                .unwrap()
        );
        assert!(
            !passwords
                .check("correct horse batterz".to_owned(), Some(hash))
                .await
                .unwrap()
        );
        assert!(
            !passwords
                .check("nobody signs in with this".to_owned(), None)
                .await
                .unwrap()
        );
    }

    #[tokio::test]
    async fn lengths_are_refused_beyond_their_limits() {
        let passwords = passwords();
        let of = |n: usize| "x".repeat(n);
        assert_eq!(
            passwords.hash(of(PASSWORD_CHARS_MIN - 1), [0; 16]).await,
            Err(PasswordFault::Length)
        );
        assert!(passwords.hash(of(PASSWORD_CHARS_MIN), [0; 16]).await.is_ok());
        assert!(passwords.hash(of(PASSWORD_BYTES_MAX), [0; 16]).await.is_ok());
        assert_eq!(
            passwords.hash(of(PASSWORD_BYTES_MAX + 1), [0; 16]).await,
            Err(PasswordFault::Length)
        );
    }

    #[tokio::test]
    async fn more_sign_ins_than_may_wait_are_told_so() {
        let passwords = passwords();
        let _held = passwords
            .waiting
            .clone()
            .try_acquire_many_owned(WAITING_MAX as u32)
            .unwrap();
        assert_eq!(passwords.check("x".to_owned(), None).await, Err(PasswordFault::Busy));
    }
}
