//! A connection that sees everything, for what nobody else may look at.

use call_model::{CallId, StaffId};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::{LOOK, PATIENCE};

/// A connection that sees everything.
pub struct Eye(PgConnection);

impl Eye {
    pub async fn of(url: &str) -> Self {
        let options: PgConnectOptions = url.parse().unwrap();
        Eye(
            PgConnection::connect_with(&options.options([("search_path", "helpline,public"), ("timezone", "UTC")]))
                .await
                .unwrap(),
        )
    }

    /// Of the program's own role, as the desk: for a cluster whose superuser is not at hand.
    pub async fn as_desk(url: &str) -> Self {
        let mut eye = Self::of(url).await;
        eye.run("set role app_desk").await;
        eye
    }

    /// One number.
    pub async fn count(&mut self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&mut self.0).await.unwrap()
    }

    /// One number about one row.
    pub async fn count_of(&mut self, sql: &'static str, id: CallId) -> i64 {
        sqlx::query_scalar(sql)
            .bind(Uuid::from_u128(id.0))
            .fetch_one(&mut self.0)
            .await
            .unwrap()
    }

    /// One text column.
    pub async fn texts(&mut self, sql: &'static str) -> Vec<String> {
        sqlx::query_scalar(sql).fetch_all(&mut self.0).await.unwrap()
    }

    /// One text column about one row.
    pub async fn texts_of(&mut self, sql: &'static str, id: CallId) -> Vec<String> {
        sqlx::query_scalar(sql)
            .bind(Uuid::from_u128(id.0))
            .fetch_all(&mut self.0)
            .await
            .unwrap()
    }

    /// Entries of this kind in the history of a call.
    pub async fn events_of(&mut self, call: CallId, kind: &str) -> i64 {
        sqlx::query_scalar("select count(*) from call_events where call_id = $1 and kind = $2")
            .bind(Uuid::from_u128(call.0))
            .bind(kind)
            .fetch_one(&mut self.0)
            .await
            .unwrap()
    }

    /// One real number.
    pub async fn real(&mut self, sql: &'static str) -> f64 {
        sqlx::query_scalar(sql).fetch_one(&mut self.0).await.unwrap()
    }

    /// One real number about one row.
    pub async fn real_of(&mut self, sql: &'static str, id: CallId) -> f64 {
        sqlx::query_scalar(sql)
            .bind(Uuid::from_u128(id.0))
            .fetch_one(&mut self.0)
            .await
            .unwrap()
    }

    /// Statements that must succeed.
    pub async fn run(&mut self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(&mut self.0).await.unwrap();
    }

    /// Rings a call at an agent without keeping it from others.
    pub async fn ring_shared(&mut self, offer: Uuid, call: CallId, agent: StaffId) {
        sqlx::query(
            "insert into offers (id, call_id, channel, staff_id, slot, exclusive, created_at, expires_at)
            values ($1, $2, 'call', $3, 1, false, clock_timestamp(), clock_timestamp() + interval '20 seconds')",
        )
        .bind(offer)
        .bind(Uuid::from_u128(call.0))
        .bind(Uuid::from_u128(agent.0))
        .execute(&mut self.0)
        .await
        .unwrap();
        sqlx::query("update voice_calls set status = 'ringing' where id = $1")
            .bind(Uuid::from_u128(call.0))
            .execute(&mut self.0)
            .await
            .unwrap();
    }

    /// Waits until the number is `wanted`.
    pub async fn until(&mut self, sql: &'static str, wanted: i64) {
        let looked = timeout(PATIENCE, async {
            while self.count(sql).await != wanted {
                sleep(LOOK).await;
            }
        });
        if looked.await.is_err() {
            let found = self.count(sql).await;
            panic!("{found} and not {wanted}: {sql}");
        }
    }
}
