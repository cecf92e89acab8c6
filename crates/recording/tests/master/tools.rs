//! The Xiph tools as judges. Where they are missing the test fails unless `HELPLINE_WITHOUT_XIPH_TOOLS` is set.

use std::process::Command;

use super::lab::*;
use recording::master::{Layout, Master, assemble};

/// Runs a tool on a file and gives its exit and all it said; `None` when it is not installed and that was allowed.
fn judge(tool: &str, file: &std::path::Path) -> Option<(bool, String)> {
    match Command::new(tool).arg(file).output() {
        Ok(out) => {
            let said = [out.stdout, out.stderr].concat();
            Some((out.status.success(), String::from_utf8_lossy(&said).into_owned()))
        }
        Err(error) => {
            assert!(
                std::env::var_os("HELPLINE_WITHOUT_XIPH_TOOLS").is_some(),
                "{tool} does not run ({error}); install opus-tools and oggz-tools or set HELPLINE_WITHOUT_XIPH_TOOLS"
            );
            println!("skipped: {tool} is not installed");
            None
        }
    }
}

fn valid(name: &str, master: &Master) {
    for (i, bytes) in [Some(&master.audio), master.second_file.as_ref()]
        .into_iter()
        .flatten()
        .enumerate()
    {
        let path = std::env::temp_dir().join(format!("helpline-{}-{name}-{i}.opus", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        let answers = ["opusinfo", "oggz-validate"].map(|tool| (tool, judge(tool, &path)));
        std::fs::remove_file(&path).unwrap();
        for (tool, answer) in answers {
            let Some((fine, said)) = answer else { continue };
            assert!(
                fine && !said.contains("WARNING") && !said.contains("ERROR"),
                "{tool} on {name}: {said}"
            );
        }
    }
}

#[test]
fn the_xiph_tools_have_nothing_to_say() {
    let (tracks, ..) = super::two_sides(5.0);
    valid("both", &assemble(&assembly(&tracks, 5_123)));
    valid("gap", &assemble(&assembly(&tracks, 65_001)));
    valid("empty", &assemble(&assembly(&[], 4_000)));
    valid("nothing", &assemble(&assembly(&[], 0)));
    let (mut customer, agent) = (
        Sender::new(recording::Lane::Customer),
        Sender::new(recording::Lane::Agent),
    );
    customer.frame = 480;
    let pcm = tones(300.0, 700.0, 3.0);
    let short = customer.track(customer.send(&encode(&pcm, 480), |_, t| Some(t)));
    let long = agent.track(agent.send(&encode(&pcm, 960), |_, t| Some(t)));
    let master = assemble(&assembly(&[short, long], 3_100));
    // 10 ms and 20 ms frames have different configurations, but 10 ms ones merge among themselves.
    assert_eq!(master.layout, Layout::TwoChannel);
    valid("merged", &master);
}
