//! STUN on 3478 and 3479; the TURN relay comes on top.
