//! Who is believed, and for how long.

use ports::{LegId, LegState};
use turn_relay::core::Rejected;
use turn_relay::core::credential::{LegNames, Secret, Secrets, mint};

use crate::bed::{BEGIN_S, Client, LEG, SHARD_0, bed, config, secret, with};

fn minted(expiry: u64, key: &Secret) -> Client {
    let mut client = Client::at("198.51.100.7:5000");
    (client.user, client.password) = mint(key, LEG, expiry);
    client
}

fn rejected(reason: Rejected) -> usize {
    Rejected::ALL
        .iter()
        .position(|&one| one == reason)
        .expect("all of them are there")
}

#[test]
fn a_user_name_is_expiry_leg_and_key_and_short() {
    let (user, password) = mint(&secret(255), LegId(u128::MAX), 9_999_999_999);
    assert_eq!(user, "9999999999:ffffffffffffffffffffffffffffffff:255");
    assert!(user.len() <= 64 && user.is_ascii());
    assert_eq!(password.len(), 28);
}

/// HMAC-SHA1 of RFC 2202, test case 2, through the same path: the password is its base64.
#[test]
fn the_password_is_the_base64_of_an_hmac_sha1() {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use ring::hmac;
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &[3; 32]);
    let (user, password) = mint(&secret(3), LEG, 1);
    assert_eq!(password, STANDARD.encode(hmac::sign(&key, user.as_bytes())));
}

#[test]
fn the_time_to_allocate_ends_at_its_second() {
    for (expiry, code) in [
        (BEGIN_S - 1, 401),
        (BEGIN_S, 401),
        (BEGIN_S + 1, 0),
        (BEGIN_S + 300, 0),
        (BEGIN_S + 301, 401),
        (BEGIN_S + 86_400, 401),
    ] {
        let mut bed = bed();
        let mut client = minted(expiry, &secret(0));
        assert_eq!(bed.allocate_with(&mut client, |_| Ok(())).code(), code, "{expiry}");
    }
}

#[test]
fn an_expired_user_name_goes_on_with_what_it_has() {
    let (mut bed, mut client) = (bed(), Client::at("198.51.100.7:5000"));
    bed.allocate(&mut client);
    bed.advance(500);
    assert_eq!(bed.refresh(&mut client, 600).code(), 0);
    assert_eq!(bed.permit(&mut client, &[SHARD_0]), 0);
    assert_eq!(bed.bind(&mut client, 0x4000, SHARD_0), 0);
}

#[test]
fn an_ice_restart_with_old_credentials_is_refused() {
    let (mut bed, mut client) = (bed(), Client::at("198.51.100.7:5000"));
    bed.allocate(&mut client);
    bed.advance(300);
    let mut again = client.clone();
    again.flow.remote.set_port(5_001);
    again.nonce.clear();
    assert_eq!(bed.allocate_with(&mut again, |_| Ok(())).code(), 401);
    (again.user, again.password) = mint(&secret(0), LEG, bed.at.unix_s + 120);
    assert_eq!(
        bed.allocate_with(&mut again, |_| Ok(())).code(),
        0,
        "a fresh grant works"
    );
    assert_eq!(bed.core.allocations(), 2);
}

#[test]
fn an_expired_user_name_whose_allocation_has_ended_learns_that_it_has() {
    let (mut bed, mut client) = (bed(), Client::at("198.51.100.7:5000"));
    bed.allocate(&mut client);
    bed.advance(602);
    bed.tick();
    bed.fresh_nonce(&mut client);
    assert_eq!(bed.refresh(&mut client, 600).code(), 437);
}

#[test]
fn two_secrets_count_at_a_time() {
    let mut bed = bed();
    let rotate = |current: u8, previous: u8| Secrets {
        current: secret(current),
        previous: Some(secret(previous)),
    };
    let mut first = minted(BEGIN_S + 120, &secret(0));
    bed.allocate(&mut first);
    bed.core.set_secrets(rotate(1, 0));
    let mut again = minted(BEGIN_S + 120, &secret(0));
    again.flow.remote.set_port(5_001);
    bed.allocate(&mut again);
    let mut new = minted(BEGIN_S + 120, &secret(1));
    new.flow.remote.set_port(5_002);
    bed.allocate(&mut new);
    bed.core.set_secrets(rotate(2, 1));
    let mut old = minted(BEGIN_S + 120, &secret(0));
    old.flow.remote.set_port(5_003);
    assert_eq!(bed.allocate_with(&mut old, |_| Ok(())).code(), 401);
    assert_eq!(bed.core.counters().rejected[rejected(Rejected::UnknownSecret)], 1);
    assert_eq!(
        bed.refresh(&mut first, 600).code(),
        0,
        "what runs, runs on: its key is kept"
    );
}

#[test]
fn every_cause_looks_the_same_and_is_counted_apart() {
    let leg = format!("{:032x}", LEG.0);
    let names = [
        (format!("{}:{leg}:0", BEGIN_S + 120), Rejected::Integrity),
        (format!("{}:{leg}:9", BEGIN_S + 120), Rejected::UnknownSecret),
        (format!("{}:{leg}:256", BEGIN_S + 120), Rejected::Malformed),
        (
            format!("{}:{}:0", BEGIN_S + 120, leg.to_uppercase()),
            Rejected::Malformed,
        ),
        (format!("{}:leg1:0", BEGIN_S + 120), Rejected::Malformed),
        (format!("+{}:{leg}:0", BEGIN_S + 120), Rejected::Malformed),
        (format!("{}:{leg}", BEGIN_S + 120), Rejected::Malformed),
        (format!("{}:{leg}:0:0", BEGIN_S + 120), Rejected::Malformed),
        (format!("18446744073709551616:{leg}:0"), Rejected::Malformed),
        ("x".repeat(65), Rejected::Malformed),
        ("\u{130}\u{301}:\u{fdfa}".to_owned(), Rejected::Malformed),
        (String::new(), Rejected::Malformed),
    ];
    let mut shapes = Vec::new();
    for (user, reason) in names {
        let (mut bed, mut client) = (bed(), Client::at("198.51.100.7:5000"));
        client.user = user;
        client.password = "guess".to_owned();
        let answer = bed.allocate_with(&mut client, |_| Ok(()));
        shapes.push((answer.code(), answer.0.len()));
        assert_eq!(
            bed.core.counters().rejected[rejected(reason)],
            1,
            "{}: {reason:?}",
            client.user
        );
    }
    assert!(shapes.iter().all(|shape| *shape == (401, 60)), "{shapes:?}");
}

#[test]
fn a_credential_is_bound_to_its_leg() {
    let (mut bed, mut client) = (bed(), Client::at("198.51.100.7:5000"));
    let other = LegId(1);
    bed.outside.legs.insert(other, LegState::Live);
    client.user = client
        .user
        .replace(&format!("{:032x}", LEG.0), &format!("{:032x}", other.0));
    assert_eq!(bed.allocate_with(&mut client, |_| Ok(())).code(), 401);
}

#[test]
fn tools_may_call_a_leg_by_a_word_if_the_operator_lets_them() {
    let mut bed = with(
        turn_relay::core::Config {
            leg_names: LegNames::Words,
            ..config()
        },
        &[&[SHARD_0]],
    );
    bed.outside.every_leg = Some(LegState::Live);
    let mut client = Client::at("198.51.100.7:5000");
    client.user = format!("{}:leg1:0", BEGIN_S + 120);
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &[0; 32]);
    let tag = ring::hmac::sign(&key, client.user.as_bytes());
    client.password = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, tag);
    assert_eq!(bed.allocate_with(&mut client, |_| Ok(())).code(), 0);
}
