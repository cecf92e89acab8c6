//! Settings over HTTP: who may, what is said about a wrong value, and a leaf that nobody knows.

mod common;

use axum::http::StatusCode;
use serde_json::{Value, json};

const SETTINGS: &str = "/api/support/settings";

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_reads_and_sets_and_a_wrong_value_is_named_with_its_limits() {
    let mut server = server!(false);
    let admin = server
        .promoted(
            "esther",
            "update helpline.staff set role = 'admin' where staff_name = 'esther'",
        )
        .await;
    let get = server.ask("GET", SETTINGS).bearer(&admin).send().await;
    assert_eq!(get.status, StatusCode::OK, "{get:?}");
    let mut wanted = get.json()["quality"]["value"].clone();
    assert_eq!((&wanted["lowMos"], &wanted["highRttMs"]), (&json!(3.5), &json!(400)));

    wanted["lowMos"] = json!(3.1);
    let put = |body: Value| {
        let ask = server.ask("PUT", format!("{SETTINGS}/quality")).bearer(&admin);
        async move { ask.header("if-match", "*").json(&body).send().await }
    };
    let done = put(wanted.clone()).await;
    assert_eq!(done.status, StatusCode::OK, "{done:?}");
    assert_eq!(done.json()["quality"]["value"], wanted);

    let mut wrong = wanted.clone();
    wrong["lowMos"] = json!(4.5);
    wrong["deadAirSeconds"] = json!(4);
    let refused = put(wrong).await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (StatusCode::UNPROCESSABLE_ENTITY, "validation")
    );
    let errors = refused.json()["errors"].clone();
    assert_eq!(errors[0]["field"], "lowMos");
    assert_eq!(errors[1]["field"], "deadAirSeconds");
    assert_eq!(errors[1]["message"], "must lie between 5 and 600");

    let mut odd = wanted.clone();
    odd["lowMoss"] = json!(3.0);
    let mut partial = wanted.clone();
    partial.as_object_mut().expect("an object").remove("highRttMs");
    for body in [odd, partial, json!({}), json!({ "lowMos": "low" })] {
        assert_eq!(put(body).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    }
    let now = server.ask("GET", SETTINGS).bearer(&admin).send().await.json();
    assert_eq!(now["quality"]["value"], wanted, "no refusal changed anything");

    let supervision = |body: Value| {
        let ask = server.ask("PUT", format!("{SETTINGS}/supervision")).bearer(&admin);
        async move { ask.header("if-match", "\"0\"").json(&body).send().await }
    };
    let told = json!({ "announce": "tone", "announceTo": "all" });
    let done = supervision(told.clone()).await;
    assert_eq!(done.json()["supervision"]["value"], told, "{done:?}");
    for odd in [
        json!({ "announce": "tone" }),
        json!({ "announce": "loud", "announceTo": "all" }),
    ] {
        assert_eq!(supervision(odd).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    }
    let mut mail = now["mail"]["value"].clone();
    mail["qualityAlertRoles"] = json!(["team_lead"]);
    let ask = server.serve("PUT", format!("{SETTINGS}/mail"));
    let done = ask.header("if-match", "*").json(&mail).send().await;
    assert_eq!(done.json()["mail"]["value"]["qualityAlertRoles"], json!(["team_lead"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_and_supervisors_set_nothing() {
    let mut server = server!(false);
    let boss = server
        .promoted(
            "baraka",
            "update helpline.staff set role = 'supervisor' where staff_name = 'baraka'",
        )
        .await;
    let agent = server.promoted("amina", "select 1").await;
    for token in [&boss, &agent] {
        let reply = server.ask("GET", SETTINGS).bearer(token).send().await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (StatusCode::FORBIDDEN, "forbidden")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_names_the_version_that_it_has_seen() {
    let server = server!(false);
    let read = || async { server.serve("GET", SETTINGS).send().await.json() };
    for group in ["quality", "mail", "supervision"] {
        let before = read().await;
        let version = before[group]["version"].as_u64().expect("a number");
        let mut wanted = before[group]["value"].clone();
        match group {
            "quality" => wanted["highRttMs"] = json!(300),
            "mail" => wanted["notifyOnQualityAlert"] = json!(false),
            _ => wanted["announce"] = json!("notice"),
        }
        let put = || server.serve("PUT", format!("{SETTINGS}/{group}")).json(&wanted);
        let blind = put().send().await;
        assert_eq!(
            (blind.status.as_u16(), blind.code().as_str()),
            (428, "precondition_required"),
            "{group}"
        );
        for stale in [
            format!("\"{}\"", version + 1),
            format!("W/\"{version}\""),
            version.to_string(),
        ] {
            let refused = put().header("if-match", stale).send().await;
            assert_eq!(
                (refused.status.as_u16(), refused.code().as_str()),
                (412, "version_mismatch"),
                "{group}"
            );
            assert!(refused.json()["detail"].as_str().unwrap().contains("Somebody else"));
        }
        assert_eq!(read().await, before);
        let done = put().header("if-match", format!("\"{version}\"")).send().await;
        assert_eq!(done.json()[group]["value"], wanted, "{done:?}");
        assert_eq!(done.json()[group]["version"], json!(version + 1));
    }
}
