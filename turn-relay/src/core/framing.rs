//! Cuts a stream of bytes into STUN messages and ChannelData, wherever TCP split or glued them.
//!
//! Invariant: what a [`Cutter`] holds never exceeds [`MESSAGE_BYTES_MAX`]; a longer announcement breaks the stream.

use super::Dialect;

/// Longest message on a stream and longest datagram, in bytes: an Ethernet frame's payload in the longest wrapping has
/// room. Higher: more memory per connection. Lower: DTLS flights would not fit.
pub const MESSAGE_BYTES_MAX: usize = 2_048;

/// Bytes before the length of a message is known.
const LENGTH_KNOWN_BYTES: usize = 4;

/// What stands at the front of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// So many bytes have to be there in all before more can be said.
    More(usize),
    /// A whole message.
    Message {
        /// Its bytes: STUN with its header, or ChannelData with its header, without padding.
        len: usize,
        /// Bytes that it takes from the stream: with padding.
        taken: usize,
    },
    /// Neither STUN nor ChannelData, or longer than [`MESSAGE_BYTES_MAX`]: close the stream.
    Broken,
}

/// Looks at the front of a stream.
///
/// Source: RFC 8489 §6.2.2 (STUN frames itself), RFC 8656 §12.5 (ChannelData over a stream is padded to four bytes).
#[must_use]
pub fn cut(bytes: &[u8]) -> Cut {
    cut_of(bytes, Dialect::Rfc8656)
}

/// The same where channels may have other numbers.
#[must_use]
pub fn cut_of(bytes: &[u8], dialect: Dialect) -> Cut {
    let is_channel = |first: u8| dialect.channel_begins_with(first);
    let &[first, _, l0, l1, ..] = bytes else {
        return match bytes.first() {
            Some(0x00..=0x03) | None => Cut::More(LENGTH_KNOWN_BYTES),
            Some(&first) if is_channel(first) => Cut::More(LENGTH_KNOWN_BYTES),
            Some(_) => Cut::Broken,
        };
    };
    let declared = usize::from(u16::from_be_bytes([l0, l1]));
    let (len, taken) = match first {
        0x00..=0x03 if declared.is_multiple_of(4) => (stun::HEADER_BYTES + declared, stun::HEADER_BYTES + declared),
        first if is_channel(first) => (
            stun::CHANNEL_HEADER_BYTES + declared,
            stun::CHANNEL_HEADER_BYTES + declared.next_multiple_of(4),
        ),
        _ => return Cut::Broken,
    };
    match taken {
        taken if taken > MESSAGE_BYTES_MAX => Cut::Broken,
        taken if taken > bytes.len() => Cut::More(taken),
        taken => Cut::Message { len, taken },
    }
}

/// The stream can no longer be cut: close it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stream holds neither STUN nor ChannelData, or a message that is too long")]
pub struct Broken;

/// Collects one connection's bytes and gives them out as messages.
///
/// Use: put bytes with [`Cutter::room`] and [`Cutter::filled`], then call [`Cutter::next`] until it gives `None`.
#[derive(Debug)]
pub struct Cutter {
    dialect: Dialect,
    buffer: Box<[u8]>,
    from: usize,
    to: usize,
}

impl Default for Cutter {
    fn default() -> Cutter {
        Cutter::of(Dialect::default())
    }
}

impl Cutter {
    /// For a stream whose channels may have these numbers.
    #[must_use]
    pub fn of(dialect: Dialect) -> Cutter {
        Cutter {
            dialect,
            buffer: vec![0; MESSAGE_BYTES_MAX].into_boxed_slice(),
            from: 0,
            to: 0,
        }
    }

    /// Where the next bytes of the stream go: never empty after [`Cutter::next`] gave `None`.
    pub fn room(&mut self) -> &mut [u8] {
        self.buffer.copy_within(self.from..self.to, 0);
        self.to -= self.from;
        self.from = 0;
        self.buffer.get_mut(self.to..).unwrap_or_default()
    }

    /// So many bytes were put into [`Cutter::room`].
    pub fn filled(&mut self, bytes: usize) {
        self.to = (self.to + bytes).min(self.buffer.len());
    }

    /// Bytes that wait for the rest of their message.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.to - self.from
    }

    /// The next whole message; `None`: more bytes are needed.
    ///
    /// # Errors
    /// [`Broken`], and again at every later call.
    #[expect(
        clippy::should_implement_trait,
        reason = "a lending iterator: what it gives borrows from it"
    )]
    pub fn next(&mut self) -> Result<Option<&[u8]>, Broken> {
        let bytes = self.buffer.get(self.from..self.to).unwrap_or_default();
        match cut_of(bytes, self.dialect) {
            Cut::More(_) => Ok(None),
            Cut::Broken => Err(Broken),
            Cut::Message { len, taken } => {
                let at = self.from;
                self.from += taken;
                Ok(self.buffer.get(at..at + len))
            }
        }
    }
}
