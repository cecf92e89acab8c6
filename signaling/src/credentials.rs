//! Who opened a socket, and where his session stands: the answer to `hello`, and the one to the guide's `join`.

use call_model::CallId;
use desk::auth::{Seen, token::sha256};
use desk::{Caller, Code, Refused};
use tokio::time::Instant;
use uuid::Uuid;
use wire::signal::{Hello, Snapshot, Welcome};

use crate::{
    clock,
    door::Door,
    endpoint::Endpoint,
    protocol::{Note, bits},
    registry::{CallNow, Digest, Ends, Key, NoEntry, Person, Ticket},
};

/// A session with its connection.
pub(crate) struct Opened {
    pub(crate) key: Key,
    pub(crate) caller: Caller,
    pub(crate) generation: u64,
    pub(crate) ends: Ends,
    /// The ticket that opened it, until the page is heard.
    pub(crate) ticket: Option<String>,
    /// What the client is told first.
    pub(crate) first: String,
}

/// Whose session it is; services and nameless visitors have none in our own protocol.
fn person(caller: &Caller) -> Result<Person, Refused> {
    match caller {
        Caller::Customer { user_id, .. } => Ok(Person::Customer(user_id.clone())),
        Caller::Staff { staff, .. } => Ok(Person::Staff(*staff)),
        Caller::Service { .. } | Caller::Demo => Err(Refused::new(Code::Unauthenticated)),
    }
}

/// Somebody whose credential was good.
struct Known {
    caller: Caller,
    ticket: Option<String>,
}

impl Known {
    fn without_ticket(caller: Caller) -> Self {
        Known { caller, ticket: None }
    }

    /// Opens a session for him.
    fn open(&self, endpoint: &Endpoint, person: Person, secret: Option<Digest>) -> Result<Key, Refused> {
        let now = Instant::now();
        let mut sessions = endpoint.sessions();
        let Some(ticket) = &self.ticket else {
            return sessions
                .open(person, self.caller.clone(), secret, now)
                .map_err(no_entry);
        };
        let shown = Ticket {
            digest: sha256(ticket.as_bytes()),
            text: ticket.clone(),
        };
        // Once more while nobody else can open one: of two who show a ticket the first that is heard has it.
        endpoint.desk.auth().ticket_of(ticket)?;
        sessions
            .open_by_ticket(shown, person, self.caller.clone(), secret, now)
            .map_err(no_entry)
    }
}

/// Who it is: the token counts before the cookie of the console, and that one before the pass of a call.
async fn identify(endpoint: &Endpoint, door: &Door, token: Option<&str>) -> Result<Known, Refused> {
    let auth = endpoint.desk.auth();
    if let Some(token) = token {
        let (caller, call) = auth.hello(token).await?;
        // Only a ticket speaks for a call.
        let ticket = call.map(|_| token.to_owned());
        return Ok(Known { caller, ticket });
    }
    by_cookie(endpoint, door).await.map(Known::without_ticket)
}

/// Who the cookies say it is.
async fn by_cookie(endpoint: &Endpoint, door: &Door) -> Result<Caller, Refused> {
    let auth = endpoint.desk.auth();
    if let Some(cookie) = &door.staff {
        match auth.staff_session(cookie).await {
            // A session that has run out is as good as none.
            Err(refused) if refused.code == Code::Unauthenticated => {}
            known => return known,
        }
    }
    match &door.pass {
        Some(pass) => auth.pass(pass).map(|(caller, _)| caller),
        None => Err(Refused::new(Code::Unauthenticated)),
    }
}

/// The call of a snapshot.
fn call_of(snapshot: &Snapshot) -> CallNow {
    let call = snapshot.call.as_ref()?;
    Some((CallId(bits(call.call_id)), call.status))
}

/// No room for another session.
fn no_entry(refusal: NoEntry) -> Refused {
    match refusal {
        NoEntry::Full => Refused::because(Code::Draining, "too many sessions"),
        NoEntry::PeerTaken => Refused::because(Code::Validation, "peer_taken"),
    }
}

/// 256 random bits of the operating system, less the ten that say they are UUIDs.
fn fresh_secret() -> String {
    format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())
}

/// Answers `hello`: an earlier session goes on, or a new one begins.
///
/// # Errors
/// `unauthenticated`, `draining` without room, `database`.
pub(crate) async fn hello(
    endpoint: &Endpoint,
    door: &Door,
    hello: Hello,
    reference: Option<String>,
) -> Result<Opened, Refused> {
    if let Some(resume) = &hello.resume {
        let found = endpoint
            .sessions()
            .resume(sha256(resume.session.as_bytes()), resume.last_seq);
        if let Some(found) = found {
            if let Some(ticket) = &found.ticket {
                // Used up before, or run out: all the same.
                let _ = endpoint.desk.auth().ticket(ticket);
            }
            if let Err(refused) = endpoint.desk.auth().still(&found.caller, Seen::Page).await {
                if refused.code == Code::Unauthenticated {
                    endpoint.sessions().remove(found.key);
                }
                return Err(refused);
            }
            endpoint.metrics.resumed.inc();
            let session = resume.session.clone();
            return connect(endpoint, found.key, found.caller, session, found.from, reference).await;
        }
    }
    let known = identify(endpoint, door, hello.token.as_deref()).await?;
    let secret = fresh_secret();
    let key = known.open(endpoint, person(&known.caller)?, Some(sha256(secret.as_bytes())))?;
    let opened = connect(endpoint, key, known.caller, secret, None, reference).await;
    // Nobody could ever come back for a session that nobody was told of.
    let opened = opened.inspect_err(|_| endpoint.sessions().remove(key))?;
    Ok(Opened {
        ticket: known.ticket,
        ..opened
    })
}

/// Connects a session. `from`: the client's last number, when nothing is missing since.
async fn connect(
    endpoint: &Endpoint,
    key: Key,
    caller: Caller,
    session: String,
    from: Option<u64>,
    reference: Option<String>,
) -> Result<Opened, Refused> {
    // The number is taken before the snapshot is read: what happens meanwhile is heard twice rather than never.
    let seq = from.unwrap_or_else(|| endpoint.sessions().last_seq(key));
    let snapshot = match from {
        Some(_) => None,
        None => Some(endpoint.desk.snapshot(&caller).await?),
    };
    let server_time = endpoint.desk.now().await;
    let mut sessions = endpoint.sessions();
    if let Some(snapshot) = &snapshot {
        sessions.set_call(key, call_of(snapshot), Instant::now());
    }
    let welcome = Welcome {
        session,
        resumed: from.is_some(),
        server_time: server_time.into(),
        snapshot,
    };
    let first = Note::answer(reference, "welcome", &welcome).text(seq, clock::now());
    // Somebody with too many sessions may have lost this one meanwhile.
    let (generation, ends) = sessions.connect(key, seq).ok_or(Refused::new(Code::Unauthenticated))?;
    Ok(Opened {
        key,
        caller,
        generation,
        ends,
        ticket: None,
        first,
    })
}

/// Answers the guide's `join`: the credential of its `token`, of a cookie, or none at all for a demo's visitor.
///
/// # Errors
/// `unauthenticated`, `validation` for a name that is somebody else's, `draining` without room, `database`.
pub(crate) async fn join(endpoint: &Endpoint, door: &Door, peer: &str, token: Option<&str>) -> Result<Opened, Refused> {
    let (known, person) = match identify(endpoint, door, token).await {
        Ok(known) => {
            let person = person(&known.caller)?;
            (known, person)
        }
        Err(refused) if refused.code == Code::Unauthenticated && token.is_none() && door.visitor => {
            (Known::without_ticket(Caller::Demo), Person::Visitor)
        }
        Err(refused) => return Err(refused),
    };
    let key = known.open(endpoint, person, None)?;
    let named = async {
        let snapshot = endpoint.desk.snapshot(&known.caller).await?;
        let mut sessions = endpoint.sessions();
        sessions.set_call(key, call_of(&snapshot), Instant::now());
        sessions.join(key, peer).map_err(no_entry)?;
        sessions.connect(key, 0).ok_or(Refused::new(Code::Unauthenticated))
    };
    let named: Result<(u64, Ends), Refused> = named.await;
    let (generation, ends) = named.inspect_err(|_| endpoint.sessions().remove(key))?;
    Ok(Opened {
        key,
        caller: known.caller,
        generation,
        ends,
        ticket: known.ticket,
        first: serde_json::json!({ "type": "joined", "peerId": peer }).to_string(),
    })
}

/// A page is there: an agent may be rung, a waiting customer keeps his place.
pub(crate) async fn alive(
    endpoint: Endpoint,
    caller: Caller,
    is_waiting: bool,
    rtt_ms: Option<u32>,
) -> Result<(), Refused> {
    match &caller {
        Caller::Staff { staff, .. } => endpoint.desk.staff_alive(*staff, rtt_ms).await,
        Caller::Customer { user_id, .. } if is_waiting => endpoint.desk.customer_alive(user_id).await,
        Caller::Customer { .. } | Caller::Service { .. } | Caller::Demo => Ok(()),
    }
}
