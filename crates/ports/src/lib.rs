//! What the parts ask of one another.
