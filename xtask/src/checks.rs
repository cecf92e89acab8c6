//! Every check and test, cheapest first, with one closing line.

use crate::{
    foreign, fuzz, rust, scenarios, setup,
    shell::{self, Outcome},
    speech,
    tally::Tally,
    web,
};

/// `cargo xtask test`.
pub(crate) fn run(arguments: &[&str]) -> Outcome {
    let quick = arguments.contains(&"--quick");
    let long = arguments.contains(&"--long");
    if let Some(word) = arguments.iter().find(|word| !["--quick", "--long"].contains(word)) {
        return Err(format!("unknown option: {word}"));
    }
    let mut tally = Tally::default();
    tally.check("format", rust::format);
    tally.suite("tidy: the rules of ARCHITECTURE.md", rust::tidy);
    let installed = quick || tally.check("tools", || install(long));
    if long && !quick && installed {
        tally.check("speech scores", speech::prepare);
        tally.check("foreign client", foreign::prepare);
    }
    let pages = installed && web_side(&mut tally);
    tally.check("clippy", rust::clippy);
    tally.check("documentation", rust::document);
    tally.suite("Rust tests", |tally| rust::tests(tally, long, !quick));
    if long {
        fuzz::long(&mut tally);
    }
    if quick {
        tally.left_out("end to end", "--quick");
    } else if pages {
        tally.suite("end to end in real browsers", |tally| browsers(tally, None, long));
    } else {
        tally.left_out("end to end", "the pages were not built");
    }
    tally.close()
}

/// `cargo xtask e2e [--only NAME]`.
pub(crate) fn end_to_end(arguments: &[&str]) -> Outcome {
    let (only, long) = match arguments {
        [] => (None, false),
        ["--long"] => (None, true),
        ["--only", name] => (Some(*name), true),
        _ => return Err("usage: cargo xtask e2e [--long | --only NAME]".to_owned()),
    };
    let only = only.map(scenarios::file).transpose()?;
    let mut tally = Tally::default();
    let installed = tally.check("tools", || install(long)) && (!long || tally.check("speech scores", speech::prepare));
    if installed && tally.check("pages", web::build) {
        tally.suite("end to end in real browsers", |tally| {
            browsers(tally, only.as_deref(), long)
        });
    }
    tally.close()
}

fn install(long: bool) -> Outcome {
    setup::install(setup::FOR_SERVER)?;
    setup::install(setup::FOR_TESTS)?;
    if long { setup::install(setup::FOR_LONG) } else { Ok(()) }
}

/// Packages, types, unit tests, build and size; true when there are pages to test.
fn web_side(tally: &mut Tally) -> bool {
    if !tally.check("web packages", web::packages) {
        return false;
    }
    for script in ["format:check", "check"] {
        tally.check(&format!("web {script}"), || {
            shell::run(&mut web::npm(&["run", "--silent", script])?)
        });
    }
    // The pages are tested as they are built.
    let built = tally.check("web build", web::build)
        && tally.check("web size", || shell::run(&mut web::npm(&["run", "--silent", "size"])?));
    tally.suite("web unit tests", |tally| {
        shell::watch(&mut web::npm(&["run", "--silent", "test"])?, |line| {
            tally.vitest_line(line)
        })
    });
    built
}

fn browsers(tally: &mut Tally, only: Option<&str>, long: bool) -> Outcome {
    rust::binaries()?;
    let mut words = vec!["run", "--silent", "e2e"];
    if let Some(file) = only {
        words.extend(["--", file]);
    }
    let mut npm = web::npm(&words)?;
    npm.env("HELPLINE_BIN_DIR", shell::root().join(rust::binaries_folder()));
    shell::require_tools(&mut npm);
    if long {
        npm.env("HELPLINE_TEST_SIZE", "long");
    }
    shell::watch(&mut npm, |line| tally.vitest_line(line))
}
