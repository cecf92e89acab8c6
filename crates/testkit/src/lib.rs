//! Development only: virtual network, scripted peer, sound, tidy checks.
