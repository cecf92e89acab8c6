//! What one connection still has to send.
//!
//! Voice that comes late is worth nothing: of media the oldest goes first, by age or by bytes. Answers to requests are
//! never dropped and overtake media; a client that does not even read those is closed.
//!
//! Invariant: once a byte of a message is written, the rest of it follows.

use std::collections::VecDeque;

/// Bytes of media that wait: 200 ms of voice and then some.
/// More: a slow reader hears the past. Less: a key frame of DTLS would not fit.
pub(crate) const MEDIA_BYTES_MAX: usize = 32 * 1024;
/// Milliseconds that media waits: later it is too late for any jitter buffer.
pub(crate) const MEDIA_MS_MAX: u64 = 200;
/// Bytes of answers that wait: more than a hundred, which nobody has outstanding who reads them.
pub(crate) const CONTROL_BYTES_MAX: usize = 16 * 1024;
/// Bytes of whole messages that are written in one go and can no longer be dropped: about one TCP segment of an
/// ordinary line, twice.
const TOGETHER_BYTES_MAX: usize = 3_000;

/// Its client reads no answers any more: close it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overflow;

/// See the top of this file.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// Whole messages on their way, `written` bytes of them with the kernel.
    current: Vec<u8>,
    written: usize,
    control: VecDeque<u8>,
    media: VecDeque<u8>,
    /// Of each message in `media`: when it came, and its bytes.
    frames: VecDeque<(u64, u16)>,
}

impl Outbox {
    /// Adds a packet of media; returns how many older ones were dropped for it.
    pub(crate) fn media(&mut self, now_ms: u64, bytes: &[u8]) -> u64 {
        let Ok(len) = u16::try_from(bytes.len()) else { return 1 };
        let mut dropped = self.drop_late(now_ms);
        while self.media.len() + bytes.len() > MEDIA_BYTES_MAX && self.drop_oldest() {
            dropped += 1;
        }
        self.media.extend(bytes);
        self.frames.push_back((now_ms, len));
        dropped
    }

    /// Adds an answer.
    ///
    /// # Errors
    /// [`Overflow`] at [`CONTROL_BYTES_MAX`]; nothing was added.
    pub(crate) fn control(&mut self, bytes: &[u8]) -> Result<(), Overflow> {
        if self.control.len() + bytes.len() > CONTROL_BYTES_MAX {
            return Err(Overflow);
        }
        self.control.extend(bytes);
        Ok(())
    }

    /// What to write next, empty when there is nothing; adds to `dropped` what came too late.
    pub(crate) fn next(&mut self, now_ms: u64, dropped: &mut u64) -> &[u8] {
        if self.written == self.current.len() {
            self.current.clear();
            self.written = 0;
            *dropped += self.drop_late(now_ms);
            self.current.extend(self.control.drain(..));
            while let Some(&(_, len)) = self.frames.front() {
                let len = usize::from(len);
                if !self.current.is_empty() && self.current.len() + len > TOGETHER_BYTES_MAX {
                    break;
                }
                self.frames.pop_front();
                self.current.extend(self.media.drain(..len));
            }
        }
        self.current.get(self.written..).unwrap_or_default()
    }

    /// So many bytes of what [`Outbox::next`] gave are with the kernel.
    pub(crate) fn written(&mut self, bytes: usize) {
        self.written = (self.written + bytes).min(self.current.len());
    }

    fn drop_late(&mut self, now_ms: u64) -> u64 {
        let mut dropped = 0;
        while let Some(&(since, _)) = self.frames.front()
            && now_ms.saturating_sub(since) > MEDIA_MS_MAX
            && self.drop_oldest()
        {
            dropped += 1;
        }
        dropped
    }

    fn drop_oldest(&mut self) -> bool {
        let Some((_, len)) = self.frames.pop_front() else {
            return false;
        };
        self.media.drain(..usize::from(len));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(outbox: &mut Outbox, now_ms: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            let next = outbox.next(now_ms, &mut 0);
            if next.is_empty() {
                return bytes;
            }
            bytes.extend_from_slice(next);
            let len = next.len();
            outbox.written(len);
        }
    }

    #[test]
    fn answers_overtake_media_but_never_cut_into_a_message() {
        let mut outbox = Outbox::default();
        assert_eq!(outbox.media(0, b"first"), 0);
        assert_eq!(outbox.next(0, &mut 0), b"first");
        outbox.written(2);
        outbox.media(0, b"second");
        outbox.control(b"answer").unwrap();
        assert_eq!(outbox.next(0, &mut 0), b"rst");
        outbox.written(3);
        assert_eq!(all(&mut outbox, 0), b"answersecond");
    }

    #[test]
    fn at_its_limit_in_bytes_the_oldest_media_goes_and_no_answer_does() {
        let mut outbox = Outbox::default();
        outbox.control(b"answer").unwrap();
        for n in 0..MEDIA_BYTES_MAX / 1_024 {
            assert_eq!(outbox.media(0, &[n as u8; 1_024]), 0);
        }
        assert_eq!(outbox.media(0, &[99; 1_024]), 1);
        let sent = all(&mut outbox, 0);
        assert_eq!(sent.len(), 6 + MEDIA_BYTES_MAX);
        assert_eq!((&sent[..6], sent[6], sent[sent.len() - 1]), (&b"answer"[..], 1, 99));
    }

    #[test]
    fn media_that_waited_too_long_is_not_sent() {
        let mut outbox = Outbox::default();
        outbox.media(0, b"old");
        outbox.media(1, b"new");
        assert_eq!(outbox.media(MEDIA_MS_MAX, b"x"), 0, "200 ms are not too long");
        let mut dropped = 0;
        assert_eq!(outbox.next(MEDIA_MS_MAX + 1, &mut dropped), b"newx");
        assert_eq!(dropped, 1);
        assert_eq!(outbox.media(10_000, b"y"), 0, "what is on its way stays whole");
        outbox.written(1);
        assert_eq!(all(&mut outbox, 10_000), b"ewxy");
    }

    #[test]
    fn a_client_that_reads_no_answers_is_told_apart() {
        let mut outbox = Outbox::default();
        for _ in 0..CONTROL_BYTES_MAX / 64 {
            outbox.control(&[7; 64]).unwrap();
        }
        assert_eq!(outbox.control(&[7]), Err(Overflow));
        assert_eq!(all(&mut outbox, 0).len(), CONTROL_BYTES_MAX);
        outbox.control(&[7]).unwrap();
    }

    #[test]
    fn what_is_written_in_one_go_is_bounded() {
        let mut outbox = Outbox::default();
        for _ in 0..30 {
            outbox.media(0, &[1; 200]);
        }
        assert_eq!(outbox.next(0, &mut 0).len(), TOGETHER_BYTES_MAX);
    }
}
