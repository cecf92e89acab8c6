//! What is refused before anything is bound, and the URLs.

use super::*;

fn config(mode: Mode, listen: &[&str]) -> Config {
    let mut config = Config::new(mode, &[], &[], "turn.example");
    config.listen = listen
        .iter()
        .map(|text| Listen {
            bind: text.parse().unwrap(),
            public: None,
        })
        .collect();
    config
}

fn refused(config: &Config) -> bool {
    matches!(check(config, &Neighbours::none()), Err(StartFailed::Config(_)))
}

#[test]
fn two_addresses_are_two_ips_with_the_same_two_ports() {
    let square = ["192.0.2.1:1", "192.0.2.1:2", "192.0.2.2:1", "192.0.2.2:2"];
    let mut two = config(Mode::Off, &square);
    two.two_addresses = true;
    assert!(!refused(&two));
    for broken in [
        &square[..3],
        &["192.0.2.1:1", "192.0.2.1:2", "192.0.2.2:1", "192.0.2.2:3"],
        &["192.0.2.1:1", "192.0.2.1:2", "[2001:db8::1]:1", "[2001:db8::1]:2"],
        &["192.0.2.1:1", "192.0.2.1:2", "0.0.0.0:1", "0.0.0.0:2"],
    ] {
        let mut broken = config(Mode::Off, broken);
        broken.two_addresses = true;
        assert!(refused(&broken), "{:?}", broken.listen);
        broken.two_addresses = false;
        assert!(!refused(&broken));
    }
}

#[test]
fn the_number_of_addresses_is_limited() {
    assert!(refused(&config(Mode::Off, &[])));
    let many: Vec<String> = (0..=LISTENERS_MAX)
        .map(|n| format!("127.0.0.1:{}", 1_000 + n))
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert!(refused(&config(Mode::Off, &many)));
    assert!(!refused(&config(Mode::Off, &many[1..])));
}

#[test]
fn a_relay_socket_needs_an_address_that_peers_can_see() {
    assert!(refused(&config(Mode::AllowList(Vec::new()), &["0.0.0.0:3478"])));
    let mut known = config(Mode::AllowList(Vec::new()), &["0.0.0.0:3478"]);
    known.listen[0].public = Some("192.0.2.1:3478".parse().unwrap());
    assert!(!refused(&known));
}

#[test]
fn urls_name_the_public_ports_best_first() {
    let mut config = config(Mode::Virtual, &["10.0.0.1:3478", "10.0.0.1:3479"]);
    let bound: Vec<SocketAddr> = config.listen.iter().map(|listen| listen.bind).collect();
    config.more_urls.push("turns:turn.example:443?transport=tcp".to_owned());
    assert_eq!(
        urls(&config, &bound, true),
        [
            "turn:turn.example:3478?transport=udp",
            "turn:turn.example:3478?transport=tcp",
            "turns:turn.example:3479?transport=tcp",
            "turns:turn.example:443?transport=tcp",
        ]
    );
    config.listen[0].public = Some("192.0.2.1:13478".parse().unwrap());
    config.public_host = "2001:db8::1".to_owned();
    config.more_urls.clear();
    assert_eq!(
        urls(&config, &bound, false),
        [
            "turn:[2001:db8::1]:13478?transport=udp",
            "turn:[2001:db8::1]:13478?transport=tcp"
        ]
    );
    config.mode = Mode::Off;
    assert!(urls(&config, &bound, true).is_empty());
}
