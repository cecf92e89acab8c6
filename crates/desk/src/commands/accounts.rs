//! Accounts that whoever runs the server makes beside it: the first admin of an installation, a forgotten password.
//!
//! Nobody is asked for a role here: the caller holds the database's own credentials. It needs the opened database only,
//! so it works while the server runs and while it does not. Everything is in the audit log, under an actor of its own.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use call_model::StaffId;
use uuid::Uuid;
use wire::staff::{Staff, StaffRole};

use super::people::{audit, check_email, check_name, join, row};
use crate::auth::password_refused as refused;
use crate::auth::passwords::Passwords;
use crate::refusal::{Code, Refused};
use crate::shared::Random;
use crate::store::{sessions, staff};
use crate::tx::{Ctx, Store};
use crate::views::role_word;

/// Random bytes of a password that is made here: 144 bits, 24 characters.
pub const MADE_PASSWORD_BYTES: usize = 18;
/// Who did it, in the audit log.
const ACTOR: &str = "command-line";
/// As what.
const ACTOR_ROLE: &str = "operator";

/// Somebody who is to be added.
#[derive(Clone)]
pub struct NewAccount {
    /// E-mail to sign in with; unique whatever its spelling.
    pub email: String,
    /// Display name.
    pub name: String,
    /// Role. Only a `super_admin` makes further admins in the console.
    pub role: StaffRole,
    /// First password, 12 characters at least; one is made when absent.
    pub password: Option<String>,
    /// Queues to serve. Empty: the default queue for an agent, none for the others.
    pub queues: Vec<String>,
}

/// An account as it stands, with the password if it was made here.
#[derive(Clone)]
pub struct Account {
    /// The row.
    pub staff: Staff,
    /// To be shown once and kept nowhere.
    pub made_password: Option<String>,
}

/// Adds a member of staff of any role, who can sign in at once.
///
/// # Errors
/// `validation` with the field (`email`, `staffName`, `password`, `queues`), also for an e-mail that is taken;
/// `database`.
pub async fn create_account(store: &Store, random: &dyn Random, wanted: NewAccount) -> Result<Account, Refused> {
    check_name(&wanted.name)?;
    check_email(&wanted.email)?;
    let (hash, made_password) = secured(random, wanted.password).await?;
    let mut bytes = [0; 16];
    random.fill(&mut bytes);
    let id = uuid::Builder::from_random_bytes(bytes).into_uuid();
    let (email, name, role, queues) = (wanted.email, wanted.name, wanted.role, wanted.queues);
    let made = store.with_ctx(Ctx::System("accounts"), move |tx| {
        Box::pin(async move {
            staff::insert(tx.conn(), id, &email, name.trim(), role_word(role), 1)
                .await
                .map_err(super::people::taken)?;
            sessions::set_password(tx, StaffId(id.as_u128()), &hash).await?;
            // Only agents are rung; the others look on.
            if role == StaffRole::Agent || !queues.is_empty() {
                join(tx, id, queues).await?;
            }
            audit(tx, ACTOR, ACTOR_ROLE, "staff.created", id).await?;
            row(tx, id).await
        })
    });
    let staff = made.await?;
    Ok(Account { staff, made_password })
}

/// Gives an active member of staff another password and ends all his sessions.
///
/// # Errors
/// `not_found` when nobody active has this e-mail; `validation` (`password`); `database`.
pub async fn reset_password(
    store: &Store,
    random: &dyn Random,
    email: String,
    password: Option<String>,
) -> Result<Account, Refused> {
    let (hash, made_password) = secured(random, password).await?;
    let changed = store.with_ctx(Ctx::System("accounts"), move |tx| {
        Box::pin(async move {
            let (id, ..) = sessions::account(tx, &email)
                .await?
                .ok_or(Refused::new(Code::NotFound))?;
            let row_id = Uuid::from_u128(id.0);
            sessions::set_password(tx, id, &hash).await?;
            staff::revoke_sessions(tx.conn(), row_id).await?;
            crate::auth::staff_changed(tx, id).await?;
            audit(tx, ACTOR, ACTOR_ROLE, "staff.password_reset", row_id).await?;
            row(tx, row_id).await
        })
    });
    let staff = changed.await?;
    Ok(Account { staff, made_password })
}

/// Everybody who works here, by name; 2,000 at most, as in the console.
///
/// # Errors
/// `database`.
pub async fn list_accounts(store: &Store) -> Result<Vec<Staff>, Refused> {
    store
        .with_ctx(Ctx::System("accounts"), |tx| {
            Box::pin(async move {
                let rows = staff::list(tx.conn(), crate::queries::STAFF_MAX).await?;
                Ok(rows.into_iter().map(crate::views::staff_row).collect())
            })
        })
        .await
}

/// The hash of the password, and the password itself when it was made here.
async fn secured(random: &dyn Random, password: Option<String>) -> Result<(String, Option<String>), Refused> {
    let made = password.is_none().then(|| {
        let mut bytes = [0; MADE_PASSWORD_BYTES];
        random.fill(&mut bytes);
        URL_SAFE_NO_PAD.encode(bytes)
    });
    let password = password.or_else(|| made.clone()).unwrap_or_default();
    let (mut salt, mut decoy) = ([0; 16], [0; 16]);
    random.fill(&mut salt);
    random.fill(&mut decoy);
    // One hash at a time: nobody else signs in through this process.
    let passwords = Passwords::new(1, &decoy).map_err(refused)?;
    Ok((passwords.hash(password, salt).await.map_err(refused)?, made))
}
