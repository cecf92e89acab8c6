//! The endpoint on a real port, and clients that speak to it over TCP.

#![cfg(test)]
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part of this")]

pub mod world;

use std::net::SocketAddr;

use call_model::CallId;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use tokio_util::sync::CancellationToken;
use wire::staff::StaffRole;
use world::{PATIENCE, World};

/// A desk with the endpoint before it.
pub struct Server {
    pub world: World,
    pub address: SocketAddr,
    pub closing: CancellationToken,
}

impl Server {
    /// Starts both; `None` without PostgreSQL.
    pub async fn start() -> Option<Self> {
        let world = World::new().await?;
        let closing = CancellationToken::new();
        let options = signaling::Options {
            demo: true,
            allowed_origins: vec!["https://bank.test".to_owned()],
        };
        let router = signaling::router(world.desk.clone(), options, &world.registry, closing.clone()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        Some(Server {
            world,
            address,
            closing,
        })
    }

    /// Opens a socket with headers.
    pub async fn open(&self, path: &str, headers: &[(&'static str, &str)]) -> Line {
        let mut request = format!("ws://localhost:{}{path}", self.address.port())
            .into_client_request()
            .unwrap();
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).unwrap();
            request.headers_mut().insert(HeaderName::from_static(name), value);
        }
        let (socket, _) = timeout(PATIENCE, connect_async(request))
            .await
            .expect("in time")
            .unwrap();
        Line { socket, next: 1 }
    }

    /// Opens a socket of our own protocol and says hello.
    pub async fn hello(&self, data: Value) -> Line {
        let mut line = self.open("/ws", &[]).await;
        line.send("hello", data).await;
        line
    }

    /// The page of a customer whose call has just begun.
    pub async fn customer(&self, user: &str) -> (Line, CallId, Value) {
        let started = self.world.call(user).await;
        let mut line = self.hello(json!({ "token": started.token })).await;
        let welcome = line.expect("welcome").await;
        (line, CallId(started.call_id.as_u128()), welcome)
    }

    /// The console of an agent who takes calls.
    pub async fn agent(&self, name: &str) -> Line {
        let (_, token) = self.world.staff(name, StaffRole::Agent).await;
        let mut line = self.hello(json!({ "token": token })).await;
        line.expect("welcome").await;
        // Only a page that answers is rung.
        line.answer_probe().await;
        let me = line
            .ask("presence.set", json!({ "status": "online", "mediaChecked": true }))
            .await;
        assert_eq!(me["data"]["presence"], "online", "{me}");
        line
    }
}

/// One client's socket.
pub struct Line {
    pub socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    next: u64,
}

/// What came: a message, or the end with its code.
#[derive(Debug, PartialEq)]
pub enum Came {
    Message(Value),
    Closed(u16),
}

impl Line {
    pub async fn text(&mut self, text: impl Into<String>) {
        self.socket.send(Message::text(text.into())).await.unwrap();
    }

    pub async fn json(&mut self, value: &Value) {
        self.text(value.to_string()).await;
    }

    /// Sends a message of our own protocol; returns its id.
    pub async fn send(&mut self, kind: &str, data: Value) -> String {
        let id = self.next.to_string();
        self.next += 1;
        self.json(&json!({ "v": 1, "id": id, "type": kind, "data": data }))
            .await;
        id
    }

    /// Sends and waits for the answer.
    pub async fn ask(&mut self, kind: &str, data: Value) -> Value {
        let id = self.send(kind, data).await;
        loop {
            let message = self.message().await;
            if message["ref"] == id.as_str() {
                return message;
            }
        }
    }

    /// Whatever comes next; probes are not answered here.
    pub async fn came(&mut self) -> Came {
        loop {
            match timeout(PATIENCE, self.socket.next()).await.expect("something in time") {
                Some(Ok(Message::Text(text))) => return Came::Message(serde_json::from_str(text.as_str()).unwrap()),
                Some(Ok(Message::Close(frame))) => return Came::Closed(frame.map_or(1005, |frame| frame.code.into())),
                Some(Ok(_)) => {}
                None | Some(Err(Error::ConnectionClosed | Error::Protocol(_) | Error::Io(_))) => {
                    return Came::Closed(1006);
                }
                Some(Err(error)) => panic!("{error}"),
            }
        }
    }

    /// The next message that is no probe and no view of the queue; probes are answered as a page does.
    pub async fn message(&mut self) -> Value {
        loop {
            match self.came().await {
                Came::Message(message) if message["type"] == "probe.ping" => {
                    let data = message["data"].clone();
                    self.send("probe.pong", data).await;
                }
                Came::Message(message) => return message,
                Came::Closed(code) => panic!("closed with {code}"),
            }
        }
    }

    /// Waits for a message of one type; others pass by.
    pub async fn expect(&mut self, kind: &str) -> Value {
        loop {
            let message = self.message().await;
            if message["type"] == kind {
                return message;
            }
            assert!(
                message["type"] != "error" && message["type"] != "joined",
                "instead of {kind}: {message}"
            );
        }
    }

    /// Waits for an error and gives its code, in either protocol.
    pub async fn error(&mut self) -> String {
        loop {
            let message = self.message().await;
            if message["type"] == "error" {
                let code = if message["data"].is_null() {
                    &message["code"]
                } else {
                    &message["data"]["code"]
                };
                return code.as_str().unwrap().to_owned();
            }
        }
    }

    /// Waits for the end and gives its code.
    pub async fn closed(&mut self) -> u16 {
        loop {
            if let Came::Closed(code) = self.came().await {
                return code;
            }
        }
    }

    /// Waits for the first probe and answers it.
    pub async fn answer_probe(&mut self) {
        loop {
            let Came::Message(message) = self.came().await else {
                panic!("closed");
            };
            if message["type"] == "probe.ping" {
                self.send("probe.pong", message["data"].clone()).await;
                return;
            }
        }
    }
}
