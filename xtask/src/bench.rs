//! The micro-benches, and each of their figures beside the kernel floor of the same run.
//!
//! A time says something about a machine; its ratio to what the bare kernel costs per packet on that machine, in that
//! minute, says something about the code. Never judges: it prints, and marks what has become dearer than it was when
//! figures were last kept on this machine.

use std::collections::BTreeMap;
use std::fs;

use crate::{
    setup,
    shell::{self, Outcome, command},
};

/// Pairs and seconds of the floor: long enough to settle, short enough not to be left out.
const FLOOR: [&str; 5] = ["floor", "--pairs", "300", "--seconds", "10"];

/// The word that keeps the figures of this run.
const KEEP: &str = "--keep";
/// Where figures are kept, relative to the root: a line each, name and microseconds.
const KEPT: &str = "target/bench-kept.txt";
/// What is dearer by more than this is marked. Less is what one machine shows from hour to hour.
const DEARER: f64 = 1.1;

/// `cargo xtask bench [--keep] [NAME …]`: words go to `cargo bench`. With `--keep`, and the first time, later runs are
/// compared with this one.
pub(crate) fn run(arguments: &[&str]) -> Outcome {
    setup::install(setup::FOR_SERVER)?;
    let mut words = vec!["bench", "--locked", "--package", "benches"];
    words.extend(arguments.iter().filter(|word| **word != KEEP));
    let mut reader = Reader::default();
    shell::watch(&mut command("", "cargo", &words), |line| reader.line(line))?;
    let mut words = vec!["run", "--locked", "--release", "--package", "loadtest", "--"];
    words.extend_from_slice(&FLOOR);
    let mut floor = None;
    shell::watch(&mut command("", "cargo", &words), |line| {
        if let Some(value) = line.strip_prefix("floor_us_per_packet ") {
            floor = value.trim().parse().ok();
        }
    })?;
    let floor_us: f64 = floor.ok_or("the floor was not measured")?;
    let place = shell::root().join(KEPT);
    let mut kept = read(&fs::read_to_string(&place).unwrap_or_default());
    println!(
        "\n{:<32} {:>12} {:>16} {:>12}",
        "per packet", "us", "ratio to floor", "to the kept"
    );
    for (name, us) in &reader.figures {
        let change = change(kept.get(name).copied(), *us);
        println!("{name:<32} {us:>12.3} {:>16.3} {change:>12}", us / floor_us);
        let before = kept.entry(name.clone()).or_insert(*us);
        if arguments.contains(&KEEP) {
            *before = *us;
        }
    }
    println!("{:<32} {floor_us:>12.3} {:>16.3}", "kernel floor", 1.0);
    let lines: String = kept.iter().map(|(name, us)| format!("{name} {us}\n")).collect();
    fs::write(&place, lines).map_err(|fault| format!("{}: {fault}", place.display()))
}

/// Figures as they were kept; a line that is no figure counts as none.
fn read(text: &str) -> BTreeMap<String, f64> {
    let figure = |line: &str| {
        let (name, us) = line.rsplit_once(' ')?;
        Some((name.to_owned(), us.parse().ok().filter(|us| *us > 0.0)?))
    };
    text.lines().filter_map(figure).collect()
}

/// How a figure stands to the kept one, in words; empty without one.
fn change(kept: Option<f64>, us: f64) -> String {
    let Some(kept) = kept else { return String::new() };
    let mark = if us > kept * DEARER { " DEARER" } else { "" };
    format!("{:+.0} %{mark}", (us / kept - 1.0) * 100.0)
}

/// Reads Criterion's report: a name, then `time: [low estimate high]`, then `thrpt: [low estimate high]`.
#[derive(Default)]
struct Reader {
    name: String,
    /// Microseconds per packet.
    figures: Vec<(String, f64)>,
}

impl Reader {
    fn line(&mut self, line: &str) {
        if let Some(list) = line.trim_start().strip_prefix("thrpt:") {
            if let Some(us) = microseconds(list) {
                self.figures.push((std::mem::take(&mut self.name), us));
            }
        } else if !line.starts_with([' ', '\t']) && !line.starts_with("Benchmarking") {
            let name = line.split(" time:").next().unwrap_or_default();
            self.name = name.trim().to_owned();
        }
    }
}

/// Microseconds per element of `[1.0 Melem/s 1.1 Melem/s 1.2 Melem/s]`: of the estimate, which stands in the middle.
fn microseconds(list: &str) -> Option<f64> {
    let mut words = list.trim().trim_start_matches('[').split_ascii_whitespace().skip(2);
    let number: f64 = words.next()?.parse().ok()?;
    let per_second = match words.next()? {
        "elem/s" => number,
        "Kelem/s" => number * 1e3,
        "Melem/s" => number * 1e6,
        "Gelem/s" => number * 1e9,
        _ => return None,
    };
    Some(1e6 / per_second)
}

#[cfg(test)]
mod tests {
    use super::{Reader, change, read};

    #[test]
    fn what_is_dearer_than_what_was_kept_is_marked() {
        let kept = read("forward/rooms 1 0.4\nsrtp/seal 0.1\nbroken\nnothing 0\n");
        assert_eq!(kept.len(), 2);
        let seal = kept.get("srtp/seal").copied();
        assert_eq!(change(seal, 0.05), "-50 %");
        assert_eq!(change(seal, 0.109), "+9 %");
        assert_eq!(change(seal, 0.111), "+11 % DEARER");
        assert_eq!(change(kept.get("new").copied(), 1.0), "");
    }

    #[test]
    fn figures_are_read_with_their_names() {
        let report = "Benchmarking srtp/seal: Warming up
srtp/seal               time:   [331.20 ns 333.33 ns 336.11 ns]
                        thrpt:  [2.9753 Melem/s 3.0000 Melem/s 3.0193 Melem/s]
                 change:
                        thrpt:  [-0.1 % +0.2 % +0.3 %] (p = 0.32 > 0.05)
a/name/that/has/a/line/to/itself
                        time:   [1.0 ms 1.1 ms 1.2 ms]
                        thrpt:  [480.00 Kelem/s 500.00 Kelem/s 510.00 Kelem/s]
Found 1 outliers among 100 measurements (1.00%)";
        let mut reader = Reader::default();
        report.lines().for_each(|line| reader.line(line));
        let shown: Vec<String> = reader
            .figures
            .iter()
            .map(|(name, us)| format!("{name} {us:.3}"))
            .collect();
        assert_eq!(shown, ["srtp/seal 0.333", "a/name/that/has/a/line/to/itself 2.000"]);
    }
}
