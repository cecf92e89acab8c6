//! Sound that can be judged: known signals, and how much of them arrived.

pub mod compare;
pub mod signal;
pub mod wav;
