#![no_main]
//! Fuzzes datagrams of a handshake.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| testkit::fuzz::dtls(data));
