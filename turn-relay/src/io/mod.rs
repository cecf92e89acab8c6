//! The edge of the relay: threads, sockets, TLS and rings around the pure core.

mod ring;
