//! The music of customers on hold: read once at the start, from the operator's file or the one that comes with us.
//!
//! Never decodes: a file of another form is refused with the reason, not converted.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use media_core::limits::MUSIC_BYTES_MAX;
use media_core::music::{BadMusic, Music};
use recording::tune::{self, Unreadable};

/// Made by `crates/recording/examples/hold_music.rs`.
const OWN: &[u8] = include_bytes!("../assets/hold.opus");

/// What customers on hold hear.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HoldMusic {
    /// The tune that comes with the program.
    #[default]
    Own,
    /// Nothing.
    Silence,
    /// An Ogg Opus file, mono or stereo, in frames of 20 ms.
    File(PathBuf),
}

/// Why the music cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum BadFile {
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// More bytes than the music may have in memory.
    #[error("it is larger than {MUSIC_BYTES_MAX} bytes")]
    Size,
    /// No Ogg Opus file that we read.
    #[error(transparent)]
    Form(#[from] Unreadable),
    /// Its frames are not those that are played.
    #[error(transparent)]
    Frames(#[from] BadMusic),
    /// There is no sound in it.
    #[error("it holds no sound; an empty media.hold_music is silence")]
    Empty,
}

/// Reads the music.
///
/// # Errors
/// [`BadFile`].
pub(crate) fn load(music: &HoldMusic) -> Result<Music, BadFile> {
    match music {
        HoldMusic::Own => of(OWN),
        HoldMusic::Silence => Ok(Music::default()),
        HoldMusic::File(path) => of(&read(path)?),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, BadFile> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(MUSIC_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() > MUSIC_BYTES_MAX {
        return Err(BadFile::Size);
    }
    Ok(bytes)
}

fn of(file: &[u8]) -> Result<Music, BadFile> {
    let packets = tune::packets(file)?;
    let music = Music::new(packets.iter().map(Vec::as_slice))?;
    if music.frames() == 0 {
        return Err(BadFile::Empty);
    }
    Ok(music)
}

#[cfg(test)]
mod tests {
    use super::*;
    use recording::ogg::{Sides, Writer};

    /// A file of `packets`, each of these bytes.
    fn file(packets: &[&[u8]]) -> Vec<u8> {
        let mut writer = Writer::new(Sides::One, 1, &[], 0);
        for packet in packets {
            writer.packet(960, |body| body.extend_from_slice(packet));
        }
        writer.finish(u64::MAX)
    }

    #[test]
    fn our_own_tune_is_sixteen_seconds_and_small() {
        assert_eq!(load(&HoldMusic::Own).unwrap().frames(), 800);
        assert!(OWN.len() <= 200_000, "{}", OWN.len());
        assert_eq!(load(&HoldMusic::Silence).unwrap().frames(), 0);
    }

    #[test]
    fn a_file_of_the_operator_is_read_and_what_cannot_be_played_is_refused_by_reason() {
        let folder = std::env::temp_dir().join(format!("helpline-hold-music-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("tune.opus");
        let of_bytes = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            load(&HoldMusic::File(path.clone()))
        };
        assert_eq!(of_bytes(&file(&[&[31 << 3, 1], &[31 << 3, 2]])).unwrap().frames(), 2);
        let sixty = of_bytes(&file(&[&[31 << 3, 1], &[3 << 3, 2]]));
        assert!(matches!(sixty, Err(BadFile::Frames(BadMusic::Duration(1)))));
        assert!(matches!(of_bytes(b"no music"), Err(BadFile::Form(Unreadable::Ogg))));
        assert!(matches!(of_bytes(&vec![0; MUSIC_BYTES_MAX + 1]), Err(BadFile::Size)));
        let none = of_bytes(&file(&[]));
        assert!(matches!(none, Err(BadFile::Empty)), "{none:?}");
        let absent = load(&HoldMusic::File(folder.join("absent.opus")));
        assert!(matches!(absent, Err(BadFile::Read(_))));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
