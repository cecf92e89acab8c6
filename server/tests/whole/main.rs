//! The whole binary as an operator runs it: its own process, real database, real sockets, and what goes wrong there.

#![cfg(test)]

mod binary;
mod crash;
mod drain;
mod foreign;
mod four;
mod hostile;
mod load;
mod outage;
mod overload;
mod pair;
mod red;
mod requests;
mod shield;
mod sockets;
mod speech;
mod supervised;
mod turn_check;
mod under_load;
mod users;
mod voices;
mod waiting;
mod waveform;
