//! Rebuilds when the web build has left other files; never runs a web build itself.

fn main() {
    println!("cargo::rerun-if-changed=../web/dist");
}
