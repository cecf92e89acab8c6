//! Pure recording formats: spool, Ogg Opus, timeline, peaks, manifest.
