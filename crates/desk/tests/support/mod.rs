//! A migrated database per test, and connections under each of the roles.

#![cfg(test)]
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part of this")]

use local_postgres::testing::{self, Database};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};

/// A fresh, migrated database; `None`, with the reason printed, on a machine without PostgreSQL.
pub async fn database() -> Option<Database> {
    testing::database("helpline_migrated", |owner_url| async move {
        desk::migrations::migrate(&owner_url)
            .await
            .expect("the migrations apply to an empty database");
    })
    .await
}

/// A connection as whoever the URL names.
pub async fn connect(url: &str) -> PgConnection {
    PgConnection::connect_with(&url.parse::<PgConnectOptions>().unwrap())
        .await
        .unwrap()
}

/// Runs statements that must succeed.
pub async fn run(conn: &mut PgConnection, sql: &'static str) {
    sqlx::raw_sql(sql).execute(conn).await.unwrap();
}

/// The constraint that refuses `sql`, or its SQLSTATE.
pub async fn refused(conn: &mut PgConnection, sql: &'static str) -> String {
    let error = sqlx::raw_sql(sql).execute(conn).await.expect_err("must be refused");
    let error = error.into_database_error().expect("refused by the database");
    error
        .constraint()
        .map_or_else(|| error.code().unwrap_or_default().into_owned(), str::to_owned)
}

/// Two agents and a supervisor in one team, a third agent outside, one node; ids end in 1, 2, 3, 4.
pub const PEOPLE: &str = "
    insert into helpline.media_nodes (id, epoch, ws_url, lease_until) values ('n', 1, 'ws://n', now());
    insert into helpline.teams (id, name) values ('00000000-0000-0000-0000-0000000000a1', 'Other');
    insert into helpline.staff (id, user_id, staff_name, email, role, team_id) values
        ('00000000-0000-0000-0000-000000000001', 's1', 'One', 'one@x.test', 'agent',
            (select id from helpline.teams where name = 'Support')),
        ('00000000-0000-0000-0000-000000000002', 's2', 'Two', 'two@x.test', 'agent',
            (select id from helpline.teams where name = 'Support')),
        ('00000000-0000-0000-0000-000000000003', 's3', 'Three', 'three@x.test', 'supervisor',
            (select id from helpline.teams where name = 'Support')),
        ('00000000-0000-0000-0000-000000000004', 's4', 'Four', 'four@x.test', 'agent',
            '00000000-0000-0000-0000-0000000000a1');
    insert into helpline.queue_members (queue, staff_id) values
        ('support', '00000000-0000-0000-0000-000000000001'), ('support', '00000000-0000-0000-0000-000000000002');
";

/// Calls c1 of u1 and c2 of u2, both queued.
pub const CALLS: &str = "
    insert into voice_calls (id, user_id, status, queue, node_id, node_epoch) values
        ('00000000-0000-0000-0000-0000000000c1', 'u1', 'initiated', 'support', 'n', 1),
        ('00000000-0000-0000-0000-0000000000c2', 'u2', 'initiated', 'support', 'n', 1);
    update voice_calls set status = 'queued', enqueued_at = now();
    insert into call_queue (id, call_id, queue, enqueued_at, rank_at, lease_until)
        select gen_random_uuid(), id, queue, now(), now(), now() + interval '1 hour' from voice_calls;
";
