//! Build, run and check the project.

fn main() {}
