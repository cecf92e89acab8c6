//! The sessions of this node: who they are, what they have been told, how to reach them.
//!
//! A session outlives its connection, so that a page that comes back hears what it missed. Nothing here waits: sending
//! is trying, and who does not take his messages is told to come back.
//!
//! Invariant: an event that is kept has the next number of its session, whether somebody is connected or not.

use std::collections::{HashMap, VecDeque};

use call_model::{CallId, StaffId, Timestamp, UserId};
use desk::{Caller, HubEvent};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use wire::call::CallStatus;

use crate::{
    limits::{AFTER_CALL, DETACHED, KEPT_EVENTS_MAX, OUTBOUND_MESSAGES_MAX, SESSIONS_MAX, SOCKETS_PER_PERSON_MAX},
    protocol::Note,
    socket::Close,
};

/// Number of a session within this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key(u64);

/// SHA-256 of a session's secret.
pub(crate) type Digest = [u8; 32];

/// Whose events a session hears.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Person {
    Customer(UserId),
    Staff(StaffId),
    /// The visitor of a demo and his other sockets: heard by each other only.
    Visitor,
}

/// A call and where it stands, as far as the session was told.
pub(crate) type CallNow = Option<(CallId, CallStatus)>;

/// A connection's ends, as the registry holds them.
struct Line {
    out: mpsc::Sender<String>,
    close: mpsc::Sender<Close>,
}

/// A connection's ends, as its task holds them.
pub(crate) struct Ends {
    pub(crate) out: mpsc::Receiver<String>,
    pub(crate) close: mpsc::Receiver<Close>,
    pub(crate) call: watch::Receiver<CallNow>,
    /// What the session must hear first.
    pub(crate) backlog: Vec<String>,
}

/// One session.
struct Entry {
    person: Person,
    caller: Caller,
    secret: Option<Digest>,
    /// The ticket that opened it, until its page is known to have heard of the session.
    ticket: Option<Ticket>,
    /// Name in the guide's protocol; such a session hears that protocol's form.
    peer: Option<String>,
    seq: u64,
    kept: VecDeque<(u64, String)>,
    line: Option<Line>,
    /// Grows with every connection, so that an old one cannot close a new one.
    generation: u64,
    detached_at: Option<Instant>,
    over_at: Option<Instant>,
    call: watch::Sender<CallNow>,
}

/// Where an earlier session stands.
pub(crate) struct Resumed {
    pub(crate) key: Key,
    pub(crate) caller: Caller,
    /// A ticket that is to be used up now: whoever resumes has heard of the session that it opened.
    pub(crate) ticket: Option<String>,
    /// The client's last number, when nothing is missing since; else it needs a snapshot.
    pub(crate) from: Option<u64>,
}

/// What opened a session once and must not open another. Not printable.
pub(crate) struct Ticket {
    pub(crate) digest: Digest,
    pub(crate) text: String,
}

/// No room, or the name is somebody else's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoEntry {
    Full,
    PeerTaken,
}

/// A leg grant that is to be sent because a call was accepted.
#[derive(Clone, Debug)]
pub(crate) struct GrantDue {
    pub(crate) key: Key,
    pub(crate) caller: Caller,
    pub(crate) call: CallId,
}

/// All sessions.
#[derive(Default)]
pub(crate) struct Sessions {
    next: u64,
    entries: HashMap<Key, Entry>,
    by_person: HashMap<Person, Vec<Key>>,
    by_secret: HashMap<Digest, Key>,
    by_peer: HashMap<String, Vec<Key>>,
}

impl Sessions {
    /// A new session; nobody is connected yet, but its events are kept from now on.
    pub(crate) fn open(
        &mut self,
        person: Person,
        caller: Caller,
        secret: Option<Digest>,
        now: Instant,
    ) -> Result<Key, NoEntry> {
        if self.entries.len() >= SESSIONS_MAX {
            self.sweep(now);
        }
        if self.entries.len() >= SESSIONS_MAX {
            return Err(NoEntry::Full);
        }
        self.make_room(&person);
        self.next += 1;
        let key = Key(self.next);
        let entry = Entry {
            person: person.clone(),
            caller,
            secret,
            ticket: None,
            peer: None,
            seq: 0,
            kept: VecDeque::new(),
            line: None,
            generation: 0,
            detached_at: Some(now),
            over_at: None,
            call: watch::Sender::new(None),
        };
        self.entries.insert(key, entry);
        self.by_person.entry(person).or_default().push(key);
        if let Some(secret) = secret {
            self.by_secret.insert(secret, key);
        }
        Ok(key)
    }

    /// The same by a ticket. An earlier session of that ticket ends: its page has said nothing, or the ticket would be
    /// used up, so it may never have heard that it has one.
    pub(crate) fn open_by_ticket(
        &mut self,
        ticket: Ticket,
        person: Person,
        caller: Caller,
        secret: Option<Digest>,
        now: Instant,
    ) -> Result<Key, NoEntry> {
        let by_it = |key: &Key| {
            let shown = self.entries.get(key).and_then(|entry| entry.ticket.as_ref());
            shown.is_some_and(|shown| shown.digest == ticket.digest)
        };
        if let Some(earlier) = self.keys_of(&person).into_iter().find(by_it) {
            self.hang_up(earlier, Close::Replaced);
            self.remove(earlier);
        }
        let key = self.open(person, caller, secret, now)?;
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.ticket = Some(ticket);
        }
        Ok(key)
    }

    /// Makes room when a person has one session too many: the oldest goes of those whose page has left, and only without
    /// such the oldest of all. Visitors of a demo are many people.
    fn make_room(&mut self, person: &Person) {
        if *person == Person::Visitor {
            return;
        }
        while let Some(keys) = self
            .by_person
            .get(person)
            .filter(|keys| keys.len() >= SOCKETS_PER_PERSON_MAX)
        {
            let left = |key: &&Key| self.entries.get(key).is_some_and(Entry::has_left);
            let goes = *keys.iter().find(left).unwrap_or(&keys[0]);
            self.hang_up(goes, Close::Replaced);
            self.remove(goes);
        }
    }

    /// Finds an earlier session by its secret.
    pub(crate) fn resume(&mut self, secret: Digest, last_seq: u64) -> Option<Resumed> {
        let key = *self.by_secret.get(&secret)?;
        let entry = self.entries.get_mut(&key)?;
        // It may have reconnected before the old connection was found dead.
        if let Some(line) = entry.line.take() {
            let _ = line.close.try_send(Close::Replaced);
        }
        let first_kept = entry.kept.front().map_or(entry.seq + 1, |(seq, _)| *seq);
        let whole = last_seq <= entry.seq && last_seq + 1 >= first_kept;
        Some(Resumed {
            key,
            caller: entry.caller.clone(),
            ticket: entry.ticket.take().map(|ticket| ticket.text),
            from: whole.then_some(last_seq),
        })
    }

    /// The number of the last kept event.
    pub(crate) fn last_seq(&self, key: Key) -> u64 {
        self.entries.get(&key).map_or(0, |entry| entry.seq)
    }

    /// Connects: what was kept after `from` comes first, everything later through the line.
    pub(crate) fn connect(&mut self, key: Key, from: u64) -> Option<(u64, Ends)> {
        let entry = self.entries.get_mut(&key)?;
        let (out, out_end) = mpsc::channel(OUTBOUND_MESSAGES_MAX);
        let (close, close_end) = mpsc::channel(1);
        entry.line = Some(Line { out, close });
        entry.generation += 1;
        entry.detached_at = None;
        let backlog = entry
            .kept
            .iter()
            .filter(|(seq, _)| *seq > from)
            .map(|(_, text)| text.clone())
            .collect();
        let ends = Ends {
            out: out_end,
            close: close_end,
            call: entry.call.subscribe(),
            backlog,
        };
        Some((entry.generation, ends))
    }

    /// The connection of `generation` is gone. True when its person has no connection left.
    pub(crate) fn detach(&mut self, key: Key, generation: u64, now: Instant) -> bool {
        let Some(entry) = self
            .entries
            .get_mut(&key)
            .filter(|entry| entry.generation == generation)
        else {
            return false;
        };
        entry.line = None;
        entry.detached_at = Some(now);
        let person = entry.person.clone();
        if entry.peer.is_some() {
            // The guide's protocol knows no resume.
            self.remove(key);
        }
        let keys = self.by_person.get(&person).map_or(&[][..], Vec::as_slice);
        !keys
            .iter()
            .any(|key| self.entries.get(key).is_some_and(|entry| entry.line.is_some()))
    }

    /// Ends a session for good.
    pub(crate) fn remove(&mut self, key: Key) {
        let Some(entry) = self.entries.remove(&key) else {
            return;
        };
        if let Some(secret) = entry.secret {
            self.by_secret.remove(&secret);
        }
        forget(&mut self.by_person, &entry.person, key);
        if let Some(peer) = entry.peer {
            forget(&mut self.by_peer, &peer, key);
        }
    }

    /// Removes what nobody will come back for.
    pub(crate) fn sweep(&mut self, now: Instant) {
        let is_over = |entry: &Entry| {
            let Some(detached) = entry.detached_at else {
                return false;
            };
            let ended = entry
                .over_at
                .is_some_and(|over| now.saturating_duration_since(over) > AFTER_CALL);
            ended || now.saturating_duration_since(detached) > DETACHED
        };
        let dead: Vec<Key> = self
            .entries
            .iter()
            .filter(|(_, entry)| is_over(entry))
            .map(|(key, _)| *key)
            .collect();
        for key in dead {
            self.remove(key);
        }
    }

    /// What is known of the session's call, from a snapshot.
    pub(crate) fn set_call(&mut self, key: Key, call: CallNow, now: Instant) {
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.note_call(call, now);
        }
    }

    /// Tells an event to whom it concerns. Returns the grants that are due because of it.
    pub(crate) fn tell(&mut self, event: &HubEvent, at: Timestamp, now: Instant) -> Vec<GrantDue> {
        let keys: Vec<Key> = match &event.audience {
            desk::Audience::User(user) => self.keys_of(&Person::Customer(user.clone())),
            desk::Audience::Staff(staff) => self.keys_of(&Person::Staff(*staff)),
            desk::Audience::AllStaff => {
                let staff = self
                    .by_person
                    .iter()
                    .filter(|(person, _)| matches!(person, Person::Staff(_)));
                staff.flat_map(|(_, keys)| keys.iter().copied()).collect()
            }
        };
        let told = call_of(event);
        let mut due = Vec::new();
        for key in keys {
            let Some(entry) = self.entries.get_mut(&key) else {
                continue;
            };
            let before = *entry.call.borrow();
            let call = told.filter(|_| entry.takes_part(event));
            if told.is_some() {
                entry.note_call(call, now);
            }
            entry.push(event, at);
            if let Some((id, CallStatus::Connecting)) = call
                && before != call
                && entry.line.is_some()
                && entry.peer.is_none()
            {
                due.push(GrantDue {
                    key,
                    caller: entry.caller.clone(),
                    call: id,
                });
            }
        }
        due
    }

    /// Sends one message that is not kept.
    pub(crate) fn send(&mut self, key: Key, text: String) {
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.send(text);
        }
    }

    /// Events were lost on the way here: every session must draw everything anew.
    pub(crate) fn all_missed(&mut self) {
        for entry in self.entries.values_mut() {
            entry.kept.clear();
            // A number that nobody was told makes every resume a gap.
            entry.seq += 1;
            if let Some(line) = &entry.line {
                let _ = line.close.try_send(Close::Slow);
            }
        }
    }

    /// Ends one connection.
    pub(crate) fn hang_up(&mut self, key: Key, close: Close) {
        if let Some(line) = self.entries.get_mut(&key).and_then(|entry| entry.line.take()) {
            let _ = line.close.try_send(close);
        }
    }

    /// Ends a session whose owner may not go on in it.
    pub(crate) fn sign_out(&mut self, key: Key) {
        if self.entries.get(&key).is_some_and(|entry| entry.line.is_some()) {
            // Its connection takes leave as usual; whoever resumes it is looked at.
            self.hang_up(key, Close::Unauthenticated);
        } else {
            self.remove(key);
        }
    }

    /// The sessions of a person, oldest first.
    pub(crate) fn of(&self, person: &Person) -> Vec<(Key, Caller)> {
        let keys = self.keys_of(person).into_iter();
        keys.filter_map(|key| Some((key, self.entries.get(&key)?.caller.clone())))
            .collect()
    }

    /// Gives a session a name in the guide's protocol. The same person may take his own name again.
    pub(crate) fn join(&mut self, key: Key, peer: &str) -> Result<(), NoEntry> {
        let Some(me) = self.entries.get(&key) else {
            return Err(NoEntry::Full);
        };
        let person = me.person.clone();
        let rivals = self.by_peer.get(peer).map_or(&[][..], Vec::as_slice);
        let taken = rivals.iter().filter(|rival| **rival != key).any(|rival| {
            self.entries
                .get(rival)
                .is_some_and(|rival| rival.person != person && same_room(me, rival))
        });
        if taken {
            return Err(NoEntry::PeerTaken);
        }
        if let Some(entry) = self.entries.get_mut(&key) {
            if let Some(old) = entry.peer.replace(peer.to_owned()) {
                forget(&mut self.by_peer, &old, key);
            }
            self.by_peer.entry(peer.to_owned()).or_default().push(key);
        }
        Ok(())
    }

    /// The session that `peer` is for `me`: the newest of that name in the same call.
    pub(crate) fn find_peer(&self, me: Key, peer: &str) -> Option<Key> {
        let mine = self.entries.get(&me)?;
        let keys = self.by_peer.get(peer)?;
        keys.iter().rev().copied().find(|key| {
            *key != me
                && self
                    .entries
                    .get(key)
                    .is_some_and(|entry| entry.line.is_some() && same_room(mine, entry))
        })
    }

    /// (sessions, of which connected).
    pub(crate) fn count(&self) -> (usize, usize) {
        let connected = self.entries.values().filter(|entry| entry.line.is_some()).count();
        (self.entries.len(), connected)
    }

    fn keys_of(&self, person: &Person) -> Vec<Key> {
        self.by_person.get(person).cloned().unwrap_or_default()
    }
}

impl Entry {
    /// Whether its page was there once and is not any more; a session that is being opened has not left.
    fn has_left(&self) -> bool {
        self.generation > 0 && self.detached_at.is_some()
    }

    /// Whether the call of an event is the person's own: an agent is told once more of a call that another one has by
    /// now, and a colleague of one in which his part is over. Then nothing of its sound concerns him.
    fn takes_part(&self, event: &HubEvent) -> bool {
        let Person::Staff(StaffId(me)) = self.person else {
            return true;
        };
        let id = |value: Option<&serde_json::Value>| -> Option<uuid::Uuid> {
            value.and_then(|value| value.as_str()).and_then(|id| id.parse().ok())
        };
        let call = event.data.get("call");
        let agent = id(call.and_then(|call| call.get("agentId")));
        let partner = id(call.and_then(|call| call.get("consult")?.get("staffId")));
        agent.is_none() || [agent, partner].contains(&Some(uuid::Uuid::from_u128(me)))
    }

    /// Keeps and sends an event. One without a number is a state that is only shown.
    fn push(&mut self, event: &HubEvent, at: Timestamp) {
        if self.peer.is_some() {
            let text = serde_json::json!({ "type": event.kind, "from": "sfu", "data": event.data });
            return self.send(text.to_string());
        }
        let note = Note {
            kind: event.kind.clone(),
            data: event.data.clone(),
            reference: None,
        };
        if event.id == 0 {
            return self.send(note.text(0, at));
        }
        self.seq += 1;
        let text = note.text(self.seq, at);
        if self.kept.len() == KEPT_EVENTS_MAX {
            self.kept.pop_front();
        }
        self.kept.push_back((self.seq, text.clone()));
        self.send(text);
    }

    /// Tries to send; who is full is told to come back.
    fn send(&mut self, text: String) {
        let Some(line) = &self.line else {
            return;
        };
        if line.out.try_send(text).is_err() {
            let _ = line.close.try_send(Close::Slow);
            self.line = None;
        }
    }

    fn note_call(&mut self, call: CallNow, now: Instant) {
        let over = matches!(
            call,
            Some((_, CallStatus::Completed | CallStatus::Abandoned | CallStatus::Failed))
        );
        self.over_at = (over && matches!(self.person, Person::Customer(_))).then_some(now);
        self.call.send_if_modified(|held| std::mem::replace(held, call) != call);
    }
}

/// Two sessions of the guide's protocol hear one another only within one call; a demo's visitors are in one room.
fn same_room(a: &Entry, b: &Entry) -> bool {
    let visitors = a.person == Person::Visitor && b.person == Person::Visitor;
    let call = |entry: &Entry| entry.call.borrow().map(|(call, _)| call);
    visitors || (call(a).is_some() && call(a) == call(b))
}

/// The call of an event that carries one.
fn call_of(event: &HubEvent) -> CallNow {
    let call = event.data.get("call")?;
    let id: uuid::Uuid = serde_json::from_value(call.get("callId")?.clone()).ok()?;
    let status: CallStatus = serde_json::from_value(call.get("status")?.clone()).ok()?;
    Some((CallId(id.as_u128()), status))
}

/// Takes one key out of an index.
fn forget<K: std::hash::Hash + Eq>(index: &mut HashMap<K, Vec<Key>>, at: &K, key: Key) {
    if let Some(keys) = index.get_mut(at) {
        keys.retain(|one| *one != key);
        if keys.is_empty() {
            index.remove(at);
        }
    }
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
