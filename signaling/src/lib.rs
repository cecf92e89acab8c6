//! The WebSocket endpoint.
