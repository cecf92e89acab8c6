//! Tests of `relay_plan`.

use super::*;
use confique::Config as _;

fn settings(change: impl FnOnce(&mut Settings)) -> Settings {
    let mut settings = Settings::builder().load().expect("defaults");
    change(&mut settings);
    settings
}

fn plan(change: impl FnOnce(&mut Settings)) -> RelayPlan {
    let advertise = ["192.0.2.9".parse().expect("an address")];
    RelayPlan::of(&settings(change), &advertise, 2).expect("sound")
}

fn refusal(change: impl FnOnce(&mut Settings)) -> String {
    match RelayPlan::of(&settings(change), &[], 2) {
        Err(Fault::Configuration(text)) => text,
        other => panic!("{other:?}"),
    }
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn the_defaults_are_the_guides_ports_and_a_virtual_relay() {
    let plan = plan(|_| {});
    assert_eq!(plan.mode, Mode::Virtual);
    let wanted: Vec<SocketAddr> = turn_relay::PORTS
        .iter()
        .map(|port| SocketAddr::from(([0, 0, 0, 0], *port)))
        .collect();
    assert_eq!(plan.addresses, wanted);
    assert_eq!(plan.host.as_deref(), Some("192.0.2.9"));
    assert!(plan.external.is_none() && plan.policy.is_none() && !plan.ignored_credentials);
}

#[test]
fn older_names_count_where_the_new_ones_are_silent() {
    let plan = plan(|s| {
        s.stun.bind = Some("127.0.0.1".parse().expect("an address"));
        s.stun.ports = Some(vec![0, 0]);
        s.stun.public_host = text("2001:db8::1");
    });
    assert_eq!(plan.addresses, [SocketAddr::from(([127, 0, 0, 1], 0)); 2]);
    assert_eq!(plan.host.as_deref(), Some("[2001:db8::1]"));
    assert!(
        super::RelayPlan::of(&settings(|s| s.stun.ports = Some(Vec::new())), &[], 1)
            .expect("sound")
            .addresses
            .is_empty()
    );
    let both = refusal(|s| {
        s.stun.ports = Some(vec![1]);
        s.turn.ports = Some(vec![2]);
    });
    assert!(both.contains("turn.ports") && both.contains("stun.ports"), "{both}");
}

#[test]
fn what_cannot_work_is_refused_by_the_name_of_its_key() {
    let any = || "0.0.0.0".parse().expect("an address");
    assert!(refusal(|s| s.turn.bind = Some(vec![any(), any()])).contains("turn.bind"));
    assert!(refusal(|s| s.turn.ports = Some(vec![1, 2, 3])).contains("turn.ports"));
    assert!(refusal(|s| s.turn.ports = Some(vec![7, 7])).contains("turn.ports"));
    assert!(refusal(|s| s.turn.tls_key = Some("k.pem".into())).contains("turn.tls_certificate"));
    let missing = refusal(|s| {
        s.turn.tls_certificate = Some("/does/not/exist.pem".into());
        s.turn.tls_key = Some("/does/not/exist.pem".into());
    });
    assert!(missing.contains("turn.tls_certificate"), "{missing}");
    let nameless = refusal(|s| {
        let here = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        s.turn.tls_certificate = Some(here.into());
        s.turn.tls_key = Some(here.into());
    });
    assert!(nameless.contains("turn.public_host"), "{nameless}");
    assert!(refusal(|s| s.turn.realm = String::new()).contains("turn.realm"));
    assert!(refusal(|s| s.turn.realm = "r".repeat(REALM_BYTES_MAX + 1)).contains("turn.realm"));
    assert!(refusal(|s| s.turn.secret = Some("s".repeat(SECRET_BYTES_MIN - 1))).contains("turn.secret"));
    assert!(refusal(|s| s.turn.udp_workers = Some(UDP_WORKERS_MAX + 1)).contains("turn.udp_workers"));
    assert!(refusal(|s| s.turn.udp_workers = Some(0)).contains("turn.udp_workers"));
    assert!(refusal(|s| s.turn.limits.credential_life_s = 241).contains("credential_life_s"));
    assert!(refusal(|s| s.turn.limits.head_start_ms = 3_001).contains("head_start_ms"));
    assert!(refusal(|s| s.turn.limits.credential_life_s = 29).contains("credential_life_s"));
    assert!(refusal(|s| s.turn.more_urls = vec!["https://x".to_owned()]).contains("turn.more_urls"));
    assert!(refusal(|s| s.turn.more_urls = vec!["turn:x".to_owned(); URLS_MAX + 1]).contains("turn.more_urls"));
    assert!(refusal(|s| s.turn.limits.uplink_pps = 0).contains("uplink_pps"));
    for wrong in ["", "x", "10.0.0.0/33", "0.0.0.0/0", "::/0"] {
        assert!(
            refusal(|s| s.turn.proxies = vec![wrong.to_owned()]).contains("turn.proxies"),
            "{wrong}"
        );
    }
    assert!(refusal(|s| s.turn.peers = vec!["192.0.2.1:1".to_owned()]).contains("turn.peers"));
    assert!(refusal(|s| s.turn.mode = Mode::Allowlist).contains("turn.peers"));
    assert!(
        refusal(|s| {
            s.turn.mode = Mode::Allowlist;
            s.turn.peers = vec!["x".to_owned()];
        })
        .contains("turn.peers")
    );
    assert!(refusal(|s| s.turn.url = text("http://t.example")).contains("NEXT_PUBLIC_TURN_URL"));
    assert!(refusal(|s| s.turn.url = text("turn::3478")).contains("NEXT_PUBLIC_TURN_URL"));
}

#[test]
fn a_thread_for_udp_is_saved_where_one_shard_can_read_it() {
    let workers = |shards, change: fn(&mut Settings)| RelayPlan::of(&settings(change), &[], shards);
    assert_eq!(workers(1, |_| {}).expect("sound").udp_workers, 0);
    assert_eq!(workers(2, |_| {}).expect("sound").udp_workers, 1);
    assert_eq!(workers(1, |s| s.turn.mode = Mode::Off).expect("sound").udp_workers, 1);
    assert_eq!(
        workers(1, |s| s.turn.udp_workers = Some(1)).expect("sound").udp_workers,
        1
    );
    assert_eq!(
        workers(1, |s| s.turn.udp_workers = Some(0)).expect("sound").udp_workers,
        0
    );
}

#[test]
fn at_their_limits_values_are_taken() {
    let plan = plan(|s| {
        s.turn.realm = "r".repeat(REALM_BYTES_MAX);
        s.turn.secret = Some("s".repeat(SECRET_BYTES_MIN));
        s.turn.udp_workers = Some(UDP_WORKERS_MAX);
        s.turn.limits.credential_life_s = 240;
        s.turn.external.life_s = 172_800;
        s.turn.mode = Mode::Allowlist;
        s.turn.peers = vec!["192.0.2.1:7".to_owned(), "2001:db8::1".to_owned()];
        s.turn.transport_policy = Some(Policy::Relay);
        s.turn.proxies = [
            "127.0.0.1",
            "10.0.0.0/8",
            " ::1 ",
            "2001:db8::/1",
            "::ffff:10.0.0.0/104",
        ]
        .map(str::to_owned)
        .to_vec();
    });
    let proxies = ["127.0.0.1/32", "10.0.0.0/8", "::1/128", "2001:db8::/1", "10.0.0.0/8"];
    assert_eq!(
        plan.proxies,
        proxies.map(|text| text.parse::<IpNet>().expect("a network"))
    );
    let both = ["192.0.2.1", "2001:db8::1"].map(|text| text.parse().expect("an address"));
    assert_eq!(plan.peers, [(both[0], Some(7)), (both[1], None)]);
    assert_eq!(plan.policy, Some(IcePolicy::Relay));
}

#[test]
fn the_guides_names_are_a_foreign_server_unless_they_name_this_host() {
    let foreign = plan(|s| {
        s.turn.url = text("turn:turn.example:3478");
        s.turn.username = text("support_user");
        s.turn.credential = text("secret");
    });
    let Some(Way::Fixed(server)) = foreign.external else {
        panic!("fixed")
    };
    assert_eq!(server.urls, ["turn:turn.example:3478"]);
    assert_eq!(server.username.as_deref(), Some("support_user"));
    let own = plan(|s| {
        s.public.url = text("https://support.bank.example/");
        s.turn.url = text("turn:support.bank.example:3478");
        s.turn.username = text("support_user");
    });
    assert!(own.external.is_none() && own.ignored_credentials);
    assert_eq!(own.host.as_deref(), Some("support.bank.example"));
    let by_address = plan(|s| s.turn.url = text("turn:192.0.2.9:3478"));
    assert!(by_address.external.is_none() && !by_address.ignored_credentials);
    assert!(
        refusal(|s| {
            s.turn.url = text("turn:turn.example");
            s.turn.username = text("u");
        })
        .contains("TURN_CREDENTIAL")
    );
}

#[test]
fn a_managed_service_has_exactly_one_way_to_its_credentials() {
    let urls = || vec!["turn:t.example".to_owned()];
    let made = plan(|s| {
        s.turn.external.urls = urls();
        s.turn.external.secret = text("north");
    });
    assert!(matches!(made.external, Some(Way::Made { life_s: 28_800, .. })));
    let fetched = plan(|s| {
        s.turn.external.fetch_url = text("https://rtc.example/generate");
        s.turn.external.fetch_key = text("k");
    });
    assert!(matches!(fetched.external, Some(Way::Fetched { .. })));
    let wrong: [fn(&mut Settings); 9] = [
        |s| s.turn.external.urls = vec!["turn:t.example".to_owned()],
        |s| s.turn.external.urls = vec!["https://t.example".to_owned()],
        |s| s.turn.external.urls = vec!["turn:t.example".to_owned(); URLS_MAX + 1],
        |s| s.turn.external.secret = text("north"),
        |s| s.turn.external.username = text("u"),
        |s| s.turn.external.life_s = 599,
        |s| s.turn.external.fetch_url = text("https://rtc.example/generate"),
        |s| {
            s.turn.external.fetch_url = text("http://rtc.example/generate");
            s.turn.external.fetch_key = text("k");
        },
        |s| {
            s.turn.external.secret = text("north");
            s.turn.external.username = text("u");
        },
    ];
    for (n, change) in wrong.into_iter().enumerate() {
        assert!(refusal(change).contains("turn.external"), "{n}");
    }
    let both = refusal(|s| {
        s.turn.url = text("turn:other.example");
        s.turn.external.urls = vec!["turn:t.example".to_owned()];
        s.turn.external.secret = text("north");
    });
    assert!(both.contains("turn.url"), "{both}");
}
