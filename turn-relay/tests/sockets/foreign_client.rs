//! Somebody else's client: that of the crate `turn`, the old asynchronous line of webrtc-rs.

use std::sync::Arc;

use ports::{LegId, TurnGrant};
use tokio::net::UdpSocket;
use turn::client::{Client, ClientConfig};
use webrtc_util::Conn;

use crate::bench::Bench;
use crate::certificate::Certificate;
use crate::control::{shard, start};
use crate::user::rtp;

async fn client(bench: &Bench, grant: &TurnGrant, password: &str) -> Client {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let server = bench.relay().addresses()[0].to_string();
    let client = Client::new(ClientConfig {
        stun_serv_addr: server.clone(),
        turn_serv_addr: server,
        username: grant.username.clone(),
        password: password.to_owned(),
        realm: String::new(),
        software: String::new(),
        rto_in_ms: 0,
        conn: Arc::new(socket),
        vnet: None,
    })
    .await
    .expect("a client");
    client.listen().await.expect("it listens");
    client
}

fn views(bench: &Bench) -> impl Future<Output = Vec<ports::AllocationView>> {
    let control = bench.relay().control();
    async move { control.list().await }
}

#[tokio::test]
async fn the_turn_crate_allocates_talks_by_permission_and_channel_and_gives_back() {
    let certificate = Certificate::new();
    let bench = start(&certificate, |_| {});
    let grant = bench.relay().credentials().mint(LegId(1)).expect("a grant");
    let client = client(&bench, &grant, &grant.credential).await;
    let mapped = client.send_binding_request().await.expect("an answer");
    assert!(mapped.ip().is_loopback());
    let relayed = client.allocate().await.expect("an allocation");
    let address = relayed.local_addr().expect("an address");
    assert_eq!(address.ip(), shard().ip(), "virtual: of the node's public address");
    assert!(address.port() >= 49_152);
    // By an indication first; behind it the client binds a channel, and goes over to it by itself.
    let mut buffer = [0; 2_048];
    for n in 0..200 {
        relayed.send_to(&rtp(n), shard()).await.expect("sent");
        let (len, from) = relayed.recv_from(&mut buffer).await.expect("an echo");
        assert_eq!((&buffer[..len], from), (&rtp(n)[..], shard()));
        if n > 20 && views(&bench).await[0].channels == 1 {
            break;
        }
    }
    let view = &views(&bench).await[0];
    assert_eq!((view.permissions, view.channels), (1, 1));
    // Its good-bye is a Refresh with lifetime 0.
    relayed.close().await.expect("it closes");
    while !views(&bench).await.is_empty() {
        tokio::task::yield_now().await;
    }
    client.close().await.expect("it closes");
}

#[tokio::test]
async fn the_turn_crate_is_refused_with_a_wrong_password() {
    let certificate = Certificate::new();
    let bench = start(&certificate, |_| {});
    let grant = bench.relay().credentials().mint(LegId(1)).expect("a grant");
    let client = client(&bench, &grant, "wrong").await;
    let Err(refused) = client.allocate().await else {
        panic!("the password is wrong")
    };
    assert!(refused.to_string().contains("401"), "{refused}");
    assert!(views(&bench).await.is_empty());
}
