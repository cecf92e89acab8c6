//! Every message that crosses a process or browser border.
