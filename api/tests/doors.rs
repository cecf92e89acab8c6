//! The door of the WebSockets, and the port that has nothing else: how many come in, and whom the endpoint is told of.

#![cfg(test)]

mod common;

use std::net::{IpAddr, SocketAddr};

use api::{App, Cidr, Options};
use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode};
use axum::routing::get;
use axum::{Extension, Router};
use common::Server;
use desk::auth::ClientAddress;
use tower::ServiceExt as _;

/// Sockets that one address may open at once.
const AT_ONCE: usize = 10;

/// Both doors of an endpoint that answers with the address that it was told.
fn doors(server: &Server) -> [Router; 2] {
    let told = |Extension(ClientAddress(address)): Extension<ClientAddress>| async move { address.to_string() };
    let endpoint = Router::new().route("/", get(told)).route("/ws", get(told));
    let options = Options {
        trusted_proxies: vec![Cidr::parse("10.0.0.0/8").unwrap()],
        ..Options::default()
    };
    let app = App::new(server.world.desk.clone(), options).unwrap();
    [api::router(app.clone(), endpoint.clone()), api::sockets(app, endpoint)]
}

/// One handshake from `peer`, which says that it is for `client`; what it was answered.
async fn knock(door: &Router, peer: &str, client: &str) -> (StatusCode, String) {
    let peer: IpAddr = peer.parse().unwrap();
    let mut request = Request::builder()
        .uri("/ws")
        .header("host", "localhost:3000")
        .header("upgrade", "websocket")
        .header("x-forwarded-for", client)
        .body(Body::empty())
        .unwrap();
    request
        .extensions_mut()
        .insert(ConnectInfo(SocketAddr::from((peer, 5555))));
    let response = door.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_has_no_more_handshakes_by_two_doors_than_by_one() {
    let Some(server) = Server::start(false).await else {
        return;
    };
    let doors = doors(&server);
    for n in 0..AT_ONCE {
        let (status, address) = knock(&doors[n % 2], "192.0.2.1", "").await;
        assert_eq!((status, address.as_str()), (StatusCode::OK, "192.0.2.1"), "{n}");
    }
    // The bucket fills by one in a tenth of a second: of so many at once some find it empty.
    for door in &doors {
        let mut limited = 0;
        for _ in 0..10 * AT_ONCE {
            limited += usize::from(knock(door, "192.0.2.1", "").await.0 == StatusCode::TOO_MANY_REQUESTS);
        }
        assert!(limited > 0);
        assert_eq!(knock(door, "192.0.2.2", "").await.0, StatusCode::OK, "a neighbour");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_endpoint_hears_of_the_client_and_not_of_the_proxy() {
    let Some(server) = Server::start(false).await else {
        return;
    };
    for door in doors(&server) {
        assert_eq!(knock(&door, "10.0.0.1", "198.51.100.7").await.1, "198.51.100.7");
        assert_eq!(
            knock(&door, "192.0.2.3", "198.51.100.7").await.1,
            "192.0.2.3",
            "no proxy of ours"
        );
    }
}
