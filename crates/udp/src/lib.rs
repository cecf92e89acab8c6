//! Batched UDP sockets (recvmmsg and sendmmsg).
