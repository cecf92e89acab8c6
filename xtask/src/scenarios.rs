//! The end-to-end scenarios: one file of `web/e2e` each, named by its file and run as a whole.
//!
//! Never a part of one: a scenario is a story, and a step without those before it proves nothing.

use crate::shell::{self, Outcome};
use std::fs;

/// What follows a scenario's name in its file's.
const ENDING: &str = ".e2e.ts";

/// The file of the scenario `name`, relative to `web/`.
///
/// # Errors
/// A sentence that lists what there is.
pub(crate) fn file(name: &str) -> Outcome<String> {
    let names = names()?;
    if names.iter().any(|known| known == name) {
        Ok(format!("e2e/{name}{ENDING}"))
    } else {
        Err(format!(
            "no scenario is called `{name}`; there are: {}",
            names.join(", ")
        ))
    }
}

/// All of them, in the order of the alphabet.
fn names() -> Outcome<Vec<String>> {
    let folder = shell::root().join("web/e2e");
    let entries = fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(ENDING)?.to_owned()))
        .collect();
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::{file, names};

    #[test]
    fn a_scenario_is_found_by_its_whole_name_only() {
        assert_eq!(file("hold").as_deref(), Ok("e2e/hold.e2e.ts"));
        for wrong in ["hol", "old", "who-hears", "HOLD", ""] {
            let refusal = file(wrong).expect_err("no such scenario");
            for name in names().expect("the folder of scenarios") {
                assert!(refusal.contains(&name), "{refusal}");
            }
        }
    }
}
