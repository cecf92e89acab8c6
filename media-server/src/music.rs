//! The music of customers on hold and of those who wait, with its prompt, and the tone that tells of a supervisor: read once
//! at the start, from the operator's files or those that come with us.
//!
//! Never decodes: a file of another form is refused with the reason, not converted.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use std::sync::Arc;

use media_core::limits::MUSIC_BYTES_MAX;
use media_core::music::{BadMusic, Music, Programme};
use recording::tune::{self, Unreadable};

/// Made by `crates/recording/examples/hold_music.rs`.
const OWN: &[u8] = include_bytes!("../assets/hold.opus");
/// Made by `crates/recording/examples/announce_tone.rs`.
const TONE: &[u8] = include_bytes!("../assets/announce.opus");

/// Shortest time between two prompts, seconds: less and nobody hears the music between them.
pub const PROMPT_EVERY_S_MIN: u32 = 5;
/// Longest: an hour, for nobody waits that long.
pub const PROMPT_EVERY_S_MAX: u32 = 3_600;
/// Frames of 20 ms in a second.
const FRAMES_PER_S: u32 = 50;

/// What customers hear who wait for an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The music; `None`: that of those on hold.
    pub music: Option<HoldMusic>,
    /// A file as the music's, played in its place every so often; `None` is no prompt.
    pub prompt: Option<PathBuf>,
    /// Seconds of music before each prompt, [`PROMPT_EVERY_S_MIN`] to [`PROMPT_EVERY_S_MAX`].
    pub prompt_every_s: u32,
}

impl Default for Waiting {
    fn default() -> Waiting {
        Waiting {
            music: None,
            prompt: None,
            prompt_every_s: 45,
        }
    }
}

/// All that legs hear of ours.
#[derive(Clone)]
pub(crate) struct Sounds {
    pub(crate) hold: Arc<Music>,
    pub(crate) waiting: Programme,
    pub(crate) tone: Arc<Music>,
}

/// Music of one kind.
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
    #[error("it holds no sound; an empty text instead of a file is silence")]
    Empty,
}

/// Why the sounds cannot be played: the setting, and what is wrong with its file.
#[derive(Debug, thiserror::Error)]
#[error("{setting} cannot be played: {fault}")]
pub struct Unplayable {
    /// The setting's name.
    pub setting: &'static str,
    /// What is wrong.
    pub fault: BadFile,
}

/// Reads all of it.
///
/// # Errors
/// [`Unplayable`].
pub(crate) fn sounds(hold: &HoldMusic, waiting: &Waiting) -> Result<Sounds, Unplayable> {
    let named = |setting: &'static str| move |fault| Unplayable { setting, fault };
    let hold = Arc::new(load(hold).map_err(named("media.hold_music"))?);
    let tune = match &waiting.music {
        None => Arc::clone(&hold),
        Some(music) => Arc::new(load(music).map_err(named("media.waiting_music"))?),
    };
    let prompt = match &waiting.prompt {
        None => Music::default(),
        Some(path) => load(&HoldMusic::File(path.clone())).map_err(named("media.waiting_prompt"))?,
    };
    let every = waiting.prompt_every_s.saturating_mul(FRAMES_PER_S);
    Ok(Sounds {
        hold,
        waiting: Programme::new(tune, Arc::new(prompt), every),
        tone: Arc::new(of(TONE).map_err(named("the tone that tells of supervisors"))?),
    })
}

/// Reads one music.
///
/// # Errors
/// [`BadFile`].
fn load(music: &HoldMusic) -> Result<Music, BadFile> {
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
    fn who_waits_hears_the_music_of_those_on_hold_and_no_prompt_unless_the_operator_has_others() {
        let heard = |programme: &Programme, second: u64| programme.frame(second * u64::from(FRAMES_PER_S)).to_vec();
        let own = sounds(&HoldMusic::Own, &Waiting::default()).unwrap();
        assert_eq!(heard(&own.waiting, 5), own.hold.frame(250));
        assert_eq!(heard(&own.waiting, 1_000), own.hold.frame(50_000));

        let folder = std::env::temp_dir().join(format!("helpline-waiting-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("prompt.opus");
        std::fs::write(&path, file(&[&[31 << 3, 1], &[31 << 3, 2]])).unwrap();
        let quiet = Waiting {
            music: Some(HoldMusic::Silence),
            prompt: Some(path.clone()),
            prompt_every_s: PROMPT_EVERY_S_MIN,
        };
        let quiet = sounds(&HoldMusic::Own, &quiet).unwrap().waiting;
        assert!(heard(&quiet, 0).is_empty() && quiet.frame(249).is_empty());
        assert_eq!(
            [quiet.frame(250), quiet.frame(251), quiet.frame(252), quiet.frame(502)],
            [&[31 << 3, 1][..], &[31 << 3, 2], &[], &[31 << 3, 1]]
        );
        std::fs::write(&path, b"no sound").unwrap();
        for (setting, bad) in [
            (
                "media.waiting_music",
                Waiting {
                    music: Some(HoldMusic::File(path.clone())),
                    ..Waiting::default()
                },
            ),
            (
                "media.waiting_prompt",
                Waiting {
                    prompt: Some(path.clone()),
                    ..Waiting::default()
                },
            ),
        ] {
            let refused = sounds(&HoldMusic::Own, &bad).err().expect("it is no Ogg file");
            assert_eq!(refused.setting, setting);
            assert!(refused.to_string().starts_with(setting));
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn our_own_tone_is_short_and_small() {
        let tone = sounds(&HoldMusic::Silence, &Waiting::default()).unwrap().tone;
        assert!((20..=35).contains(&tone.frames()), "{}", tone.frames());
        assert!(TONE.len() <= 4_000, "{}", TONE.len());
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
