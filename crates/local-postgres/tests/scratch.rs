//! Databases of tests: fresh, separate, cheap, and gone with the process that asked for them.

#![cfg(test)]

use local_postgres::testing;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};

async fn connect(url: &str) -> PgConnection {
    PgConnection::connect_with(&url.parse::<PgConnectOptions>().unwrap())
        .await
        .unwrap()
}

async fn prepare(url: String) {
    let mut conn = connect(&url).await;
    sqlx::raw_sql("create table t (n int)")
        .execute(&mut conn)
        .await
        .unwrap();
}

#[tokio::test]
async fn every_test_has_a_database_of_its_own_with_the_templates_tables() {
    let Some(one) = testing::database("template_a", prepare).await else {
        return;
    };
    let two = testing::database("template_a", |_| async { panic!("prepared twice") })
        .await
        .unwrap();
    assert_ne!(one.name, two.name);
    let mut conn = connect(&one.owner_url).await;
    sqlx::raw_sql("insert into t values (1)")
        .execute(&mut conn)
        .await
        .unwrap();
    let mut other = connect(&two.owner_url).await;
    let rows: i64 = sqlx::query_scalar("select count(*) from t")
        .fetch_one(&mut other)
        .await
        .unwrap();
    assert_eq!(rows, 0);
    let mut app = connect(&two.app_url).await;
    assert!(
        sqlx::query("select * from t").execute(&mut app).await.is_err(),
        "the program's role owns nothing"
    );
}

#[tokio::test]
async fn a_scratch_cluster_can_be_away_and_come_back() {
    let Some(mut cluster) = testing::scratch().await else {
        return;
    };
    let url = cluster.owner_url();
    cluster
        .restart_after(async {
            let options: PgConnectOptions = url.parse().unwrap();
            assert!(PgConnection::connect_with(&options).await.is_err());
        })
        .await
        .unwrap();
    connect(&cluster.owner_url()).await;
    cluster.stop().await;
}
