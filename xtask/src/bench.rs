//! The micro-benches, and each of their figures beside the kernel floor of the same run.
//!
//! A time says something about a machine; its ratio to what the bare kernel costs per packet on that machine, in that
//! minute, says something about the code. Never judges: it prints.

use crate::{
    setup,
    shell::{self, Outcome, command},
};

/// Pairs and seconds of the floor: long enough to settle, short enough not to be left out.
const FLOOR: [&str; 5] = ["floor", "--pairs", "300", "--seconds", "10"];

/// `cargo xtask bench [NAME …]`: words go to `cargo bench`.
pub(crate) fn run(arguments: &[&str]) -> Outcome {
    setup::install(setup::FOR_SERVER)?;
    let mut words = vec!["bench", "--locked", "--package", "benches"];
    words.extend_from_slice(arguments);
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
    println!("\n{:<32} {:>12} {:>16}", "per packet", "us", "ratio to floor");
    for (name, us) in &reader.figures {
        println!("{name:<32} {us:>12.3} {:>16.3}", us / floor_us);
    }
    println!("{:<32} {floor_us:>12.3} {:>16.3}", "kernel floor", 1.0);
    Ok(())
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
    use super::Reader;

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
