//! The client against a server of a few lines under virtual time, and against coturn over real sockets.

#![cfg(test)]

mod coturn;
mod virtual_time;
