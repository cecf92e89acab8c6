//! What a session needs of a connection: frames in, frames out. Tests use channels.

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use futures_util::{Sink, SinkExt as _, Stream, StreamExt as _};

/// One frame, either way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// A message.
    Text(String),
    /// A protocol ping, or the answer to one: a sign of life.
    Ping,
    /// A message of bytes, which nobody here speaks.
    Binary,
    /// The end.
    Close(Close),
}

/// Why a connection ends (RFC 6455 §7.4.2: 4000 and up are ours).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Close {
    /// The client left.
    Left,
    /// The message was no message of ours, or came too fast.
    Bad,
    /// No valid credential.
    Unauthenticated,
    /// From a page that may not.
    Origin,
    /// No first message in time.
    Silent,
    /// The same session or one too many was opened elsewhere.
    Replaced,
    /// The client reads too slowly.
    Slow,
    /// No sign of life.
    Dead,
    /// This node is being emptied, or has no room.
    Draining,
}

impl Close {
    /// The code on the wire.
    pub(crate) const fn code(self) -> u16 {
        match self {
            Close::Left => 1000,
            Close::Dead => 1001,
            Close::Bad => 4400,
            Close::Unauthenticated => 4401,
            Close::Origin => 4403,
            Close::Silent => 4408,
            Close::Replaced => 4409,
            Close::Slow => 4013,
            Close::Draining => 4503,
        }
    }

    /// Stable word for metrics and the close frame.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Close::Left => "left",
            Close::Dead => "dead",
            Close::Bad => "bad_message",
            Close::Unauthenticated => "unauthenticated",
            Close::Origin => "forbidden_origin",
            Close::Silent => "no_hello",
            Close::Replaced => "replaced",
            Close::Slow => "too_slow",
            Close::Draining => "draining",
        }
    }

    /// Every reason.
    pub(crate) const ALL: [Close; 9] = [
        Close::Left,
        Close::Dead,
        Close::Bad,
        Close::Unauthenticated,
        Close::Origin,
        Close::Silent,
        Close::Replaced,
        Close::Slow,
        Close::Draining,
    ];
}

/// The other end has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gone;

/// Splits a WebSocket into frames out and frames in.
pub(crate) fn split(
    socket: WebSocket,
) -> (
    impl Sink<Frame, Error = Gone> + Unpin,
    impl Stream<Item = Frame> + Unpin,
) {
    let (sink, stream) = socket.split();
    let sink = sink
        .sink_map_err(|_| Gone)
        .with(|frame| std::future::ready(Ok::<_, Gone>(message_of(frame))));
    let stream = stream.map(|received| match received {
        Ok(Message::Text(text)) => Frame::Text(text.as_str().to_owned()),
        Ok(Message::Binary(_)) => Frame::Binary,
        Ok(Message::Ping(_) | Message::Pong(_)) => Frame::Ping,
        // A broken frame, one that is too large, or the end.
        Ok(Message::Close(_)) | Err(_) => Frame::Close(Close::Left),
    });
    (Box::pin(sink), Box::pin(stream))
}

fn message_of(frame: Frame) -> Message {
    match frame {
        Frame::Text(text) => Message::Text(text.into()),
        Frame::Ping => Message::Ping(axum::body::Bytes::new()),
        Frame::Binary => Message::Binary(axum::body::Bytes::new()),
        Frame::Close(close) => Message::Close(Some(CloseFrame {
            code: close.code(),
            reason: Utf8Bytes::from_static(close.word()),
        })),
    }
}
