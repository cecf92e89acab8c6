#![no_main]
//! Fuzzes the header of a proxy in front of a connection.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| testkit::fuzz::proxy(data));
