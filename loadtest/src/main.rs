//! The load generator's command line.
#![forbid(unsafe_code)]

use clap::Parser;

/// As the server has it: media that runs in a process of ours is to cost what it costs there.
#[global_allocator]
static ALLOCATOR: pages::Pages<mimalloc::MiMalloc> = pages::Pages(mimalloc::MiMalloc);

fn main() -> Result<(), loadtest::Fault> {
    loadtest::run(&loadtest::Arguments::parse())
}
