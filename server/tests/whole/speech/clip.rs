//! What is said: synthetic speech made on the spot, and natural speech where somebody has some.

use std::fs;
use std::path::{Path, PathBuf};

use testkit::sound::wav;

use super::tools::run;

/// Samples per second of a browser's encoder.
pub(super) const RATE: u32 = 48_000;
/// Samples of one packet: 20 ms.
pub(super) const FRAME: usize = 960;
/// Level of every clip, root mean square of a full scale of 1: -26 dB, as ITU-T P.830 §7.1 has its material.
const LEVEL: f64 = 0.05;
/// Seconds that are taken of a file; PESQ was made for 8 to 20 (ITU-T P.862 §8.1).
const SECONDS_MAX: &str = "20";

/// Voices of espeak-ng and what they say, about ten seconds each.
const SPOKEN: [(&str, &str); 4] = [
    (
        "en-gb",
        "Good morning, thank you for calling. I am looking at your account now. The payment of twelve hundred \
         shillings was received on Tuesday, and the balance has been corrected.",
    ),
    (
        "en-us+f3",
        "I tried to send money to my sister yesterday, but the message said that the service was busy. Now the \
         amount is gone, and she has not received it. Could you please check?",
    ),
    (
        "sw",
        "Habari ya asubuhi, asante kwa kupiga simu. Ninaangalia akaunti yako sasa hivi. Malipo yako yalipokelewa \
         siku ya Jumanne, na salio limesahihishwa.",
    ),
    (
        "sw+f2",
        "Nilijaribu kumtumia dada yangu pesa jana, lakini ujumbe ulisema kwamba huduma ina shughuli nyingi. \
         Tafadhali angalia kilichotokea.",
    ),
];

/// A piece of speech.
pub(super) struct Clip {
    /// Who speaks.
    pub(super) name: String,
    /// Mono, 48 kHz, whole frames.
    pub(super) pcm: Vec<i16>,
    /// The same at the rate that is scored.
    pub(super) reference: PathBuf,
}

/// Brings a file to 16 kHz, the rate of wide-band PESQ.
pub(super) fn to_scored_rate(from: &Path, to: &Path) {
    run("sox", ["-D".as_ref(), from, "-r".as_ref(), "16000".as_ref(), to]);
}

impl Clip {
    /// Of any WAV file: mono, 48 kHz, at the common level, cut to whole frames.
    fn of(source: &Path, name: &str, folder: &Path) -> Clip {
        let plain = folder.join(format!("{name}-48.wav"));
        let words = ["-r", "48000", "-c", "1", "-b", "16"].map(Path::new);
        let (input, trim) = ([Path::new("-D"), source], ["trim", "0", SECONDS_MAX].map(Path::new));
        run("sox", input.iter().chain(&words).chain(&[plain.as_path()]).chain(&trim));
        let (samples, rate) = wav::read(&plain, 0).expect("sox writes 16 bits");
        assert_eq!(rate, RATE);
        let pcm = levelled(&samples[..samples.len() / FRAME * FRAME]);
        wav::write(&plain, &pcm, RATE).expect("the folder takes files");
        let reference = folder.join(format!("{name}-16.wav"));
        to_scored_rate(&plain, &reference);
        Clip {
            name: name.to_owned(),
            pcm,
            reference,
        }
    }
}

/// The samples at [`LEVEL`]; what peaks higher than full scale is clipped, in reference and call alike.
fn levelled(samples: &[i16]) -> Vec<i16> {
    let full = f64::from(i16::MAX);
    let power: f64 = samples.iter().map(|&s| (f64::from(s) / full).powi(2)).sum();
    let gain = LEVEL / (power / samples.len() as f64).sqrt();
    samples.iter().map(|&s| (f64::from(s) * gain) as i16).collect()
}

/// Speech of espeak-ng: male and female, English and Swahili.
pub(super) fn synthetic(folder: &Path) -> Vec<Clip> {
    let clip = |(voice, text): &(&str, &str)| {
        let raw = folder.join(format!("{voice}.wav"));
        let words = ["-v", voice, "-s", "150", "-w"].map(Path::new);
        run("espeak-ng", words.iter().chain(&[raw.as_path(), Path::new(text)]));
        Clip::of(&raw, voice, folder)
    };
    SPOKEN.iter().map(clip).collect()
}

/// Every WAV file of a folder.
pub(super) fn natural(source: &Path, folder: &Path) -> Vec<Clip> {
    let files = fs::read_dir(source).expect("HELPLINE_SPEECH_DIR can be read").flatten();
    let mut paths: Vec<PathBuf> = files.map(|file| file.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end.eq_ignore_ascii_case("wav")));
    paths.sort();
    assert!(!paths.is_empty(), "HELPLINE_SPEECH_DIR holds no WAV file");
    let name = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    paths.iter().map(|path| Clip::of(path, &name(path), folder)).collect()
}
