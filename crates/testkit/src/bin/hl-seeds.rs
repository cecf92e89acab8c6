//! Writes the seeds of the fuzz corpus: `hl-seeds fuzz/corpus`.
//!
//! Files that are there are left alone, whatever is in them: a corpus only grows.

use std::path::PathBuf;
use std::time::Instant;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let folder = env::args_os().nth(1).map(PathBuf::from);
    let folder = folder.ok_or_else(|| io::Error::other("usage: hl-seeds <folder of the corpus>"))?;
    for seed in testkit::fuzz::seeds(now()) {
        let target = folder.join(seed.target);
        fs::create_dir_all(&target)?;
        let file = target.join(seed.name);
        if !file.exists() {
            fs::write(&file, &seed.bytes)?;
        }
    }
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "a tool of the developer's, not a part of the product"
)]
fn now() -> Instant {
    Instant::now()
}
