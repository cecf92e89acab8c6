//! From a fresh clone to a running demo.

use crate::{
    clock::{Stopwatch, seconds},
    setup,
    shell::{self, Outcome, command},
    web,
};
use std::os::unix::process::CommandExt;

/// Installs, builds, then becomes `helpline serve --demo`.
pub(crate) fn run(arguments: &[&str]) -> Outcome {
    let watch = Stopwatch::start();
    println!("1/3  tools of this machine");
    setup::install(setup::FOR_SERVER)?;
    println!("2/3  pages");
    if let Err(reason) = web::build() {
        // The server is whole without its pages; a newcomer without Node.js should still see it run.
        println!("     left out: {reason}");
    }
    println!("3/3  server (the first build takes several minutes)");
    shell::run(&mut command(
        "",
        "cargo",
        &["build", "--locked", "--release", "--package", "helpline"],
    ))?;
    println!("Ready after {}.", seconds(watch.passed()));
    let mut rest = arguments.to_vec();
    if rest.first() == Some(&"--no-run") {
        return Ok(());
    }
    let mut words = vec!["serve", "--demo"];
    words.append(&mut rest);
    let error = command("", shell::root().join("target/release/helpline"), &words).exec();
    Err(format!("the server did not start: {error}"))
}
