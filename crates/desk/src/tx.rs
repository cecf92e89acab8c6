//! The only door to the database: one short transaction in one context, which no caller can cancel.
//!
//! A handler that is dropped while `BEGIN` is under way would hand an open transaction back to the pool
//! (sqlx 0.9). Three walls: the work runs in a task of its own, a connection that comes back inside a transaction is
//! thrown away, and PostgreSQL ends idle transactions after ten seconds.
//!
//! Lock order everywhere: queue (advisory), call, staff, offer.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use call_model::{Span, StaffId, Timestamp, UserId};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, PgConnection, Postgres, Row, Transaction};
use tokio::time::Instant;
use uuid::Uuid;

use crate::migrations;
use crate::refusal::{Code, Refused};
use crate::types::At;
use crate::unsure::Unsure;

/// Connections of one process: a decision takes about a millisecond, so 16 carry thousands a second, and eight nodes
/// still fit into PostgreSQL's default of 100.
pub const CONNECTIONS_MAX: u32 = 16;

/// How long a caller waits for a free connection before he is told to come back.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// How far the database's clock may run ahead of ours between two transactions before every lease may have run out by that
/// alone, and an outage is reckoned with. Higher: the shortest lease, of 8 s, has less left. Lower: what a busy machine
/// takes between the clock's answer and our look at it counts as a jump.
const CLOCK_STEP_MAX: Span = Span::seconds(2);

/// Settings of every session: a stuck statement, a forgotten lock or an abandoned transaction ends by itself.
const SESSION: [(&str, &str); 5] = [
    ("search_path", "helpline,public"),
    ("timezone", "UTC"),
    ("statement_timeout", "15s"),
    ("lock_timeout", "5s"),
    ("idle_in_transaction_session_timeout", "10s"),
];

/// Opens a transaction's context and reads the clock.
const ENTER: &str = "select set_config('role', $1, true), set_config('app.user_id', $2, true),
    set_config('app.staff_id', $3, true), set_config('app.role', $4, true), set_config('app.team_ids', $5, true)";
const BECOME_DESK: &str = "select set_config('role', 'app_desk', true)";
const NOW: &str = "select clock_timestamp()";
/// A transaction that has written has an id; one that has only read has none.
const HAS_WRITTEN: &str = "select pg_current_xact_id_if_assigned() is not null";
/// True only inside a transaction that somebody forgot.
const IS_LEAKED: &str = "select now() <> statement_timestamp()";

/// In whose name a transaction looks at rows.
#[derive(Clone, Debug)]
pub(crate) enum Ctx {
    /// A customer: his own rows, reading only.
    Customer(UserId),
    /// A member of staff: the scope of the role, reading only.
    Staff {
        /// Who.
        staff: StaffId,
        /// Word of the role; the teams of its scope are read in the transaction.
        role: &'static str,
    },
    /// A part of the server itself; writes.
    System(&'static str),
}

impl Ctx {
    /// Who looks, as one word for the log.
    pub(crate) const fn word(&self) -> &'static str {
        match self {
            Ctx::Customer(_) => "customer",
            Ctx::Staff { .. } => "staff",
            Ctx::System(part) => part,
        }
    }
}

/// A boxed future that borrows the transaction.
pub(crate) type InTx<'a, T> = std::pin::Pin<Box<dyn Future<Output = Result<T, Refused>> + Send + 'a>>;

/// An open transaction.
pub(crate) struct Tx {
    inner: Transaction<'static, Postgres>,
    /// The database clock when the transaction began, or after the last lock was taken.
    pub(crate) now: Timestamp,
    /// What is to be done once this is committed; never before.
    pub(crate) after: Vec<crate::after::After>,
}

impl Tx {
    /// The connection, for statements.
    pub(crate) fn conn(&mut self) -> &mut PgConnection {
        &mut self.inner
    }

    /// Goes on as the desk, which may write; the subject has been found under the caller's own role before.
    pub(crate) async fn become_desk(&mut self) -> Result<(), Refused> {
        sqlx::query(BECOME_DESK).execute(self.conn()).await?;
        Ok(())
    }

    /// Reads the clock again: waiting for a lock took time, and leases are judged by what is true now.
    pub(crate) async fn read_clock(&mut self) -> Result<Timestamp, Refused> {
        let At(now) = sqlx::query_scalar(NOW).fetch_one(self.conn()).await?;
        self.now = self.now.max(now);
        Ok(self.now)
    }
}

/// Where the database is.
#[derive(Clone, Debug)]
pub struct DeskConfig {
    /// Connection string of the program's own role.
    pub database_url: String,
}

/// The database, opened.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    pool: PgPool,
    started: Instant,
    /// Milliseconds since `started` of the first answer after the last failure, plus one; 0 while it fails.
    unbroken_since: AtomicU64,
    /// Milliseconds since `started` of the last answer.
    last_answer: AtomicU64,
    /// The database clock at `started`, in microseconds, as the last answer showed it.
    clock_at_start: AtomicI64,
    leaked: Arc<AtomicU64>,
    unsure: Unsure,
}

impl Store {
    /// Opens the pool and checks that the schema is the one this program was written for.
    ///
    /// # Errors
    /// [`migrations::Fault`]: not reachable, not migrated, or from the future.
    pub async fn connect(config: &DeskConfig) -> Result<Self, migrations::Fault> {
        let options: PgConnectOptions = config.database_url.parse().map_err(migrations::Fault::Database)?;
        let options = options
            .options(SESSION)
            .application_name("helpline")
            .disable_statement_logging();
        let leaked = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&leaked);
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .after_release(move |conn, _| {
                let counter = Arc::clone(&counter);
                Box::pin(async move {
                    // In the simple protocol: with Parse and Bind apart the two clocks differ in any case.
                    let row = sqlx::raw_sql(IS_LEAKED).fetch_one(&mut *conn).await?;
                    let leaked: bool = row.try_get(0)?;
                    if leaked {
                        counter.fetch_add(1, Ordering::Relaxed);
                        tracing::error!("a connection came back inside a transaction and was thrown away");
                    }
                    Ok(!leaked)
                })
            })
            .connect_with(options)
            .await
            .map_err(migrations::Fault::Database)?;
        let mut conn = pool.acquire().await.map_err(migrations::Fault::Database)?;
        migrations::check(&mut conn).await?;
        let At(now) = sqlx::query_scalar(NOW)
            .fetch_one(&mut *conn)
            .await
            .map_err(migrations::Fault::Database)?;
        drop(conn);
        let inner = Inner {
            pool,
            started: Instant::now(),
            unbroken_since: AtomicU64::new(1),
            last_answer: AtomicU64::new(0),
            clock_at_start: AtomicI64::new(now.0),
            leaked,
            unsure: Unsure::default(),
        };
        Ok(Store(Arc::new(inner)))
    }

    /// Runs `work` in one transaction in the context of `ctx` and commits it; an error rolls it back.
    ///
    /// The transaction goes on to its end when the caller goes away. Whatever `work` left to be done after the commit
    /// comes back with its result.
    pub(crate) async fn with_ctx<T, F>(&self, ctx: Ctx, work: F) -> Result<T, Refused>
    where
        T: Send + 'static,
        F: for<'a> FnOnce(&'a mut Tx) -> InTx<'a, T> + Send + 'static,
    {
        let (store, part) = (self.clone(), ctx.word());
        let done = tokio::spawn(async move { store.run(ctx, work).await.map(|(value, _)| value) });
        done.await.unwrap_or_else(|_| Err(broken(part)))
    }

    /// The transaction itself, for callers that already run in a task of their own.
    pub(crate) async fn run<T, F>(&self, ctx: Ctx, work: F) -> Result<(T, Vec<crate::after::After>), Refused>
    where
        F: for<'a> FnOnce(&'a mut Tx) -> InTx<'a, T>,
    {
        let inner = self.0.pool.begin().await.map_err(|error| self.lost(error))?;
        let mut tx = Tx {
            inner,
            now: Timestamp(0),
            after: Vec::new(),
        };
        enter(&mut tx, &ctx).await.inspect_err(|refused| self.note(refused))?;
        self.greeted(tx.now);
        let value = work(&mut tx).await.inspect_err(|refused| self.note(refused))?;
        // A database that lets itself be read and refuses to be written to is away all the same: only a decision that it
        // has kept ends an outage.
        let proves = !self.is_away() || has_written(&mut tx).await.inspect_err(|refused| self.note(refused))?;
        let Tx { inner, after, .. } = tx;
        if let Err(error) = inner.commit().await {
            let refused = Refused::from(error);
            self.note(&refused);
            // Whether it is committed is not known, and what was to be done afterwards must not be forgotten.
            if refused.code == Code::Database {
                self.0.unsure.add(&after);
            }
            return Err(refused);
        }
        if proves {
            self.answered();
        }
        Ok((value, after))
    }

    /// A connection of its own beside the pool, for a lock that lasts as long as the connection does.
    pub(crate) async fn dedicated(&self) -> Result<PgConnection, Refused> {
        let options = self.0.pool.connect_options();
        options.connect().await.map_err(|error| self.lost(error))
    }

    /// How long the database has answered without a break; zero while it does not, or takes no writes.
    pub fn unbroken_for(&self) -> Duration {
        match self.0.unbroken_since.load(Ordering::Acquire) {
            0 => Duration::ZERO,
            since => Duration::from_millis((self.age_ms() + 1).saturating_sub(since)),
        }
    }

    /// Time since the database last answered as it should.
    pub fn silent_for(&self) -> Duration {
        Duration::from_millis(self.age_ms().saturating_sub(self.0.last_answer.load(Ordering::Acquire)))
    }

    /// Connections that came back inside a transaction, since the start.
    pub fn leaked_connections(&self) -> u64 {
        self.0.leaked.load(Ordering::Relaxed)
    }

    /// Closes all connections; what runs is finished first.
    pub async fn close(&self) {
        self.0.pool.close().await;
    }

    fn age_ms(&self) -> u64 {
        u64::try_from(self.0.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The database clock as it must be by now; goes on while the database is away. For credentials, never for
    /// decisions about calls.
    pub fn clock(&self) -> Timestamp {
        let at_start = Timestamp(self.0.clock_at_start.load(Ordering::Relaxed));
        at_start.plus(Span::millis(i64::try_from(self.age_ms()).unwrap_or(i64::MAX)))
    }

    /// What may have been decided without its consequences.
    pub(crate) fn unsure(&self) -> &Unsure {
        &self.0.unsure
    }

    fn is_away(&self) -> bool {
        self.0.unbroken_since.load(Ordering::Acquire) == 0
    }

    /// A transaction has begun, and the database has said what time it is.
    fn greeted(&self, clock: Timestamp) {
        let now = self.age_ms();
        let at_start = clock.minus(Span::millis(i64::try_from(now).unwrap_or(i64::MAX)));
        let before = self.0.clock_at_start.swap(at_start.0, Ordering::Relaxed);
        if self.is_away() {
            return;
        }
        self.0.last_answer.store(now, Ordering::Release);
        let step = at_start.since(Timestamp(before));
        if step > CLOCK_STEP_MAX {
            self.0.unbroken_since.store(now + 1, Ordering::Release);
            tracing::warn!(
                seconds = step.as_seconds(),
                "the database's clock has jumped; leases count as after an outage"
            );
        }
    }

    fn answered(&self) {
        let now = self.age_ms();
        self.0.last_answer.store(now, Ordering::Release);
        // Only the first answer after a failure starts the count anew.
        let since = &self.0.unbroken_since;
        if since
            .compare_exchange(0, now + 1, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
        {
            tracing::info!("the database answers again");
        }
    }

    fn failed(&self, refused: &Refused) {
        if self.0.unbroken_since.swap(0, Ordering::AcqRel) != 0 {
            let cause = refused.detail.as_deref();
            tracing::warn!(
                cause,
                "the database does not answer; live calls and their recordings go on"
            );
        }
    }

    /// There is no connection.
    fn lost(&self, error: sqlx::Error) -> Refused {
        let refused = Refused::from(error);
        self.failed(&refused);
        refused
    }

    fn note(&self, refused: &Refused) {
        if refused.code == Code::Database {
            self.failed(refused);
        }
    }
}

/// A decision's task ended before its decision: a defect of ours, contained to this one.
pub(crate) fn broken(part: &'static str) -> Refused {
    tracing::error!(part, "a decision broke off");
    Refused::new(Code::Internal)
}

/// Whether the transaction has changed anything, or locked a row.
async fn has_written(tx: &mut Tx) -> Result<bool, Refused> {
    Ok(sqlx::query_scalar(HAS_WRITTEN).fetch_one(tx.conn()).await?)
}

/// Sets role and identity for this transaction only.
async fn enter(tx: &mut Tx, ctx: &Ctx) -> Result<(), Refused> {
    let (role, user, staff, staff_role, teams) = match ctx {
        Ctx::Customer(user) => ("app_customer", user.as_str(), String::new(), "", String::new()),
        Ctx::Staff { staff, role } => {
            let id = Uuid::from_u128(staff.0);
            tx.become_desk().await?;
            let teams = crate::store::staff::teams(tx.conn(), id).await?;
            let teams: Vec<String> = teams.iter().map(Uuid::to_string).collect();
            ("app_staff", "", id.to_string(), *role, teams.join(","))
        }
        Ctx::System(_) => ("app_desk", "", String::new(), "", String::new()),
    };
    sqlx::query(ENTER)
        .bind(role)
        .bind(user)
        .bind(staff)
        .bind(staff_role)
        .bind(teams)
        .execute(tx.conn())
        .await?;
    let At(now) = sqlx::query_scalar(NOW).fetch_one(tx.conn()).await?;
    tx.now = now;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn store() -> Option<Store> {
        let db = local_postgres::testing::database("helpline_migrated", |owner_url| async move {
            migrations::migrate(&owner_url).await.unwrap();
        })
        .await?;
        Some(
            Store::connect(&DeskConfig {
                database_url: db.app_url,
            })
            .await
            .unwrap(),
        )
    }

    #[tokio::test]
    async fn a_clock_that_jumps_ahead_counts_as_an_outage_that_is_over() {
        let Some(store) = store().await else { return };
        let long = Duration::from_secs(60);
        tokio::time::pause();
        tokio::time::advance(long).await;
        let clock = store.clock();
        // Virtual time has run on without the database's: as if its clock had been set back, which ends nobody's lease.
        store.greeted(clock.minus(Span::seconds(60)));
        assert!(store.unbroken_for() >= long);
        let clock = store.clock();
        store.greeted(clock.plus(CLOCK_STEP_MAX));
        assert!(store.unbroken_for() >= long, "what a busy machine takes is no jump");
        let clock = store.clock();
        store.greeted(clock.plus(CLOCK_STEP_MAX).plus(Span::millis(1)));
        assert!(store.unbroken_for() < Duration::from_secs(1));
        tokio::time::advance(long).await;
        assert!(store.unbroken_for() >= long, "it counts anew from there");
    }

    /// Every place of the pool is free only when every connection has come back and was looked at.
    async fn all_returned(store: &Store) {
        let mut held = Vec::new();
        for _ in 0..CONNECTIONS_MAX {
            held.push(store.0.pool.acquire().await.unwrap());
        }
    }

    #[tokio::test]
    async fn a_connection_that_comes_back_clean_is_kept() {
        let Some(store) = store().await else { return };
        for _ in 0..3 {
            store
                .with_ctx(Ctx::System("test"), |tx| {
                    Box::pin(async move { tx.read_clock().await.map(|_| ()) })
                })
                .await
                .unwrap();
        }
        all_returned(&store).await;
        assert_eq!(store.leaked_connections(), 0);
    }

    #[tokio::test]
    async fn a_connection_with_an_open_transaction_is_thrown_away() {
        let Some(store) = store().await else { return };
        let mut conn = store.0.pool.acquire().await.unwrap();
        sqlx::raw_sql("begin").execute(&mut *conn).await.unwrap();
        drop(conn);
        all_returned(&store).await;
        assert_eq!(store.leaked_connections(), 1);
    }
}
