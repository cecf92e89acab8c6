//! Secrets from files: `<NAME>_FILE` instead of `<NAME>`, as container platforms hand them over.
//!
//! Never prints a secret; both forms at once are refused, because one of them would silently lose.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::settings::Settings;

/// Longest secret in bytes: a private key in PEM form fits, a wrong path to a log file does not.
pub(crate) const SECRET_BYTES_MAX: u64 = 64 * 1_024;

/// Why a secret could not be taken from its file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretFault {
    /// Both forms are set.
    #[error("{0} and {0}_FILE are both set; keep one")]
    Both(&'static str),
    /// The file cannot be read.
    #[error("{name}_FILE cannot be read: {source}")]
    Read {
        /// Which secret.
        name: &'static str,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is larger than a secret can be.
    #[error("{0}_FILE is larger than {SECRET_BYTES_MAX} bytes")]
    Large(&'static str),
}

/// Fills every secret whose `_FILE` form is set. `variable` reads the environment.
///
/// Returns the names of files that others may read, for a warning.
///
/// # Errors
/// [`SecretFault`].
pub(crate) fn fill(
    settings: &mut Settings,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Vec<&'static str>, SecretFault> {
    let mut open = Vec::new();
    let places: [(&'static str, &mut Option<String>); 8] = [
        ("DATABASE_URL", &mut settings.database.url),
        ("HELPLINE_DATABASE_OWNER_URL", &mut settings.database.owner_url),
        ("HELPLINE_AUTH_JWT_SECRET", &mut settings.auth.jwt_secret),
        ("TURN_CREDENTIAL", &mut settings.turn.credential),
        ("HELPLINE_TURN_SECRET", &mut settings.turn.secret),
        (
            "HELPLINE_TURN_EXTERNAL_CREDENTIAL",
            &mut settings.turn.external.credential,
        ),
        ("HELPLINE_TURN_EXTERNAL_SECRET", &mut settings.turn.external.secret),
        (
            "HELPLINE_TURN_EXTERNAL_FETCH_KEY",
            &mut settings.turn.external.fetch_key,
        ),
    ];
    for (name, place) in places {
        if let Some(path) = variable(&format!("{name}_FILE")) {
            if place.is_some() {
                return Err(SecretFault::Both(name));
            }
            *place = Some(read(name, Path::new(&path), &mut open)?);
        }
    }
    const KEYS: &str = "HELPLINE_AUTH_SERVICE_KEYS";
    if let Some(path) = variable(&format!("{KEYS}_FILE")) {
        if !settings.auth.service_keys.is_empty() {
            return Err(SecretFault::Both(KEYS));
        }
        let text = read(KEYS, Path::new(&path), &mut open)?;
        settings.auth.service_keys = text.split([',', '\n']).map(|key| key.trim().to_owned()).collect();
        settings.auth.service_keys.retain(|key| !key.is_empty());
    }
    Ok(open)
}

fn read(name: &'static str, path: &Path, open: &mut Vec<&'static str>) -> Result<String, SecretFault> {
    let fault = |source| SecretFault::Read { name, source };
    let facts = fs::metadata(path).map_err(fault)?;
    if facts.len() > SECRET_BYTES_MAX {
        return Err(SecretFault::Large(name));
    }
    if facts.permissions().mode() & 0o004 != 0 {
        open.push(name);
    }
    let text = fs::read_to_string(path).map_err(fault)?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use confique::Config as _;

    struct Folder(std::path::PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let path = std::env::temp_dir().join(format!("helpline-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).expect("a folder");
            Folder(path)
        }

        fn file(&self, text: &[u8], mode: u32) -> String {
            let path = self.0.join("secret");
            fs::write(&path, text).expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("permissions");
            path.to_str().expect("UTF-8").to_owned()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn only(name: &'static str, value: String) -> impl Fn(&str) -> Option<String> {
        move |asked| (asked == name).then(|| value.clone())
    }

    #[test]
    fn a_secret_comes_from_its_file_without_the_line_end() {
        let folder = Folder::new("secret-file");
        let mut settings = Settings::builder().load().expect("defaults");
        let path = folder.file(b"postgres://x\n", 0o600);
        let open = fill(&mut settings, only("DATABASE_URL_FILE", path)).expect("read");
        assert_eq!(
            (settings.database.url.as_deref(), open.len()),
            (Some("postgres://x"), 0)
        );
        let path = folder.file(b"a=1\nb=2\n\n", 0o644);
        let open = fill(&mut settings, only("HELPLINE_AUTH_SERVICE_KEYS_FILE", path)).expect("read");
        assert_eq!(settings.auth.service_keys, ["a=1", "b=2"]);
        assert_eq!(open, ["HELPLINE_AUTH_SERVICE_KEYS"], "others may read it");
    }

    #[test]
    fn both_forms_a_missing_file_and_a_large_one_are_refused() {
        let folder = Folder::new("secret-refused");
        let mut settings = Settings::builder().load().expect("defaults");
        settings.turn.credential = Some("x".to_owned());
        let path = folder.file(b"y", 0o600);
        let both = fill(&mut settings, only("TURN_CREDENTIAL_FILE", path));
        assert!(matches!(both, Err(SecretFault::Both("TURN_CREDENTIAL"))));
        let missing = fill(&mut settings, only("DATABASE_URL_FILE", "/does/not/exist".to_owned()));
        assert!(matches!(
            missing,
            Err(SecretFault::Read {
                name: "DATABASE_URL",
                ..
            })
        ));
        let path = folder.file(&vec![b'x'; SECRET_BYTES_MAX as usize], 0o600);
        assert!(fill(&mut settings, only("DATABASE_URL_FILE", path)).is_ok());
        settings.database.url = None;
        let path = folder.file(&vec![b'x'; SECRET_BYTES_MAX as usize + 1], 0o600);
        let large = fill(&mut settings, only("DATABASE_URL_FILE", path));
        assert!(matches!(large, Err(SecretFault::Large("DATABASE_URL"))));
    }
}
