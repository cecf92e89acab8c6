//! Reads the configuration in its order: command line, environment, file, default; then the log.

use std::ffi::OsStr;
use std::io::IsTerminal;

use confique::Config as _;
use tracing_subscriber::EnvFilter;

use crate::Fault;
use crate::cli::Place;
use crate::secrets;
use crate::settings::{Log, Settings, explain};

/// Loads and completes the settings and starts the log.
///
/// # Errors
/// [`Fault::Configuration`] with the key at fault.
pub(crate) fn settings(place: &Place) -> Result<Settings, Fault> {
    let (settings, open) = read(place)?;
    log(&settings.log)?;
    for name in open {
        tracing::warn!("the file of {name} can be read by everybody; chmod 600 it");
    }
    Ok(settings)
}

/// Loads and completes the settings for a command that says what it finds by itself.
///
/// # Errors
/// [`Fault::Configuration`] with the key at fault.
pub(crate) fn quietly(place: &Place) -> Result<Settings, Fault> {
    read(place).map(|(settings, _)| settings)
}

/// The settings, and which of their secrets stand in files that everybody may read.
fn read(place: &Place) -> Result<(Settings, Vec<&'static str>), Fault> {
    let mut builder = Settings::builder().env();
    if let Some(file) = &place.config {
        if !file.exists() {
            return Err(Fault::Configuration(format!(
                "the configuration file {} is not there",
                file.display()
            )));
        }
        builder = builder.file(file);
    }
    let mut settings = builder.load().map_err(|fault| Fault::Configuration(explain(&fault)))?;
    if let Some(folder) = &place.data_dir {
        settings.data_dir.clone_from(folder);
    }
    let open = secrets::fill(&mut settings, |name| std::env::var(name).ok())
        .map_err(|fault| Fault::Configuration(fault.to_string()))?;
    Ok((settings, open))
}

fn filter(log: &Log) -> Result<EnvFilter, Fault> {
    EnvFilter::try_new(&log.filter).map_err(|fault| Fault::Configuration(format!("log.filter: {fault}")))
}

fn log(log: &Log) -> Result<(), Fault> {
    let filter = filter(log)?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(has_colours(
            std::env::var_os("NO_COLOR").as_deref(),
            std::io::stderr().is_terminal(),
        ))
        .with_writer(std::io::stderr);
    let started = if log.json {
        builder.json().try_init()
    } else {
        builder.try_init()
    };
    started.map_err(Fault::other)
}

/// Colours are for people: a file or a journal keeps the marks as they are. `asked`: what `NO_COLOR` says, which asks for
/// none unless it is empty (no-color.org).
fn has_colours(asked: Option<&OsStr>, is_terminal: bool) -> bool {
    is_terminal && asked.is_none_or(OsStr::is_empty)
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex, PoisonError};

    use super::*;

    #[test]
    fn a_log_has_colours_where_people_read_it_and_have_not_asked_for_none() {
        let asked = |text| has_colours(Some(OsStr::new(text)), true);
        assert!(has_colours(None, true) && asked("") && !asked("1") && !asked("0"));
        assert!(!has_colours(None, false) && !has_colours(Some(OsStr::new("")), false));
    }

    /// Everything that was written to a log.
    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn libraries_are_heard_when_they_fail_and_we_from_info_on() {
        let settings = Settings::builder().load().expect("defaults load");
        let page = Page::default();
        let writer = page.clone();
        let log = tracing_subscriber::fmt()
            .with_env_filter(filter(&settings.log).expect("the default is a filter"))
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(log, || {
            tracing::warn!(target: "rtc_dtls::handshake::handshake_message_client_hello", "unknown extension");
            tracing::info!(target: "sqlx::postgres::notice", "already exists");
            tracing::error!(target: "rtc_dtls::conn", "broken");
            tracing::warn!(target: "media_server::recorder", "full");
            tracing::info!(target: "desk::run", "ready");
            tracing::debug!(target: "desk::run", "detail");
        });
        let bytes = page.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let text = String::from_utf8(bytes).expect("text");
        for words in ["broken", "full", "ready"] {
            assert!(text.contains(words), "{words} is missing: {text}");
        }
        for words in ["unknown extension", "already exists", "detail"] {
            assert!(!text.contains(words), "{words} is noise: {text}");
        }
    }
}
