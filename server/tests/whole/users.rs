//! `helpline user` beside a server that runs, and beside none.

use std::io::Write;
use std::process::{Output, Stdio};

use reqwest::Method;
use serde_json::{Value, json};

use crate::binary::{Binary, Folder, ONE, command};

/// Runs one command of the binary in `folder` to its end, with `input` on its standard input.
fn user(folder: &Folder, arguments: &[&str], input: &str) -> Output {
    let mut command = command(&["user"], folder, arguments);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary starts");
    let mut stdin = child.stdin.take().expect("its input is a pipe");
    stdin.write_all(input.as_bytes()).expect("it reads or ends");
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

async fn sign_in(binary: &Binary, email: &str, password: &str) -> (u16, Value) {
    let request = binary.desk().request(Method::POST, "/api/support/auth/login", "");
    let body = json!({ "email": email, "password": password });
    let reply = request.json(&body).send().await.expect("an answer");
    let status = reply.status().as_u16();
    (status, reply.json().await.unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_admin_is_made_before_the_first_start_and_a_password_is_reset_while_it_runs() {
    let _turn = ONE.lock().await;
    let folder = Folder::new("users");
    let admin = [
        "create",
        "--email",
        "esther@bank.test",
        "--name",
        "Esther",
        "--role",
        "super_admin",
    ];
    let made = user(&folder, &admin, "");
    assert!(made.status.success(), "{}", said(&made));
    let text = String::from_utf8(made.stdout).expect("text");
    let password = text
        .lines()
        .find_map(|line| line.strip_prefix("Password, shown this once: "));
    let password = password.expect("a password was made").to_owned();

    let binary = Binary::start(&folder, &[], &[]).await;
    let (status, me) = sign_in(&binary, "esther@bank.test", &password).await;
    assert_eq!((status, me["role"].as_str()), (200, Some("super_admin")), "{me}");

    let reset = user(
        &folder,
        &["reset-password", "esther@bank.test", "--password-stdin"],
        "a much longer one\n",
    );
    assert!(reset.status.success(), "{}", said(&reset));
    assert!(!said(&reset).contains("a much longer one"));
    assert_eq!(sign_in(&binary, "esther@bank.test", &password).await.0, 401);
    assert_eq!(sign_in(&binary, "esther@bank.test", "a much longer one").await.0, 200);

    let list = user(&folder, &["list", "--json"], "");
    let list: Value = serde_json::from_slice(&list.stdout).expect("JSON");
    let emails: Vec<_> = list
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| &one["email"])
        .collect();
    assert!(
        emails.contains(&&json!("esther@bank.test")) && emails.len() > 1,
        "{emails:?}"
    );

    let twice = user(&folder, &admin, "");
    assert_eq!(twice.status.code(), Some(1));
    assert!(said(&twice).contains("email"), "{}", said(&twice));
    let short = user(
        &folder,
        &["reset-password", "esther@bank.test", "--password-stdin"],
        "short\n",
    );
    assert_eq!(short.status.code(), Some(1));
    assert!(said(&short).contains("password"), "{}", said(&short));
    binary.stop().await;
}
