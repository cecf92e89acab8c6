//! Pure SFU engine: legs, rooms, forwarding, taps, quality.
