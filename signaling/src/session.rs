//! One connection from its first message to its end, in either protocol.
//!
//! Decides nothing about the business. The task writes one frame at a time and never waits for a command while it could
//! hear the client; commands are carried out one after another, in the order they came.
//!
//! Invariant: whatever ends the task, the registry hears that this connection is gone. Whoever may not stay does nothing
//! more: what he has asked for and what has not begun is dropped.

use std::collections::VecDeque;
use std::sync::Arc;

use call_model::CallId;
use desk::auth::Seen;
use desk::{Caller, Code, Refused};
use futures_util::{Sink, SinkExt as _, Stream, StreamExt as _, future::BoxFuture};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, timeout};
use wire::call::CallStatus;
use wire::signal::{Probe, SignalError};

use crate::{
    clock, commands,
    compat::{self, Peer, Said},
    credentials::{self, Opened},
    door::Door,
    endpoint::Endpoint,
    limits::{COMMANDS_MAX, HEARTBEAT, HELLO_WITHIN, MESSAGE_BYTES_MAX, Pace, QUALITY, WRITE_WITHIN},
    protocol::{self, Asked, Command, Note},
    pulse::{Dead, Pulse},
    registry::{CallNow, Ends, Key},
    socket::{Close, Frame, Gone},
};

/// Runs one connection and says good-bye.
pub(crate) async fn run(
    endpoint: Endpoint,
    door: Door,
    mut sink: impl Sink<Frame, Error = Gone> + Unpin + Send,
    mut stream: impl Stream<Item = Frame> + Unpin + Send,
) {
    let close = match begin(&endpoint, &door, &mut sink, &mut stream).await {
        Ok((opened, tongue)) => converse(&endpoint, opened, tongue, &mut sink, &mut stream).await,
        Err(close) => close,
    };
    endpoint.metrics.closed(close);
    // The other end may be gone; then there is nobody to tell.
    let _ = write(&mut sink, Frame::Close(close)).await;
}

/// Which protocol a connection speaks.
enum Tongue {
    Ours,
    Guide(Peer),
}

/// The first message, and who sent it.
async fn begin(
    endpoint: &Endpoint,
    door: &Door,
    sink: &mut (impl Sink<Frame, Error = Gone> + Unpin + Send),
    stream: &mut (impl Stream<Item = Frame> + Unpin + Send),
) -> Result<(Opened, Tongue), Close> {
    if !door.allowed {
        return Err(Close::Origin);
    }
    if endpoint.closing.is_cancelled() {
        return Err(Close::Draining);
    }
    // The load generator of a demo opens thousands from this machine.
    let network = door.address.filter(|_| !door.visitor);
    let _silent = endpoint.silent.enter(network).ok_or(Close::Draining)?;
    let first = tokio::select! {
        first = timeout(HELLO_WITHIN, first_text(stream)) => first.map_err(|_| Close::Silent)??,
        () = endpoint.closing.cancelled() => return Err(Close::Draining),
    };
    endpoint.metrics.received.inc();
    if compat::is_join(&first) {
        let (peer, token) = match compat::parse(&first) {
            Ok(Said::Join { peer, token }) => (peer, token),
            Ok(_) => return Err(Close::Bad),
            Err(fault) => return refuse(sink, compat::error(fault.0), Close::Bad).await,
        };
        return match credentials::join(endpoint, door, &peer, token.as_deref()).await {
            Ok(opened) => Ok((opened, Tongue::Guide(Peer::new(peer)))),
            Err(refused) => refuse(sink, compat::error(&compat::word(&refused)), ending(&refused)).await,
        };
    }
    let (reference, hello) = match protocol::parse(&first) {
        Ok(Asked {
            reference,
            command: Command::Hello(hello),
        }) => (reference, hello),
        Ok(asked) => {
            let error = SignalError {
                code: "no_hello".to_owned(),
                message: "The first message must be `hello`.".to_owned(),
                retry_after_seconds: None,
            };
            let note = Note::answer(asked.reference, "error", &error);
            return refuse(sink, note.text(0, clock::now()), Close::Bad).await;
        }
        Err(wrong) => {
            let note = Note::answer(wrong.reference, "error", &wrong.error);
            return refuse(sink, note.text(0, clock::now()), Close::Bad).await;
        }
    };
    match credentials::hello(endpoint, door, hello, reference.clone()).await {
        Ok(opened) => Ok((opened, Tongue::Ours)),
        Err(refused) => {
            let note = Note::refused(reference, &refused);
            refuse(sink, note.text(0, clock::now()), ending(&refused)).await
        }
    }
}

/// The first message that says something.
async fn first_text(stream: &mut (impl Stream<Item = Frame> + Unpin + Send)) -> Result<String, Close> {
    loop {
        match stream.next().await {
            Some(Frame::Text(text)) if text.len() > MESSAGE_BYTES_MAX => return Err(Close::Bad),
            Some(Frame::Text(text)) => return Ok(text),
            Some(Frame::Ping) => {}
            Some(Frame::Binary) => return Err(Close::Bad),
            Some(Frame::Close(_)) | None => return Err(Close::Left),
        }
    }
}

/// Says why before the end.
async fn refuse<T>(
    sink: &mut (impl Sink<Frame, Error = Gone> + Unpin + Send),
    text: String,
    close: Close,
) -> Result<T, Close> {
    write(sink, Frame::Text(text)).await?;
    Err(close)
}

/// How a connection ends whose first message was refused.
const fn ending(refused: &Refused) -> Close {
    match refused.code {
        Code::Unauthenticated | Code::Forbidden => Close::Unauthenticated,
        Code::Validation => Close::Bad,
        // Another try may help.
        _ => Close::Draining,
    }
}

/// Writes one frame, or says why the connection is over.
async fn write(sink: &mut (impl Sink<Frame, Error = Gone> + Unpin + Send), frame: Frame) -> Result<(), Close> {
    match timeout(WRITE_WITHIN, sink.send(frame)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(Gone)) => Err(Close::Left),
        Err(_) => Err(Close::Slow),
    }
}

/// Talks until something ends it, and tells the registry and the desk that the connection is gone.
async fn converse(
    endpoint: &Endpoint,
    opened: Opened,
    tongue: Tongue,
    sink: &mut (impl Sink<Frame, Error = Gone> + Unpin + Send),
    stream: &mut (impl Stream<Item = Frame> + Unpin + Send),
) -> Close {
    let Opened {
        key,
        caller,
        generation,
        mut ends,
        ticket,
        first,
    } = opened;
    let first = std::iter::once(first)
        .chain(std::mem::take(&mut ends.backlog))
        .collect();
    let talk = Talk {
        endpoint: Arc::clone(endpoint),
        key,
        caller: caller.clone(),
        tongue,
        waiting: VecDeque::new(),
        running: None,
        living: None,
        looking: None,
        ticket,
        pace: Pace::new(Instant::now()),
        pulse: Pulse::default(),
    };
    let close = talk.turn(first, ends, sink, stream).await;
    let last = endpoint.sessions().detach(key, generation, Instant::now());
    if let (true, Caller::Staff { staff, .. }) = (last, &caller)
        && let Err(refused) = endpoint.desk.staff_gone(*staff).await
    {
        tracing::debug!(
            code = refused.code.word(),
            "an agent's leaving was not noted; his lease will show it"
        );
    }
    close
}

/// What a client has asked for and what waits for its turn.
enum Job {
    Ours(Asked),
    Guide(Peer, Said),
}

/// One conversation.
struct Talk {
    endpoint: Endpoint,
    key: Key,
    caller: Caller,
    tongue: Tongue,
    waiting: VecDeque<Job>,
    running: Option<BoxFuture<'static, Option<String>>>,
    living: Option<BoxFuture<'static, Result<(), Refused>>>,
    /// Whether the owner may stay.
    looking: Option<BoxFuture<'static, Result<(), Refused>>>,
    /// The ticket that opened the session, until the page is heard.
    ticket: Option<String>,
    pace: Pace,
    pulse: Pulse,
}

/// The outcome of a future that may not be there; then it never comes.
async fn outcome<T>(slot: &mut Option<BoxFuture<'static, T>>) -> T {
    let Some(future) = slot else {
        return std::future::pending().await;
    };
    let value = future.await;
    *slot = None;
    value
}

fn every(period: std::time::Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// The call that a session is in.
fn call_of(ends: &Ends) -> CallNow {
    *ends.call.borrow()
}

impl Talk {
    async fn turn(
        mut self,
        first: Vec<String>,
        mut ends: Ends,
        sink: &mut (impl Sink<Frame, Error = Gone> + Unpin + Send),
        stream: &mut (impl Stream<Item = Frame> + Unpin + Send),
    ) -> Close {
        for text in first {
            if let Err(close) = self.tell(sink, text).await {
                return close;
            }
        }
        let closing = self.endpoint.closing.clone();
        let (mut beat, mut quality) = (every(HEARTBEAT), every(QUALITY));
        loop {
            self.start_next(&ends);
            let done = tokio::select! {
                () = closing.cancelled() => Err(Close::Draining),
                Some(close) = ends.close.recv() => Err(close),
                text = ends.out.recv() => match text {
                    Some(text) => self.tell(sink, text).await,
                    // Another connection took the session over; the reason may lie beside.
                    None => Err(ends.close.try_recv().unwrap_or(Close::Replaced)),
                },
                text = outcome(&mut self.running) => match text {
                    Some(text) => self.tell(sink, text).await,
                    None => Ok(()),
                },
                // What could not be noted is noted with the next sign of life.
                _ = outcome(&mut self.living) => Ok(()),
                stays = outcome(&mut self.looking) => match stays {
                    Err(refused) if refused.code == Code::Unauthenticated => Err(Close::Unauthenticated),
                    // The next beat asks again.
                    Err(_) => Ok(()),
                    Ok(()) => {
                        self.pulse.looked();
                        Ok(())
                    }
                },
                frame = stream.next(), if self.waiting.len() < COMMANDS_MAX => match self.hear(frame, &ends) {
                    Ok(Some(text)) => self.tell(sink, text).await,
                    Ok(None) => Ok(()),
                    Err(close) => Err(close),
                },
                _ = beat.tick() => self.beat(sink).await,
                _ = quality.tick() => match self.quality(&ends) {
                    Some(text) => self.tell(sink, text).await,
                    None => Ok(()),
                },
            };
            if let Err(close) = done {
                self.finish(close, &mut ends).await;
                return close;
            }
        }
    }

    /// Carries out what was heard already: a page that says "hang up" and leaves means it. Each command has a limit.
    /// Of somebody who may not stay nothing more is begun, also when that turns out only now.
    async fn finish(&mut self, close: Close, ends: &mut Ends) {
        let mut decided = Some(close);
        loop {
            while let Some(close) = decided.take().or_else(|| ends.close.try_recv().ok()) {
                if close == Close::Unauthenticated {
                    self.waiting.clear();
                }
            }
            self.start_next(ends);
            if self.running.is_none() {
                return;
            }
            // The reply has nobody to go to any more.
            let _ = outcome(&mut self.running).await;
        }
    }

    /// Writes one message.
    async fn tell(
        &mut self,
        sink: &mut (impl Sink<Frame, Error = Gone> + Unpin + Send),
        text: String,
    ) -> Result<(), Close> {
        self.endpoint.metrics.sent.inc();
        write(sink, Frame::Text(text)).await
    }

    /// Begins the next command when none is running; none while the end is decided and its reason is still to be read.
    fn start_next(&mut self, ends: &Ends) {
        if self.running.is_some() || !ends.close.is_empty() {
            return;
        }
        let (endpoint, caller) = (Arc::clone(&self.endpoint), self.caller.clone());
        self.running = match self.waiting.pop_front() {
            None => None,
            Some(Job::Ours(asked)) => Some(Box::pin(async move {
                let note = commands::perform(endpoint, caller, asked).await?;
                Some(note.text(0, clock::now()))
            })),
            Some(Job::Guide(peer, said)) => {
                let call = call_of(ends).map(|(call, _)| call);
                Some(Box::pin(compat::perform(endpoint, self.key, caller, call, peer, said)))
            }
        };
    }

    /// One frame of the client; the text is what he is answered at once.
    fn hear(&mut self, frame: Option<Frame>, ends: &Ends) -> Result<Option<String>, Close> {
        let text = match frame {
            None | Some(Frame::Close(_)) => return Err(Close::Left),
            Some(Frame::Binary) => return Err(Close::Bad),
            Some(Frame::Ping) => {
                self.heard();
                // The guide's clients have no script that could answer a probe.
                if matches!(self.tongue, Tongue::Guide(_)) {
                    self.live(ends, None);
                }
                return Ok(None);
            }
            Some(Frame::Text(text)) => text,
        };
        self.endpoint.metrics.received.inc();
        self.heard();
        if text.len() > MESSAGE_BYTES_MAX || !self.pace.take(Instant::now()) {
            return Err(Close::Bad);
        }
        match &self.tongue {
            Tongue::Ours => Ok(self.hear_ours(&text, ends)),
            Tongue::Guide(peer) => match compat::parse(&text) {
                Ok(said) => {
                    self.pulse.see(Seen::Use);
                    self.waiting.push_back(Job::Guide(peer.clone(), said));
                    Ok(None)
                }
                Err(fault) => Ok(Some(compat::error(fault.0))),
            },
        }
    }

    fn hear_ours(&mut self, text: &str, ends: &Ends) -> Option<String> {
        match protocol::parse(text) {
            Err(wrong) => Some(Note::answer(wrong.reference, "error", &wrong.error).text(0, clock::now())),
            Ok(Asked {
                command: Command::Pong(probe),
                ..
            }) => {
                let rtt_ms = self.pulse.answered(&probe.nonce, Instant::now());
                self.live(ends, rtt_ms);
                None
            }
            Ok(asked) => {
                self.pulse.see(Seen::Use);
                self.waiting.push_back(Job::Ours(asked));
                None
            }
        }
    }

    /// The other end lives. It answers what came after the welcome, so it has the welcome, and the ticket has done its work.
    fn heard(&mut self) {
        self.pulse.heard();
        if let Some(ticket) = self.ticket.take() {
            // One that has run out is as good as used.
            let _ = self.endpoint.desk.auth().ticket(&ticket);
        }
    }

    /// The page itself is there: not only its connection, which answers pings for a frozen page too.
    fn live(&mut self, ends: &Ends, rtt_ms: Option<u32>) {
        self.pulse.see(Seen::Page);
        if self.living.is_some() {
            return;
        }
        let waiting = [CallStatus::Initiated, CallStatus::Queued, CallStatus::Ringing];
        let is_waiting = call_of(ends).is_some_and(|(_, status)| waiting.contains(&status));
        let (endpoint, caller) = (Arc::clone(&self.endpoint), self.caller.clone());
        self.living = Some(Box::pin(credentials::alive(endpoint, caller, is_waiting, rtt_ms)));
    }

    /// Asks whether the owner may stay when it is time to.
    fn look(&mut self) {
        if self.looking.is_some() {
            return;
        }
        if let Some(seen) = self.pulse.look_due() {
            let (endpoint, caller) = (Arc::clone(&self.endpoint), self.caller.clone());
            self.looking = Some(Box::pin(async move { endpoint.desk.auth().still(&caller, seen).await }));
        }
    }

    async fn beat(&mut self, sink: &mut (impl Sink<Frame, Error = Gone> + Unpin + Send)) -> Result<(), Close> {
        let listened_to = self.waiting.len() < COMMANDS_MAX;
        self.pulse.beat(listened_to).map_err(|Dead| Close::Dead)?;
        self.look();
        write(sink, Frame::Ping).await?;
        if matches!(self.tongue, Tongue::Guide(_)) {
            return Ok(());
        }
        let nonce = self.pulse.probe(Instant::now());
        self.tell(sink, Note::of("probe.ping", &Probe { nonce }).text(0, clock::now()))
            .await
    }

    /// The last second of the call's sound.
    fn quality(&self, ends: &Ends) -> Option<String> {
        let (call, status): (CallId, CallStatus) = call_of(ends)?;
        let sounds = matches!(status, CallStatus::Connecting | CallStatus::Answered);
        if !sounds || matches!(self.tongue, Tongue::Guide(_)) {
            return None;
        }
        Some(commands::quality(&self.endpoint, call)?.text(0, clock::now()))
    }
}
