//! Reads the configuration in its order: command line, environment, file, default; then the log.

use confique::Config as _;

use crate::Fault;
use crate::cli::Place;
use crate::secrets;
use crate::settings::{Log, Settings, explain};

/// Loads and completes the settings and starts the log.
///
/// # Errors
/// [`Fault::Configuration`] with the key at fault.
pub(crate) fn settings(place: &Place) -> Result<Settings, Fault> {
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
    log(&settings.log)?;
    for name in open {
        tracing::warn!("the file of {name} can be read by everybody; chmod 600 it");
    }
    Ok(settings)
}

fn log(log: &Log) -> Result<(), Fault> {
    let filter = tracing_subscriber::EnvFilter::try_new(&log.filter)
        .map_err(|fault| Fault::Configuration(format!("log.filter: {fault}")))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let started = if log.json {
        builder.json().try_init()
    } else {
        builder.try_init()
    };
    started.map_err(Fault::other)
}
