//! Zero-copy STUN message codec.
