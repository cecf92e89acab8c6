//! The schema by itself: it migrates from empty, refuses what it does not know, and makes wrong states impossible.

#![cfg(test)]

mod support;

use desk::migrations::{self, Fault};
use desk::{DeskConfig, Store};
use local_postgres::testing;
use sqlx::{Executor, SqlSafeStr};
use support::{CALLS, PEOPLE, connect, database, refused, run};

#[tokio::test]
async fn an_empty_database_is_migrated_once_and_then_current() {
    let Some(db) = testing::database("helpline_empty", |_| async {}).await else {
        return;
    };
    let before = migrations::status(&db.owner_url).await.unwrap();
    assert!(before.applied.is_empty() && !before.pending.is_empty());
    let config = DeskConfig {
        database_url: db.app_url.clone(),
    };
    let fault = Store::connect(&config).await.err().unwrap();
    assert!(
        matches!(fault, Fault::Pending(n) if n == before.pending.len()),
        "{fault}"
    );
    let after = migrations::migrate(&db.owner_url).await.unwrap();
    assert_eq!((after.applied.len(), after.pending.len()), (before.pending.len(), 0));
    assert_eq!(
        migrations::migrate(&db.owner_url).await.unwrap(),
        after,
        "twice is once"
    );
    Store::connect(&config).await.unwrap();
}

#[tokio::test]
async fn a_database_from_the_future_or_half_migrated_is_refused() {
    let Some(db) = database().await else { return };
    let mut conn = connect(&db.owner_url).await;
    run(
        &mut conn,
        "insert into helpline._sqlx_migrations values (9999, 'later', now(), true, '\\x00', 1)",
    )
    .await;
    let config = DeskConfig {
        database_url: db.app_url.clone(),
    };
    assert!(matches!(
        Store::connect(&config).await.err().unwrap(),
        Fault::FromTheFuture(9999)
    ));
    assert!(matches!(
        migrations::migrate(&db.owner_url).await.unwrap_err(),
        Fault::FromTheFuture(9999)
    ));
    run(
        &mut conn,
        "update helpline._sqlx_migrations set version = 998, success = false where version = 9999",
    )
    .await;
    assert!(matches!(
        Store::connect(&config).await.err().unwrap(),
        Fault::Dirty(998)
    ));
    run(&mut conn, "delete from helpline._sqlx_migrations where version = 998").await;
    run(
        &mut conn,
        "update helpline._sqlx_migrations set checksum = '\\x00' where version = 1",
    )
    .await;
    assert!(matches!(
        migrations::status(&db.owner_url).await.unwrap_err(),
        Fault::Changed(1)
    ));
}

#[tokio::test]
async fn somebody_elses_table_of_the_same_name_stops_the_migration() {
    let Some(db) = testing::database("helpline_taken", |_| async {}).await else {
        return;
    };
    let mut conn = connect(&db.superuser_url).await;
    run(&mut conn, "create table public.chat_sessions (precious text)").await;
    let fault = migrations::migrate(&db.owner_url).await.unwrap_err();
    let Fault::Failed { number: 1, source } = &fault else {
        panic!("{fault}")
    };
    assert!(source.to_string().contains("chat_sessions"), "{source}");
    run(&mut conn, "select precious from public.chat_sessions").await;
}

/// Every SQL constant of the sources: `const NAME: &str = "select …";`.
fn statements() -> Vec<(String, String)> {
    fn walk(folder: &std::path::Path, found: &mut Vec<(String, String)>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for part in text.split("const ").skip(1) {
                let Some((name, rest)) = part.split_once(": &str =") else {
                    continue;
                };
                let Some(literal) = rest.trim_start().strip_prefix('"') else {
                    continue;
                };
                let sql = literal.split("\";").next().unwrap().to_owned();
                let verb = sql.split_whitespace().next().unwrap_or_default();
                if ["select", "insert", "update", "delete", "with"].contains(&verb) {
                    found.push((format!("{}:{name}", path.file_name().unwrap().display()), sql));
                }
            }
        }
    }
    let mut found = Vec::new();
    walk(
        &std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut found,
    );
    found
}

#[tokio::test]
async fn every_statement_of_the_sources_fits_the_schema() {
    let Some(db) = database().await else { return };
    let statements = statements();
    assert!(statements.len() > 60, "only {} statements were found", statements.len());
    let mut conn = connect(&db.app_url).await;
    run(&mut conn, "set search_path = helpline, public").await;
    run(&mut conn, "set role app_desk").await;
    let mut wrong = Vec::new();
    for (name, sql) in statements {
        assert_eq!(
            sql.split('\'').step_by(2).collect::<String>().to_lowercase(),
            sql.split('\'').step_by(2).collect::<String>(),
            "{name} is not lower-case"
        );
        if let Err(error) = conn.prepare(sqlx::AssertSqlSafe(sql).into_sql_str()).await {
            wrong.push(format!("{name}: {error}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_customer_has_one_live_call_and_a_call_only_legal_steps() {
    let Some(db) = database().await else { return };
    let mut conn = connect(&db.superuser_url).await;
    run(&mut conn, PEOPLE).await;
    run(&mut conn, CALLS).await;
    let second = "insert into voice_calls (id, user_id, status, queue, node_id, node_epoch)
        values (gen_random_uuid(), 'u1', 'initiated', 'support', 'n', 1)";
    assert_eq!(refused(&mut conn, second).await, "one_live_call_per_customer");
    let born = "insert into voice_calls (id, user_id, status, queue, node_id, node_epoch)
        values (gen_random_uuid(), 'u9', 'queued', 'support', 'n', 1)";
    assert_eq!(refused(&mut conn, born).await, "call_begins_initiated");
    let jump = "update voice_calls set status = 'answered', answered_at = now(),
        assigned_staff_id = '00000000-0000-0000-0000-000000000001' where user_id = 'u1'";
    assert_eq!(refused(&mut conn, jump).await, "call_transition");
    let unassigned = "update voice_calls set status = 'ringing' where user_id = 'u1';
        update voice_calls set status = 'connecting' where user_id = 'u1'";
    assert_eq!(refused(&mut conn, unassigned).await, "call_has_an_agent");
    let silent = "update voice_calls set status = 'abandoned', ended_at = now() where user_id = 'u1'";
    assert_eq!(refused(&mut conn, silent).await, "call_end_has_a_reason");
    run(
        &mut conn,
        "update voice_calls set status = 'abandoned', ended_at = now(), end_reason = 'customer_left'
        where user_id = 'u1'",
    )
    .await;
    let again = "update voice_calls set status = 'queued', ended_at = null where user_id = 'u1'";
    assert_eq!(refused(&mut conn, again).await, "call_is_terminal");
    assert_eq!(
        refused(
            &mut conn,
            "update voice_calls set customer_name = 'x' where user_id = 'u1'"
        )
        .await,
        "call_is_terminal"
    );
    run(
        &mut conn,
        "update voice_calls set outcome_code = 'solved', ver = ver + 1 where user_id = 'u1'",
    )
    .await;
    run(&mut conn, second).await;
    assert_eq!(
        refused(&mut conn, "update voice_calls set user_id = 'u3' where user_id = 'u2'").await,
        "call_identity"
    );
}

/// An offer of call `$call` to agent `$agent` in slot `$slot`.
macro_rules! offer {
    ($call:literal, $agent:literal, $slot:literal) => {
        concat!(
            "insert into helpline.offers (id, call_id, channel, staff_id, slot, expires_at) values (gen_random_uuid(),",
            "'00000000-0000-0000-0000-0000000000",
            $call,
            "', 'call', '00000000-0000-0000-0000-00000000000",
            $agent,
            "',",
            $slot,
            ", now() + interval '20 s')"
        )
    };
}

#[tokio::test]
async fn no_contact_is_with_two_agents_and_no_agent_above_his_slots() {
    let Some(db) = database().await else { return };
    let mut conn = connect(&db.superuser_url).await;
    run(&mut conn, PEOPLE).await;
    run(&mut conn, CALLS).await;
    run(&mut conn, offer!("c1", "1", "1")).await;
    assert_eq!(
        refused(&mut conn, offer!("c1", "2", "1")).await,
        "one_exclusive_offer_per_contact"
    );
    assert_eq!(refused(&mut conn, offer!("c2", "1", "1")).await, "one_contact_per_slot");
    let skip = "update helpline.offers set state = 'wrapping'";
    assert_eq!(refused(&mut conn, skip).await, "offer_transition");
    run(
        &mut conn,
        "update helpline.offers set state = 'accepted', accepted_at = now()",
    )
    .await;
    assert_eq!(
        refused(&mut conn, offer!("c1", "2", "1")).await,
        "one_exclusive_offer_per_contact"
    );
    let mut reader = connect(&db.superuser_url).await;
    let count = "select current_call_count from support_staff where staff_name = 'One'";
    assert_eq!(
        sqlx::query_scalar::<_, i32>(count)
            .fetch_one(&mut reader)
            .await
            .unwrap(),
        1
    );
    run(
        &mut conn,
        "update helpline.offers set state = 'wrapping', wrapping_at = now()",
    )
    .await;
    assert_eq!(
        refused(&mut conn, offer!("c2", "1", "1")).await,
        "one_contact_per_slot",
        "wrap-up holds the slot"
    );
    assert_eq!(
        sqlx::query_scalar::<_, i32>(count)
            .fetch_one(&mut reader)
            .await
            .unwrap(),
        0
    );
    run(
        &mut conn,
        "update helpline.offers set state = 'completed', ended_at = now()",
    )
    .await;
    run(&mut conn, offer!("c2", "1", "1")).await;
    let moved = "update helpline.offers set staff_id = '00000000-0000-0000-0000-000000000002' where state = 'pending'";
    assert_eq!(refused(&mut conn, moved).await, "offer_identity");
    let ring_all = "update helpline.offers set exclusive = false where state = 'pending'";
    run(&mut conn, ring_all).await;
    assert_eq!(
        refused(&mut conn, offer!("c2", "1", "2")).await,
        "one_offer_per_contact_and_agent"
    );
}

#[tokio::test]
async fn history_and_audit_only_grow() {
    let Some(db) = database().await else { return };
    let mut conn = connect(&db.superuser_url).await;
    run(&mut conn, PEOPLE).await;
    run(&mut conn, CALLS).await;
    run(
        &mut conn,
        "insert into helpline.call_events (call_id, seq, kind, at, actor)
        select id, 1, 'call.initiated', now(), 'customer' from voice_calls;
        insert into support_activity_logs (actor_id, actor_role, action, subject_type, subject_id)
        values ('a', 'agent', 'call.accepted', 'call', 'c1')",
    )
    .await;
    for sql in [
        "update helpline.call_events set kind = 'x'",
        "delete from helpline.call_events",
        "update support_activity_logs set action = 'x'",
        "delete from support_activity_logs",
        "truncate support_activity_logs",
    ] {
        assert_eq!(refused(&mut conn, sql).await, "append_only", "{sql}");
    }
}

#[tokio::test]
async fn a_month_of_quality_is_made_when_it_is_needed() {
    let Some(db) = database().await else { return };
    let mut conn = connect(&db.app_url).await;
    run(&mut conn, "set role app_desk").await;
    for _ in 0..2 {
        run(&mut conn, "select helpline.ensure_quality_month('2031-02-15 12:00+00')").await;
    }
    run(&mut conn, "insert into helpline.quality_samples (call_at, call_id, leg_id, part, uplink, start_ms, expected,
        received, lost, residual_lost, jitter_ms, rtt_ms, level, mos) values ('2031-02-28 23:59:59+00',
        gen_random_uuid(), gen_random_uuid(), 'agent', true, 0, '{1}', '{1}', '{0}', '{0}', '{1}', '{1}', '{1}', '{4}')")
        .await;
}
