//! Who may do what: role x table x verb, and which rows each role sees.

#![cfg(test)]

mod support;

use std::collections::BTreeMap;

use sqlx::{AssertSqlSafe, PgConnection};
use support::{CALLS, PEOPLE, connect, database, refused, run};

/// Table, then what app_desk, app_staff and app_customer may do: select, insert, update, delete.
const MATRIX: &[(&str, &str, &str, &str)] = &[
    ("helpline._sqlx_migrations", "S", "", ""),
    ("helpline.call_events", "SI", "S", ""),
    ("helpline.call_intervals", "SIU", "S", ""),
    ("helpline.call_legs", "SIU", "S", ""),
    ("helpline.call_transitions", "S", "", ""),
    ("helpline.cooldowns", "SIUD", "", ""),
    ("helpline.hub_events", "SIUD", "", ""),
    ("helpline.idempotency_keys", "SIUD", "", ""),
    ("helpline.media_nodes", "SIU", "", ""),
    ("helpline.node_commands", "SIUD", "", ""),
    ("helpline.offer_transitions", "S", "", ""),
    ("helpline.offers", "SIU", "S", ""),
    ("helpline.outbox", "SIUD", "", ""),
    ("helpline.outbox_dead", "S", "", ""),
    ("helpline.preflight_links", "SIUD", "S", ""),
    ("helpline.preflights", "SIUD", "S", ""),
    ("helpline.quality_heard", "SI", "S", ""),
    ("helpline.quality_quiet", "SIUD", "", ""),
    ("helpline.quality_raised", "SIUD", "", ""),
    ("helpline.quality_samples", "SI", "S", ""),
    ("helpline.queue_members", "SIUD", "S", ""),
    ("helpline.queues", "SIU", "S", ""),
    ("helpline.recording_steps", "SI", "", ""),
    ("helpline.recording_voices", "SI", "S", ""),
    ("helpline.recordings", "SIU", "S", ""),
    ("helpline.settings_history", "S", "", ""),
    ("helpline.staff", "SIU", "S", ""),
    ("helpline.staff_passwords", "SIU", "", ""),
    ("helpline.staff_presence", "SIU", "S", ""),
    ("helpline.staff_sessions", "SIUD", "", ""),
    ("helpline.staff_teams", "SIUD", "", ""),
    ("helpline.teams", "SIU", "S", ""),
    ("public.call_queue", "SIU", "S", "S"),
    ("public.support_activity_logs", "SI", "S", ""),
    ("public.support_settings", "SIU", "S", ""),
    ("public.support_staff", "SIU", "S", ""),
    ("public.voice_calls", "SIU", "S", "S"),
    ("public.webrtc_signaling", "SIUD", "", ""),
];

#[tokio::test]
async fn the_matrix_of_roles_tables_and_verbs_is_exactly_this() {
    let Some(db) = database().await else { return };
    let mut conn = connect(&db.superuser_url).await;
    let found: Vec<(String, String, String)> = sqlx::query_as(
        "select n.nspname || '.' || c.relname, r.rolname::text,
            concat(case when has_table_privilege(r.oid, c.oid, 'select') then 'S' end,
                case when has_table_privilege(r.oid, c.oid, 'insert') then 'I' end,
                case when has_table_privilege(r.oid, c.oid, 'update') then 'U' end,
                case when has_table_privilege(r.oid, c.oid, 'delete') then 'D' end)
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
            cross join pg_roles r
        where n.nspname in ('public', 'helpline') and c.relkind in ('r', 'p', 'v')
            and r.rolname in ('app_desk', 'app_staff', 'app_customer', 'helpline_app')",
    )
    .fetch_all(&mut conn)
    .await
    .unwrap();
    let mut expected = BTreeMap::new();
    for (table, desk, staff, customer) in MATRIX {
        for (role, verbs) in [
            ("app_desk", desk),
            ("app_staff", staff),
            ("app_customer", customer),
            ("helpline_app", &""),
        ] {
            expected.insert((table.to_string(), role.to_owned()), verbs.to_string());
        }
    }
    let found: BTreeMap<_, _> = found
        .into_iter()
        .map(|(table, role, verbs)| ((table, role), verbs))
        .collect();
    assert_eq!(found, expected);
    let open: Vec<String> = sqlx::query_scalar(
        "select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname in ('public', 'helpline') and c.relkind in ('r', 'p') and c.relname <> '_sqlx_migrations'
            and not (c.relrowsecurity and c.relforcerowsecurity)",
    )
    .fetch_all(&mut conn)
    .await
    .unwrap();
    assert!(open.is_empty(), "without forced row security: {open:?}");
}

/// Rows of the table that `role` sees in this context.
async fn seen(conn: &mut PgConnection, role: &str, context: &[(&str, &str)], table: &str) -> i64 {
    let mut tx = sqlx::Connection::begin(conn).await.unwrap();
    for (key, value) in [("role", role)].iter().chain(context) {
        sqlx::query("select set_config($1, $2, true)")
            .bind(key)
            .bind(value)
            .execute(&mut *tx)
            .await
            .unwrap();
    }
    let sql = format!("select count(*) from {table}");
    let rows = sqlx::query_scalar(AssertSqlSafe(sql))
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    tx.rollback().await.unwrap();
    rows
}

const ONE: &str = "00000000-0000-0000-0000-000000000001";
const TWO: &str = "00000000-0000-0000-0000-000000000002";
const THREE: &str = "00000000-0000-0000-0000-000000000003";
const FOUR: &str = "00000000-0000-0000-0000-000000000004";

#[tokio::test]
async fn each_role_sees_its_rows_and_without_a_context_none() {
    let Some(db) = database().await else { return };
    let mut admin = connect(&db.superuser_url).await;
    run(&mut admin, PEOPLE).await;
    run(&mut admin, CALLS).await;
    // c1 goes to agent One; c2 waits.
    run(
        &mut admin,
        "update voice_calls set status = 'ringing' where user_id = 'u1';
        update voice_calls set status = 'connecting', assigned_staff_id = '00000000-0000-0000-0000-000000000001'
            where user_id = 'u1';
        insert into helpline.call_events (call_id, seq, kind, at, actor) select id, 1, 'k', now(), 'a' from voice_calls;
        insert into helpline.offers (id, call_id, channel, staff_id, slot, expires_at)
            select gen_random_uuid(), id, 'call', '00000000-0000-0000-0000-000000000001', 1, now() from voice_calls
            where user_id = 'u1';
        insert into support_activity_logs (actor_id, actor_role, action, subject_type, subject_id)
            values ('a', 'agent', 'x', 'call', 'c1')",
    )
    .await;
    let team: String = sqlx::query_scalar("select id::text from helpline.teams where name = 'Support'")
        .fetch_one(&mut admin)
        .await
        .unwrap();
    let mut conn = connect(&db.app_url).await;
    for table in ["voice_calls", "call_queue"] {
        assert_eq!(
            seen(&mut conn, "app_customer", &[("app.user_id", "u1")], table).await,
            1,
            "{table}"
        );
        assert_eq!(
            seen(&mut conn, "app_customer", &[("app.user_id", "nobody")], table).await,
            0,
            "{table}"
        );
        assert_eq!(seen(&mut conn, "app_customer", &[], table).await, 0, "{table}");
        assert_eq!(
            seen(
                &mut conn,
                "app_customer",
                &[("app.staff_id", ONE), ("app.role", "admin")],
                table
            )
            .await,
            0,
            "a customer cannot pass for staff: {table}"
        );
        assert_eq!(seen(&mut conn, "app_staff", &[], table).await, 0, "{table}");
        assert_eq!(seen(&mut conn, "app_desk", &[], table).await, 2, "{table}");
    }
    let as_staff = |id, role, teams| vec![("app.staff_id", id), ("app.role", role), ("app.team_ids", teams)];
    let scopes = [
        // (who, calls, events, offers, staff, audit)
        (as_staff(ONE, "agent", ""), [2, 2, 1, 1, 0]),
        (as_staff(TWO, "agent", ""), [1, 1, 0, 1, 0]),
        (as_staff(THREE, "supervisor", &team), [2, 2, 1, 3, 0]),
        (as_staff(FOUR, "agent", ""), [0, 0, 0, 1, 0]),
        (as_staff(FOUR, "admin", ""), [2, 2, 1, 4, 1]),
    ];
    for (who, expected) in scopes {
        let mut found = Vec::new();
        for table in [
            "voice_calls",
            "helpline.call_events",
            "helpline.offers",
            "support_staff",
            "support_activity_logs",
        ] {
            found.push(seen(&mut conn, "app_staff", &who, table).await);
        }
        assert_eq!(found, expected, "{who:?}");
    }
    let mut owner = connect(&db.owner_url).await;
    let rows: i64 = sqlx::query_scalar("select count(*) from voice_calls")
        .fetch_one(&mut owner)
        .await
        .unwrap();
    assert_eq!(rows, 0, "the owner does not get past FORCE");
}

#[tokio::test]
async fn the_staff_view_takes_its_real_columns_and_refuses_the_derived_ones() {
    let Some(db) = database().await else { return };
    let mut admin = connect(&db.superuser_url).await;
    run(&mut admin, PEOPLE).await;
    let mut conn = connect(&db.app_url).await;
    run(&mut conn, "set role app_desk").await;
    run(
        &mut conn,
        "update support_staff set status = 'online' where staff_name = 'One';
        insert into support_staff (user_id, staff_name, email) values ('s9', 'Nine', 'nine@x.test')",
    )
    .await;
    assert_eq!(
        refused(&mut conn, "update support_staff set current_call_count = 3").await,
        "0A000"
    );
    run(&mut conn, "set role app_staff").await;
    assert_eq!(
        refused(&mut conn, "update support_staff set status = 'away'").await,
        "42501"
    );
    assert_eq!(
        refused(&mut conn, "select hash from helpline.staff_passwords").await,
        "42501"
    );
}
