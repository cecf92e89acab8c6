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

impl From<axum::Error> for Gone {
    fn from(_: axum::Error) -> Self {
        Self
    }
}

/// Splits a WebSocket into frames out and frames in.
pub(crate) fn split(
    socket: WebSocket,
) -> (
    impl Sink<Frame, Error = Gone> + Unpin,
    impl Stream<Item = Frame> + Unpin,
) {
    let (sink, stream) = socket.split();
    let stream = stream.map(|received| match received {
        Ok(Message::Text(text)) => Frame::Text(text.as_str().to_owned()),
        Ok(Message::Binary(_)) => Frame::Binary,
        Ok(Message::Ping(_) | Message::Pong(_)) => Frame::Ping,
        // A broken frame, one that is too large, or the end.
        Ok(Message::Close(_)) | Err(_) => Frame::Close(Close::Left),
    });
    (Box::pin(taking_frames(sink)), Box::pin(stream))
}

/// A sink of frames over one of messages. It may fail again and again: the good-bye is tried after a write that failed.
/// (`sink_map_err` panics at a second failure.)
fn taking_frames<S: Sink<Message, Error = axum::Error>>(sink: S) -> impl Sink<Frame, Error = Gone> {
    sink.with(|frame| std::future::ready(Ok::<_, Gone>(message_of(frame))))
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    /// Takes everything and delivers nothing.
    struct Broken;

    impl Sink<Message> for Broken {
        type Error = axum::Error;

        fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), axum::Error>> {
            Poll::Ready(Ok(()))
        }

        fn start_send(self: Pin<&mut Self>, _: Message) -> Result<(), axum::Error> {
            Ok(())
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), axum::Error>> {
            Poll::Ready(Err(axum::Error::new("gone")))
        }

        fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), axum::Error>> {
            self.poll_flush(context)
        }
    }

    #[tokio::test]
    async fn a_connection_that_is_gone_is_gone_for_every_frame_after_it() {
        let mut sink = Box::pin(taking_frames(Broken));
        for frame in [Frame::Ping, Frame::Close(Close::Left), Frame::Close(Close::Left)] {
            assert_eq!(sink.send(frame).await, Err(Gone));
        }
    }
}
