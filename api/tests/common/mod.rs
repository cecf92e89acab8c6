//! The API before a running desk, asked without a network in between.

#![cfg(test)]
#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "each test file uses its own part of this"
)]

#[path = "../../../signaling/tests/common/world.rs"]
pub mod world;

use std::net::SocketAddr;

use api::{App, Options};
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Request, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use wire::staff::StaffRole;
pub use world::jwt;
use world::{SERVICE_KEY, World};

/// An origin whose pages may call the API.
pub const BANK: &str = "https://bank.test";

/// Starts a server, or ends the test on a machine without PostgreSQL.
#[macro_export]
macro_rules! server {
    ($demo:expr) => {
        match common::Server::start($demo).await {
            Some(server) => server,
            None => return,
        }
    };
}

/// The API with everything behind it.
pub struct Server {
    pub world: World,
    pub router: Router,
}

/// What came back.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The problem's code; every refusal must be a whole problem document.
    pub fn code(&self) -> String {
        assert!(!self.status.is_success(), "{self:?}");
        assert_eq!(self.headers["content-type"], "application/problem+json", "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status.as_u16());
        assert_eq!(problem["requestId"], self.headers["x-request-id"].to_str().unwrap());
        assert!(!problem["title"].as_str().unwrap().is_empty());
        problem["code"].as_str().unwrap().to_owned()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// A request that is put together.
pub struct Ask<'a> {
    server: &'a Server,
    method: &'static str,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Option<Vec<u8>>,
    peer: SocketAddr,
}

impl Ask<'_> {
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.retain(|(other, _)| *other != name);
        self.headers.push((name, value.into()));
        self
    }

    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    pub fn json(self, body: &Value) -> Self {
        self.raw("application/json", body.to_string())
    }

    pub fn raw(mut self, kind: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self.header("content-type", kind)
    }

    pub fn from(mut self, peer: &str) -> Self {
        self.peer = peer.parse().unwrap();
        self
    }

    pub async fn send(self) -> Reply {
        let mut request = Request::builder().method(self.method).uri(&self.path);
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        let mut request = request.body(self.body.map_or_else(Body::empty, Body::from)).unwrap();
        request.extensions_mut().insert(ConnectInfo(self.peer));
        let response = self.server.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        Reply {
            status: parts.status,
            headers: parts.headers,
            body: to_bytes(body, usize::MAX).await.unwrap(),
        }
    }
}

impl Server {
    /// Starts everything; `None` without PostgreSQL.
    pub async fn start(demo: bool) -> Option<Self> {
        let world = World::new().await?;
        let options = Options {
            demo,
            origins: vec!["http://localhost:3000".to_owned()],
            allowed_origins: vec![BANK.to_owned()],
            ..Options::default()
        };
        let about = signaling::Options {
            demo,
            allowed_origins: vec![BANK.to_owned()],
        };
        let sockets = signaling::router(world.desk.clone(), about, &world.registry, world.stop.clone()).unwrap();
        let router = api::router(App::new(world.desk.clone(), options).unwrap(), sockets);
        Some(Server { world, router })
    }

    /// A request from somewhere else, without a credential.
    pub fn ask(&self, method: &'static str, path: impl Into<String>) -> Ask<'_> {
        Ask {
            server: self,
            method,
            path: path.into(),
            headers: vec![("host", "localhost:3000".to_owned())],
            body: None,
            peer: SocketAddr::from(([192, 0, 2, 1], 5555)),
        }
    }

    /// The same as a service.
    pub fn serve(&self, method: &'static str, path: impl Into<String>) -> Ask<'_> {
        self.ask(method, path).bearer(SERVICE_KEY)
    }

    /// A leg that media knows by this secret, in a room of its own.
    pub async fn leg(&self, secret: [u8; 32]) {
        let number = u128::from(secret[0]);
        let grant = ports::LegGrant {
            secret: ports::Secret::new(secret),
            leg: call_model::LegId(number),
            room: call_model::CallId(number),
            part: ports::Part::Customer,
            uplink: true,
            red: ports::Red::Off,
            first_offer_s: 120,
        };
        ports::Media::admit(&*self.world.media, grant).await.unwrap();
    }

    /// A signed-in member of staff; returns the token.
    pub async fn staff(&self, name: &str) -> String {
        self.world.staff(name, StaffRole::Agent).await.1
    }

    /// Somebody of a higher role, which no service may give.
    pub async fn promoted(&mut self, name: &str, sql: &'static str) -> String {
        let (staff, _) = self.world.staff(name, StaffRole::Agent).await;
        self.world.run(sql).await;
        let session = self.world.desk.staff_session(&world::service(), staff).await.unwrap();
        session.token
    }

    /// An agent who takes calls.
    pub async fn online(&self, name: &str) -> String {
        let (staff, token) = self.world.staff(name, StaffRole::Agent).await;
        self.world.desk.staff_alive(staff, None).await.unwrap();
        let body = json!({ "status": "online", "mediaChecked": true });
        let me = self
            .ask("PUT", "/api/support/staff/me/status")
            .bearer(&token)
            .json(&body)
            .send()
            .await;
        assert_eq!(me.status, StatusCode::OK, "{me:?}");
        token
    }

    /// The offer that the router makes to an agent.
    pub async fn offer(&self, token: &str) -> Value {
        let limit = tokio::time::Instant::now() + world::PATIENCE;
        let mut feed = self.world.desk.subscribe();
        loop {
            let offers = self.ask("GET", "/api/support/offers").bearer(token).send().await.json();
            if let Some(offer) = offers.get(0) {
                return offer.clone();
            }
            // An event may have come just before the feed began, so it is looked at again after a while in any case.
            let _ = tokio::time::timeout(std::time::Duration::from_millis(200), feed.next()).await;
            assert!(tokio::time::Instant::now() < limit, "no offer");
        }
    }
}

/// The guide's body.
pub fn body(user: &str) -> Value {
    json!({
        "userId": user,
        "customerEmail": "customer@bank.alghahim.co.ke",
        "customerName": "John Doe",
        "callType": "voice"
    })
}

/// A file longer than one slice of the store, so that slices are joined.
pub const BYTES: usize = 600_000;
/// The stored recording.
pub const ID: &str = "00000000-0000-0000-0000-0000000000aa";

/// What is in that file.
pub fn sound() -> Vec<u8> {
    (0..BYTES).map(|n| (n % 251) as u8).collect()
}

/// A stored recording of an ended call, and the token of somebody who may play it.
pub async fn stored(server: &mut Server) -> String {
    let call = server.world.call("u1").await;
    let id = call_model::CallId(call.call_id.as_u128());
    server
        .world
        .desk
        .hang_up(&world::service(), id, None)
        .await
        .expect("the call is there");
    let insert =
        "insert into helpline.recordings (id, call_id, node_id, state, policy, started_at, ended_at, stored_at,
            duration_ms, layout, audio_key, audio_size, audio_sha256, manifest_key)
        select '00000000-0000-0000-0000-0000000000aa', id, 'n', 'stored', 'optional', now(), now(), now(),
            2000, 'two_channel', 'a.ogg', 600000, decode(repeat('ab', 32), 'hex'), 'a.json'
        from public.voice_calls";
    server.world.run(insert).await;
    {
        let mut files = server
            .world
            .recordings
            .files
            .lock()
            .expect("no test falls while it holds this");
        files.insert("a.ogg".to_owned(), sound());
    }
    server
        .promoted(
            "qa",
            "update helpline.staff set role = 'supervisor' where staff_name = 'qa'",
        )
        .await
}
