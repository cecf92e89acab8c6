//! WAV files in and out, 16 bit.

use hound::{SampleFormat, WavReader, WavSpec, WavWriter};
use std::path::Path;

/// One channel of a file: samples and rate.
///
/// # Errors
/// A sentence when the file cannot be read, is not 16-bit PCM, or has no such channel.
pub fn read(path: &Path, channel: usize) -> Result<(Vec<i16>, u32), String> {
    let mut reader = WavReader::open(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let spec = reader.spec();
    if spec.sample_format != SampleFormat::Int || spec.bits_per_sample != 16 {
        return Err(format!("{}: not 16-bit PCM", path.display()));
    }
    let channels = usize::from(spec.channels);
    if channel >= channels {
        return Err(format!(
            "{}: {channels} channels, asked for number {channel}",
            path.display()
        ));
    }
    let samples: Result<Vec<i16>, _> = reader.samples::<i16>().skip(channel).step_by(channels).collect();
    Ok((
        samples.map_err(|e| format!("{}: {e}", path.display()))?,
        spec.sample_rate,
    ))
}

/// Writes mono samples.
///
/// # Errors
/// A sentence when the file cannot be written.
pub fn write(path: &Path, samples: &[i16], rate: u32) -> Result<(), String> {
    let spec = WavSpec {
        channels: 1,
        sample_rate: rate,
        bits_per_sample: 16,
        sample_format: SampleFormat::Int,
    };
    let fault = |e| format!("{}: {e}", path.display());
    let mut writer = WavWriter::create(path, spec).map_err(fault)?;
    for sample in samples {
        writer.write_sample(*sample).map_err(fault)?;
    }
    writer.finalize().map_err(fault)
}
