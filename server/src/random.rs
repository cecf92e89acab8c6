//! The system's source of randomness, as the parts ask for it.

use desk::Random;

/// See the top of this file.
pub(crate) struct System;

impl Random for System {
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("without the kernel's randomness no secret can be made, and no call be taken");
    }
}

/// `N` random bytes as lower-case hex.
pub(crate) fn hex<const N: usize>() -> String {
    let mut bytes = [0; N];
    System.fill(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
