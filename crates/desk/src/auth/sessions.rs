//! Turns a credential into a caller: the door of API and signalling.
//!
//! Never says why a credential was refused; the reason goes to the log as a word, without the credential.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use call_model::{CallId, Span, StaffId, Timestamp, UserId};
use serde_json::json;

use super::customers::CustomerTokens;
use super::passwords::{PasswordFault, Passwords};
use super::service_keys::ServiceKeys;
use super::tickets::{Bearer, Tickets};
use super::token::{Kind, Token};
use crate::after::After;
use crate::caller::{Caller, CustomerVia};
use crate::commands::agent::signed_in;
use crate::commands::once::{self, Once};
use crate::refusal::{Code, Refused};
use crate::shared::Random;
use crate::store::events::{self, Audit};
use crate::store::sessions;
use crate::store::staff as staff_rows;
use crate::tx::{Ctx, InTx, Store, Tx};
use crate::views::staff_role;

/// How long a session of staff lives at the most: a working day, so that a forgotten console is not open tomorrow.
pub const SESSION_LIFE: Span = Span::minutes(12 * 60);
/// How long a session of staff may lie unused.
pub const SESSION_IDLE: Span = Span::minutes(60);
/// Sessions kept per person: a few browsers and a phone; the oldest goes.
pub const SESSIONS_KEPT_MAX: i64 = 10;
/// The use of a session is noted at most this often, or every request would write.
const TOUCH_EVERY: Span = Span::seconds(60);
/// Kind of the event after which every open connection of a member of staff asks anew whether he may stay. It concerns
/// those who hold connections, and no browser.
pub const STAFF_CHANGED: &str = "staff.changed";
/// How a session was opened by its owner's own password.
const BY_PASSWORD: &str = "password";
/// Seconds after which a sign-in that found no free core may be tried again.
const BUSY_RETRY_S: u32 = 2;

/// What the configuration says about credentials. Without it nobody gets in but staff with passwords.
#[derive(Default)]
pub struct AuthConfig {
    /// Tokens of customers.
    pub customers: CustomerTokens,
    /// Keys of other systems.
    pub service_keys: ServiceKeys,
}

/// Everything about who somebody is.
pub struct Auth {
    store: Store,
    random: Arc<dyn Random>,
    customers: CustomerTokens,
    service_keys: ServiceKeys,
    passwords: Passwords,
    tickets: Tickets,
}

/// What was seen of a member of staff since the last look at his session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Seen {
    /// Nothing.
    #[default]
    Nothing,
    /// His page answered, which it does by itself: enough for who is at work, and not for a console that was left open.
    Page,
    /// Something was asked for.
    Use,
}

/// A new session of staff.
pub(crate) struct Opened {
    pub(crate) token: Token,
    pub(crate) role: String,
    pub(crate) ends_at: Timestamp,
}

impl Auth {
    /// # Errors
    /// [`PasswordFault::Internal`] when the hash's parameters are refused.
    pub(crate) fn new(store: Store, random: Arc<dyn Random>, config: AuthConfig) -> Result<Self, PasswordFault> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let mut salt = [0; 16];
        random.fill(&mut salt);
        Ok(Self {
            store,
            random,
            customers: config.customers,
            service_keys: config.service_keys,
            passwords: Passwords::new(cores, &salt)?,
            tickets: Tickets::default(),
        })
    }

    /// Who a bearer token speaks for: a session of staff, a service key, or a customer's token.
    ///
    /// # Errors
    /// `unauthenticated`, `database`.
    pub async fn bearer(&self, text: &str) -> Result<Caller, Refused> {
        if let Some(token) = Token::parse(text) {
            return match token.kind() {
                Kind::StaffSession => self.session(&token).await,
                // These open a WebSocket or a line test, or speak for one call, and nothing else.
                Kind::Ticket | Kind::Pass | Kind::Link => Err(Refused::new(Code::Unauthenticated)),
            };
        }
        if let Some(name) = self.service_keys.find(text) {
            return Ok(Caller::Service { name: name.to_owned() });
        }
        match self.customers.verify(text, self.store.clock()).await {
            Ok(subject) => Ok(Caller::Customer {
                user_id: subject.user,
                name: subject.name,
                email: subject.email,
                via: CustomerVia::Token,
            }),
            Err(fault) => {
                tracing::debug!(reason = %fault, "a customer's token was refused");
                Err(Refused::new(Code::Unauthenticated))
            }
        }
    }

    /// The member of staff whose session the cookie holds.
    ///
    /// # Errors
    /// `unauthenticated`, `database`.
    pub async fn staff_session(&self, text: &str) -> Result<Caller, Refused> {
        match Token::parse(text).filter(|token| token.kind() == Kind::StaffSession) {
            Some(token) => self.session(&token).await,
            None => Err(Refused::new(Code::Unauthenticated)),
        }
    }

    /// The customer whose call's cookie this is; for that call only.
    ///
    /// # Errors
    /// `unauthenticated`.
    #[expect(
        clippy::unused_async,
        reason = "passes move into the database when a site has several nodes"
    )]
    pub async fn call_pass(&self, text: &str, call: CallId) -> Result<Caller, Refused> {
        match self.pass(text) {
            Ok((caller, of)) if of == call => Ok(caller),
            Ok(_) | Err(_) => Err(Refused::new(Code::Unauthenticated)),
        }
    }

    /// The customer whose pass this is, and the call it was made for.
    ///
    /// # Errors
    /// `unauthenticated`.
    pub fn pass(&self, text: &str) -> Result<(Caller, CallId), Refused> {
        let token = Token::parse(text).filter(|token| token.kind() == Kind::Pass);
        match token.and_then(|token| self.tickets.pass(token.digest(), self.store.clock())) {
            Some(bearer) => Ok((customer(bearer.user), bearer.call)),
            None => Err(Refused::new(Code::Unauthenticated)),
        }
    }

    /// The customer whose call's cookie this is, and the call.
    ///
    /// # Errors
    /// `unauthenticated`.
    pub fn pass_of(&self, text: &str) -> Result<(Caller, CallId), Refused> {
        let token = Token::parse(text).filter(|token| token.kind() == Kind::Pass);
        match token.and_then(|token| self.tickets.pass(token.digest(), self.store.clock())) {
            Some(bearer) => Ok((customer(bearer.user), bearer.call)),
            None => Err(Refused::new(Code::Unauthenticated)),
        }
    }

    /// Whether a caller may go on as who he was: a member of staff as long as he is signed in, and in the same role.
    /// Notes that the session is used, judged by what was `seen`.
    ///
    /// # Errors
    /// `unauthenticated` when the session has ended or the role is another one by now; `database`.
    pub async fn still(&self, caller: &Caller, seen: Seen) -> Result<(), Refused> {
        let Caller::Staff { staff, role, session } = caller else {
            return Ok(());
        };
        let (staff, role, digest) = (*staff, *role, *session);
        let same = self
            .tx(move |tx| {
                Box::pin(async move {
                    let Some(found) = sessions::find(tx, digest, SESSION_IDLE).await? else {
                        return Ok(false);
                    };
                    let used = match seen {
                        Seen::Nothing => false,
                        Seen::Page => at_work(tx, staff).await?,
                        Seen::Use => true,
                    };
                    if used {
                        note_use(tx, digest, &found).await?;
                    }
                    Ok(staff_role(&found.role) == role)
                })
            })
            .await?;
        if same {
            Ok(())
        } else {
            Err(Refused::new(Code::Unauthenticated))
        }
    }

    /// The customer whose ticket this is, and the call it was made for; the ticket is not used up by that.
    ///
    /// # Errors
    /// `unauthenticated`.
    pub fn ticket_of(&self, text: &str) -> Result<(Caller, CallId), Refused> {
        let token = Token::parse(text).filter(|token| token.kind() == Kind::Ticket);
        match token.and_then(|token| self.tickets.ticket(token.digest(), self.store.clock())) {
            Some(bearer) => Ok((customer(bearer.user), bearer.call)),
            None => Err(Refused::new(Code::Unauthenticated)),
        }
    }

    /// Uses up a ticket: the customer, and the call it was made for.
    ///
    /// # Errors
    /// `unauthenticated`, also the second time.
    pub fn ticket(&self, text: &str) -> Result<(Caller, CallId), Refused> {
        let token = Token::parse(text).filter(|token| token.kind() == Kind::Ticket);
        match token.and_then(|token| self.tickets.take_ticket(token.digest(), self.store.clock())) {
            Some(bearer) => Ok((customer(bearer.user), bearer.call)),
            None => Err(Refused::new(Code::Unauthenticated)),
        }
    }

    /// Whatever the first message of a WebSocket carries: a ticket, which has a call, or what [`Auth::bearer`] takes.
    /// A ticket is used up only by [`Auth::ticket`].
    ///
    /// # Errors
    /// `unauthenticated`, `database`.
    pub async fn hello(&self, text: &str) -> Result<(Caller, Option<CallId>), Refused> {
        match Token::parse(text).map(|token| token.kind()) {
            Some(Kind::Ticket) => self.ticket_of(text).map(|(caller, call)| (caller, Some(call))),
            _ => self.bearer(text).await.map(|caller| (caller, None)),
        }
    }

    /// A ticket for one WebSocket of `user`'s call.
    pub fn issue_ticket(&self, user: UserId, call: CallId, now: Timestamp) -> Token {
        let token = self.fresh(Kind::Ticket);
        self.tickets.put_ticket(&token, Bearer { user, call }, now);
        token
    }

    /// What the cookie of a call holds.
    pub fn issue_pass(&self, user: UserId, call: CallId, now: Timestamp) -> Token {
        let token = self.fresh(Kind::Pass);
        self.tickets.put_pass(&token, Bearer { user, call }, now);
        token
    }

    /// Signs a member of staff in. Takes as long for an unknown account as for a wrong password.
    ///
    /// # Errors
    /// `unauthenticated`; `rate_limited` when too many sign in at once; `database`.
    pub async fn sign_in(&self, email: String, password: String) -> Result<(Token, Caller), Refused> {
        let account = self
            .tx(move |tx| Box::pin(async move { sessions::account(tx, &email).await }))
            .await?;
        let hash = account.as_ref().and_then(|(_, _, hash)| hash.clone());
        let known = self.passwords.check(password, hash).await.map_err(refused)?;
        let Some((staff, ..)) = account.filter(|_| known) else {
            return Err(Refused::new(Code::Unauthenticated));
        };
        let opened = self.open(staff, BY_PASSWORD, None).await;
        let opened = opened.map_err(|refused| match refused.code {
            // Somebody has made the account inactive this very moment.
            Code::NotFound => Refused::new(Code::Unauthenticated),
            _ => refused,
        })?;
        let caller = Caller::Staff {
            staff,
            role: staff_role(&opened.role),
            session: opened.token.digest(),
        };
        Ok((opened.token, caller))
    }

    /// Ends the caller's session; twice is once.
    ///
    /// # Errors
    /// `database`.
    pub async fn sign_out(&self, caller: &Caller) -> Result<(), Refused> {
        let Caller::Staff { staff, session, .. } = caller else {
            return Ok(());
        };
        let (staff, digest) = (*staff, *session);
        self.tx(move |tx| {
            Box::pin(async move {
                sessions::revoke(tx, digest).await?;
                staff_changed(tx, staff).await
            })
        })
        .await
    }

    /// Opens a session for an active member of staff. The one that an earlier request with the same key has opened ends.
    ///
    /// # Errors
    /// `not_found` when there is no such person, `idempotency_mismatch`, `database`.
    pub(crate) async fn open(&self, staff: StaffId, via: &'static str, once: Option<Once>) -> Result<Opened, Refused> {
        let token = self.fresh(Kind::StaffSession);
        let digest = token.digest();
        let (role, ends_at) = self
            .tx(move |tx| {
                Box::pin(async move {
                    if let Some(outcome) = once::begin(tx, once.as_ref()).await? {
                        let earlier = outcome["digest"]
                            .as_str()
                            .and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
                        let earlier = earlier.and_then(|bytes| bytes.try_into().ok());
                        sessions::revoke(tx, earlier.ok_or(Refused::new(Code::Internal))?).await?;
                    }
                    let role = sessions::role(tx, staff).await?.ok_or(Refused::new(Code::NotFound))?;
                    if via == BY_PASSWORD {
                        signed_in(tx, staff).await?;
                    }
                    let outcome = json!({ "digest": URL_SAFE_NO_PAD.encode(digest) });
                    once::keep(tx, once.as_ref(), 201, &outcome).await?;
                    let ends_at = sessions::insert(tx, digest, staff, via, SESSION_LIFE, SESSIONS_KEPT_MAX).await?;
                    let id = uuid::Uuid::from_u128(staff.0).to_string();
                    let entry = Audit {
                        actor_id: &id,
                        actor_role: crate::views::role_word(staff_role(&role)),
                        action: "auth.session_opened",
                        subject_type: "staff",
                        subject_id: &id,
                        reason: Some(via),
                    };
                    let now = tx.now;
                    events::audit(tx.conn(), now, &entry).await?;
                    Ok((role, ends_at))
                })
            })
            .await?;
        Ok(Opened { token, role, ends_at })
    }

    /// The hash of a new password.
    pub(crate) async fn hash(&self, password: String) -> Result<String, Refused> {
        let mut salt = [0; 16];
        self.random.fill(&mut salt);
        self.passwords.hash(password, salt).await.map_err(refused)
    }

    /// Whether `password` is the one of `stored`, or neither is there.
    pub(crate) async fn same_password(
        &self,
        password: Option<String>,
        stored: Option<String>,
    ) -> Result<bool, Refused> {
        match (password, stored) {
            (Some(password), Some(stored)) => self.passwords.check(password, Some(stored)).await.map_err(refused),
            (None, None) => Ok(true),
            _ => Ok(false),
        }
    }

    async fn session(&self, token: &Token) -> Result<Caller, Refused> {
        let digest = token.digest();
        let found = self
            .tx(move |tx| {
                Box::pin(async move {
                    let found = sessions::find(tx, digest, SESSION_IDLE).await?;
                    if let Some(found) = &found {
                        note_use(tx, digest, found).await?;
                    }
                    Ok(found)
                })
            })
            .await?;
        let found = found.ok_or(Refused::new(Code::Unauthenticated))?;
        Ok(Caller::Staff {
            staff: found.staff,
            role: staff_role(&found.role),
            session: digest,
        })
    }

    async fn tx<T, F>(&self, work: F) -> Result<T, Refused>
    where
        T: Send + 'static,
        F: for<'a> FnOnce(&'a mut Tx) -> InTx<'a, T> + Send + 'static,
    {
        self.store.with_ctx(Ctx::System("auth"), work).await
    }

    fn fresh(&self, kind: Kind) -> Token {
        let mut bytes = [0; 32];
        self.random.fill(&mut bytes);
        Token::new(kind, bytes)
    }
}

/// A session is used now.
async fn note_use(tx: &mut Tx, digest: [u8; 32], found: &sessions::Session) -> Result<(), Refused> {
    if tx.now.since(found.last_seen_at) >= TOUCH_EVERY {
        sessions::touch(tx, digest).await?;
    }
    Ok(())
}

/// Whether somebody takes calls, or is in one: then his page speaks for him.
async fn at_work(tx: &mut Tx, staff: StaffId) -> Result<bool, Refused> {
    let row = staff_rows::get(tx.conn(), uuid::Uuid::from_u128(staff.0)).await?;
    Ok(row.is_some_and(|row| row.status == "online" || row.current_call_count > 0))
}

/// Sessions or the role of a member of staff have changed: whoever holds connections of his looks again.
pub(crate) async fn staff_changed(tx: &mut Tx, staff: StaffId) -> Result<(), Refused> {
    let id = uuid::Uuid::from_u128(staff.0).to_string();
    events::hub(tx.conn(), "staff", Some(&id), STAFF_CHANGED, &json!({})).await?;
    tx.after.push(After::WakeHub);
    Ok(())
}

/// A customer known by his call's credential.
fn customer(user_id: UserId) -> Caller {
    Caller::Customer {
        user_id,
        name: None,
        email: None,
        via: CustomerVia::Ticket,
    }
}

/// What a caller hears of a password that was not taken.
pub(crate) fn refused(fault: PasswordFault) -> Refused {
    match fault {
        PasswordFault::Length => Refused::field("password", fault.to_string()),
        PasswordFault::Busy => Refused::because(Code::RateLimited, fault.to_string()).retry_after(BUSY_RETRY_S),
        PasswordFault::Internal => Refused::new(Code::Internal),
    }
}
