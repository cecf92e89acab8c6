//! The staff that admins keep, sessions that services make, and the people of the demo.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use call_model::StaffId;
use serde_json::json;
use uuid::Uuid;
use wire::Time;
use wire::staff::{Staff, StaffCreate, StaffRole, StaffSession, StaffUpdate};

use super::once::{self, IdempotencyKey, Once};
use super::supervise;
use crate::auth::{Auth, staff_changed};
use crate::caller::Caller;
use crate::permissions::{self, ROLE_GRANT, STAFF_WRITE};
use crate::refusal::{Code, Refused};
use crate::shared::{Core, to_the_end};
use crate::store::events::{self, Audit};
use crate::store::{queues, sessions, staff};
use crate::tx::Tx;
use crate::views::{self, role_word};

/// Longest display name of staff, characters; the column's own limit.
pub const STAFF_NAME_CHARS_MAX: usize = 100;
/// Longest e-mail address, bytes (RFC 5321 §4.5.3.1: 64 + 1 + 255).
pub const STAFF_EMAIL_BYTES_MAX: usize = 320;
/// Most calls at the same time that can be set; the column's own limit.
pub const CALLS_MAX: u32 = 10;
/// Queues of one request.
const QUEUES_MAX: usize = 64;

/// An account of the demo.
#[derive(Clone, Debug)]
pub struct DemoAccount {
    /// E-mail to sign in with.
    pub email: String,
    /// This start's password.
    pub password: String,
    /// The role.
    pub role: StaffRole,
}

/// The demo's people: e-mail, name, role.
const DEMO: [(&str, &str, StaffRole); 5] = [
    ("agent1@demo.test", "Amina", StaffRole::Agent),
    ("agent2@demo.test", "Brian", StaffRole::Agent),
    ("agent3@demo.test", "Chao", StaffRole::Agent),
    ("qa@demo.test", "Deka", StaffRole::Supervisor),
    ("admin@demo.test", "Esther", StaffRole::Admin),
];

/// Whether the caller may make or change somebody of `role`.
fn may_write(caller: &Caller, role: StaffRole) -> Result<(), Refused> {
    let above = matches!(role, StaffRole::Admin | StaffRole::SuperAdmin);
    match caller {
        Caller::Staff { role: own, .. } => {
            let needed = if above { ROLE_GRANT } else { STAFF_WRITE };
            if permissions::may(*own, needed) {
                Ok(())
            } else {
                Err(Refused::new(Code::Forbidden))
            }
        }
        // A service may speak as any member of staff anyway; whom to trust with admins is a person's decision.
        Caller::Service { .. } | Caller::Demo if !above => Ok(()),
        Caller::Service { .. } | Caller::Demo | Caller::Customer { .. } => Err(Refused::new(Code::Forbidden)),
    }
}

pub(crate) fn check_name(name: &str) -> Result<(), Refused> {
    let long = name.chars().count() > STAFF_NAME_CHARS_MAX;
    if name.trim().is_empty() || long || name.chars().any(char::is_control) {
        return Err(Refused::field("staffName", "must be 1 to 100 characters of one line"));
    }
    Ok(())
}

pub(crate) fn check_email(email: &str) -> Result<(), Refused> {
    let (local, domain) = email.split_once('@').unwrap_or_default();
    let odd = email.chars().any(|c| c.is_control() || c.is_whitespace());
    if local.is_empty() || domain.is_empty() || odd || email.len() > STAFF_EMAIL_BYTES_MAX {
        return Err(Refused::field("email", "must be an address of at most 320 bytes"));
    }
    Ok(())
}

fn check_calls(calls: Option<u32>) -> Result<Option<i32>, Refused> {
    match calls {
        Some(n) if n > CALLS_MAX => Err(Refused::field("maxConcurrentCalls", "must lie between 0 and 10")),
        other => Ok(other.and_then(|n| i32::try_from(n).ok())),
    }
}

/// The refusal of an e-mail that somebody has already, with its field.
pub(crate) fn taken(refused: Refused) -> Refused {
    match refused.code {
        Code::Validation => Refused::field("email", "is taken"),
        _ => refused,
    }
}

/// Adds a member of staff.
pub(crate) async fn staff_create(
    core: &Arc<Core>,
    auth: &Auth,
    caller: &Caller,
    mut body: StaffCreate,
    key: Option<IdempotencyKey>,
) -> Result<Staff, Refused> {
    may_write(caller, body.role)?;
    check_name(&body.staff_name)?;
    check_email(&body.email)?;
    let calls = check_calls(body.max_concurrent_calls)?.unwrap_or(1);
    if body.queues.len() > QUEUES_MAX {
        return Err(Refused::field("queues", "must be at most 64"));
    }
    let password = body.password.take();
    // The digest of a request is kept for a day, and is no place for a password: that one is compared with its hash.
    let once = Once::of(key, caller, "staff.create", &body);
    let hash = match password.clone() {
        Some(password) => Some(auth.hash(password).await?),
        None => None,
    };
    let id = Uuid::from_u128(core.fresh_id());
    let (actor, actor_role) = caller.audit_name();
    let made = core.write("api", move |tx| {
        Box::pin(async move {
            if let Some(outcome) = once::begin(tx, once.as_ref()).await? {
                let id = outcome["staffId"].as_str().and_then(|id| id.parse().ok());
                let id = id.ok_or(Refused::new(Code::Internal))?;
                return Ok((row(tx, id).await?, Some(sessions::password(tx, id).await?)));
            }
            let (name, role) = (body.staff_name.trim(), role_word(body.role));
            staff::insert(tx.conn(), id, &body.email, name, role, calls)
                .await
                .map_err(taken)?;
            if let Some(hash) = &hash {
                sessions::set_password(tx, StaffId(id.as_u128()), hash).await?;
            }
            join(tx, id, body.queues).await?;
            audit(tx, &actor, actor_role, "staff.created", id).await?;
            once::keep(tx, once.as_ref(), 201, &json!({ "staffId": id })).await?;
            Ok((row(tx, id).await?, None))
        })
    });
    let (staff, earlier) = made.await?;
    if let Some(hash) = earlier
        && !auth.same_password(password, hash).await?
    {
        return Err(Refused::new(Code::IdempotencyMismatch));
    }
    Ok(staff)
}

/// Lets a member of staff serve queues; the default one when none is named.
pub(crate) async fn join(tx: &mut Tx, id: Uuid, names: Vec<String>) -> Result<(), Refused> {
    let names = if names.is_empty() {
        queues::default(tx.conn())
            .await?
            .into_iter()
            .map(|queue| queue.name)
            .collect()
    } else {
        names
    };
    for name in names {
        if queues::get(tx.conn(), &name).await?.is_none() {
            return Err(Refused::field("queues", "no such queue"));
        }
        staff::join_queue(tx.conn(), &name, id).await?;
    }
    Ok(())
}

/// Changes a member of staff; absent fields stay. Whoever is made inactive is signed out everywhere, and nobody goes on in
/// a role that he had before.
pub(crate) async fn staff_update(
    core: &Arc<Core>,
    caller: &Caller,
    id: StaffId,
    body: StaffUpdate,
) -> Result<Staff, Refused> {
    // Whoever may change nobody does not get to look for somebody; a customer's role knows no staff at all.
    may_write(caller, body.role.unwrap_or(StaffRole::Agent))?;
    if let Some(name) = &body.staff_name {
        check_name(name)?;
    }
    let calls = check_calls(body.max_concurrent_calls)?;
    let caller_in = caller.clone();
    let (actor, actor_role) = caller.audit_name();
    let (staff, touches_rights) = (id, body.role.is_some() || body.is_active == Some(false));
    let (core, caller) = (Arc::clone(core), caller.clone());
    // In one: who asked for it may go away, and what was withdrawn must not go on for that.
    to_the_end("staff", async move {
        let changed = core
            .run(caller.ctx(), move |tx| {
                Box::pin(async move {
                    let id = Uuid::from_u128(id.0);
                    let before = staff::get(tx.conn(), id).await?.ok_or(Refused::new(Code::NotFound))?;
                    may_write(&caller_in, views::staff_role(&before.role))?;
                    tx.become_desk().await?;
                    let name = body.staff_name.as_deref().map(str::trim);
                    staff::update(tx.conn(), id, name, body.role.map(role_word), body.is_active, calls).await?;
                    if body.is_active == Some(false) {
                        staff::revoke_sessions(tx.conn(), id).await?;
                        staff::set_status(tx.conn(), id, "offline", None).await?;
                    }
                    let role_differs = body.role.is_some_and(|role| role_word(role) != before.role);
                    if role_differs || body.is_active == Some(false) {
                        staff_changed(tx, StaffId(id.as_u128())).await?;
                    }
                    audit(tx, &actor, actor_role, "staff.updated", id).await?;
                    row(tx, id).await
                })
            })
            .await?;
        if touches_rights {
            // Also when nothing differs: whoever repeats a request that failed halfway gets the rest done.
            let role = changed.is_active.then_some(changed.role);
            supervise::withdrawn(&core, &caller, staff, role).await?;
        }
        Ok(changed)
    })
    .await
}

pub(crate) async fn row(tx: &mut Tx, id: Uuid) -> Result<Staff, Refused> {
    let row = staff::get(tx.conn(), id).await?.ok_or(Refused::new(Code::Internal))?;
    Ok(views::staff_row(row))
}

pub(crate) async fn audit(tx: &mut Tx, actor: &str, role: &str, action: &str, subject: Uuid) -> Result<(), Refused> {
    let subject = subject.to_string();
    let entry = Audit {
        actor_id: actor,
        actor_role: role,
        action,
        subject_type: "staff",
        subject_id: &subject,
        reason: None,
    };
    let now = tx.now;
    events::audit(tx.conn(), now, &entry).await
}

/// A session without a password, for a service that has signed the person in itself. With a key that was used before,
/// the session of that time ends, since nobody got its token.
pub(crate) async fn staff_session(
    auth: &Auth,
    caller: &Caller,
    id: StaffId,
    key: Option<IdempotencyKey>,
) -> Result<StaffSession, Refused> {
    let via = match caller {
        Caller::Service { .. } => "service",
        Caller::Demo => "demo",
        Caller::Customer { .. } | Caller::Staff { .. } => return Err(Refused::new(Code::Forbidden)),
    };
    let once = Once::of(key, caller, "staff.session", &Uuid::from_u128(id.0));
    let opened = auth.open(id, via, once).await?;
    Ok(StaffSession {
        staff_id: Uuid::from_u128(id.0),
        token: opened.token.expose(),
        ends_at: Time(opened.ends_at),
    })
}

/// Makes the demo's people, or gives those who are there a new password.
pub(crate) async fn seed_demo(core: &Arc<Core>, auth: &Auth) -> Result<Vec<DemoAccount>, Refused> {
    let mut accounts = Vec::new();
    for (email, name, role) in DEMO {
        let mut bytes = [0; 12];
        core.options.random.fill(&mut bytes);
        let password = URL_SAFE_NO_PAD.encode(bytes);
        let hash = auth.hash(password.clone()).await?;
        let fresh = Uuid::from_u128(core.fresh_id());
        core.write("demo", move |tx| {
            Box::pin(async move {
                let id = match sessions::account(tx, email).await? {
                    Some((id, ..)) => Uuid::from_u128(id.0),
                    None => {
                        staff::insert(tx.conn(), fresh, email, name, role_word(role), 1).await?;
                        fresh
                    }
                };
                sessions::set_password(tx, StaffId(id.as_u128()), &hash).await?;
                // Only agents are asked; the others look on.
                if role == StaffRole::Agent {
                    join(tx, id, Vec::new()).await?;
                }
                Ok(())
            })
        })
        .await?;
        accounts.push(DemoAccount {
            email: email.to_owned(),
            password,
            role,
        });
    }
    Ok(accounts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_addresses_and_calls_are_taken_up_to_their_limits() {
        assert!(check_name(&"n".repeat(STAFF_NAME_CHARS_MAX)).is_ok());
        assert!(check_name(&"n".repeat(STAFF_NAME_CHARS_MAX + 1)).is_err());
        assert!(check_name(" ").is_err());
        let address = |n: usize| format!("a@{}", "b".repeat(n - 2));
        assert!(check_email(&address(STAFF_EMAIL_BYTES_MAX)).is_ok());
        assert!(check_email(&address(STAFF_EMAIL_BYTES_MAX + 1)).is_err());
        assert!(check_email("nobody").is_err());
        assert_eq!(check_calls(Some(CALLS_MAX)), Ok(Some(10)));
        assert!(check_calls(Some(CALLS_MAX + 1)).is_err());
    }

    #[test]
    fn an_admin_does_not_make_admins() {
        let admin = Caller::Staff {
            staff: StaffId(1),
            role: StaffRole::Admin,
            session: [0; 32],
        };
        assert!(may_write(&admin, StaffRole::Supervisor).is_ok());
        assert!(may_write(&admin, StaffRole::Admin).is_err());
        let chief = Caller::Staff {
            staff: StaffId(1),
            role: StaffRole::SuperAdmin,
            session: [0; 32],
        };
        assert!(may_write(&chief, StaffRole::Admin).is_ok());
        assert!(
            may_write(
                &Caller::Service {
                    name: "bank".to_owned()
                },
                StaffRole::Admin
            )
            .is_err()
        );
    }
}
