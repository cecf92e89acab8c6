//! Load generator: real ICE, DTLS and SRTP against a running server.

fn main() {}
