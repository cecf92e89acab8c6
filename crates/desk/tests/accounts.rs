//! Accounts made beside the server: the first admin signs in, a reset ends every session, and all of it is on record.

#![cfg(test)]

mod common;

use std::sync::atomic::{AtomicU8, Ordering};

use common::World;
use desk::{
    Caller, Code, MADE_PASSWORD_BYTES, NewAccount, Random, Refused, create_account, list_accounts, reset_password,
};
use wire::staff::{PresenceSet, PresenceStatus, StaffRole};

/// Every byte is another one than the desk's own source gives.
struct Falling(AtomicU8);

impl Random for Falling {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(self.0.fetch_sub(1, Ordering::Relaxed));
    }
}

fn dice() -> Falling {
    Falling(AtomicU8::new(250))
}

fn wanted(email: &str, role: StaffRole) -> NewAccount {
    NewAccount {
        email: email.to_owned(),
        name: " Esther ".to_owned(),
        role,
        password: Some("a long first password".to_owned()),
        queues: Vec::new(),
    }
}

fn field(refused: &Refused) -> &str {
    assert_eq!(refused.code, Code::Validation, "{refused:?}");
    &refused.fields[0].0
}

#[tokio::test]
async fn the_first_admin_of_an_installation_signs_in_and_adds_the_others() {
    let Some(mut world) = World::new().await else { return };
    let dice = dice();
    let made = create_account(&world.store, &dice, wanted("esther@bank.test", StaffRole::SuperAdmin)).await;
    let made = made.unwrap();
    assert_eq!((made.staff.staff_name.as_str(), made.made_password), ("Esther", None));
    let sign_in = |password: &str| {
        world
            .desk
            .auth()
            .sign_in("Esther@bank.test".to_owned(), password.to_owned())
    };
    assert_eq!(
        sign_in("a long other password").await.unwrap_err().code,
        Code::Unauthenticated
    );
    let (_, caller) = sign_in("a long first password").await.unwrap();
    assert!(
        matches!(
            caller,
            Caller::Staff {
                role: StaffRole::SuperAdmin,
                ..
            }
        ),
        "{caller:?}"
    );
    let another = wire::staff::StaffCreate {
        email: "second@bank.test".to_owned(),
        staff_name: "Second".to_owned(),
        role: StaffRole::Admin,
        password: None,
        queues: Vec::new(),
        max_concurrent_calls: None,
    };
    world.desk.staff_create(&caller, another).await.unwrap();

    // Admins are not rung, agents are.
    assert_eq!(
        world
            .count(
                "select count(*) from helpline.queue_members where staff_id in
        (select id from helpline.staff where role = 'super_admin')"
            )
            .await,
        0
    );
    create_account(&world.store, &dice, wanted("amina@bank.test", StaffRole::Agent))
        .await
        .unwrap();
    assert_eq!(
        world
            .texts(
                "select queue from helpline.queue_members m join helpline.staff s on s.id = m.staff_id
                where s.role = 'agent'"
            )
            .await,
        ["support"]
    );
    let names: Vec<_> = list_accounts(&world.store).await.unwrap();
    let roles: Vec<_> = names.iter().map(|staff| staff.role).collect();
    assert_eq!(roles.len(), 3);
    assert!(roles.contains(&StaffRole::SuperAdmin) && roles.contains(&StaffRole::Agent));
    assert_eq!(
        world
            .texts(
                "select actor_id || ' ' || actor_role || ' ' || action from support_activity_logs
                where actor_role = 'operator'"
            )
            .await,
        [
            "command-line operator staff.created",
            "command-line operator staff.created"
        ]
    );
}

#[tokio::test]
async fn whoever_signs_in_without_an_open_console_is_offline_until_the_microphone_there_is_checked() {
    let Some(mut world) = World::new().await else { return };
    let dice = dice();
    let made = create_account(&world.store, &dice, wanted("a@bank.test", StaffRole::Agent)).await;
    made.unwrap();
    let desk = world.desk.clone();
    let sign_in = || {
        desk.auth()
            .sign_in("a@bank.test".to_owned(), "a long first password".to_owned())
    };
    let (_, caller) = sign_in().await.unwrap();
    let online = PresenceSet {
        status: PresenceStatus::Online,
        reason: None,
        media_checked: true,
    };
    world.desk.set_presence(&caller, online).await.unwrap();
    let state = "select s.status || ' ' || (p.media_checked_at is not null) from helpline.staff s
        join helpline.staff_presence p on p.staff_id = s.id";

    // A second browser beside the open console changes nothing.
    sign_in().await.unwrap();
    assert_eq!(world.texts(state).await, ["online true"]);

    world
        .run("update helpline.staff_presence set lease_until = clock_timestamp()")
        .await;
    sign_in().await.unwrap();
    assert_eq!(world.texts(state).await, ["offline false"]);
    let me = world.desk.me(&caller).await.unwrap();
    assert_eq!(me.presence, PresenceStatus::Offline);
}

#[tokio::test]
async fn an_account_that_cannot_be_is_refused_with_its_field_and_nothing_is_left_of_it() {
    let Some(mut world) = World::new().await else { return };
    let dice = dice();
    create_account(&world.store, &dice, wanted("a@bank.test", StaffRole::Admin))
        .await
        .unwrap();
    let good = || wanted("b@bank.test", StaffRole::Agent);
    for (expected, wrong) in [
        (
            "email",
            NewAccount {
                email: "A@BANK.test".to_owned(),
                ..good()
            },
        ),
        (
            "email",
            NewAccount {
                email: "nobody".to_owned(),
                ..good()
            },
        ),
        (
            "staffName",
            NewAccount {
                name: " ".to_owned(),
                ..good()
            },
        ),
        (
            "password",
            NewAccount {
                password: Some("x".repeat(11)),
                ..good()
            },
        ),
        (
            "queues",
            NewAccount {
                queues: vec!["nowhere".to_owned()],
                ..good()
            },
        ),
    ] {
        let refused = create_account(&world.store, &dice, wrong).await.err().unwrap();
        assert_eq!(field(&refused), expected);
    }
    assert_eq!(world.count("select count(*) from helpline.staff").await, 1);
}

#[tokio::test]
async fn a_reset_password_replaces_the_old_one_and_signs_out_everywhere() {
    let Some(world) = World::new().await else { return };
    let dice = dice();
    create_account(&world.store, &dice, wanted("a@bank.test", StaffRole::Admin))
        .await
        .unwrap();
    let sign_in = |password: String| world.desk.auth().sign_in("a@bank.test".to_owned(), password);
    let (token, _) = sign_in("a long first password".to_owned()).await.unwrap();
    let reset = reset_password(&world.store, &dice, "A@bank.test".to_owned(), None)
        .await
        .unwrap();
    let made = reset.made_password.unwrap();
    assert_eq!(made.len(), MADE_PASSWORD_BYTES * 4 / 3);
    let old = sign_in("a long first password".to_owned()).await;
    assert_eq!(old.unwrap_err().code, Code::Unauthenticated);
    let over = world.desk.auth().bearer(&token.expose()).await;
    assert_eq!(over.unwrap_err().code, Code::Unauthenticated, "its sessions have ended");
    sign_in(made).await.unwrap();

    let nobody = reset_password(&world.store, &dice, "b@bank.test".to_owned(), None).await;
    assert_eq!(nobody.err().unwrap().code, Code::NotFound);
    let short = reset_password(&world.store, &dice, "a@bank.test".to_owned(), Some("short".to_owned())).await;
    assert_eq!(field(&short.err().unwrap()), "password");
}
