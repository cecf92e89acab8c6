//! Who asks: bearer token, cookie, or the visitor of a demo. Nobody is guessed.
//!
//! One browser may hold a customer's cookie and an agent's, so each route says whose word counts first. A cookie only
//! counts for requests that a page of ours could have made.

use std::net::{IpAddr, SocketAddr};

use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{HeaderName, Method, StatusCode, header, request::Parts},
};
use call_model::CallId;
use desk::{
    Caller, Code, IdempotencyKey,
    auth::demo::{Visitor, is_local},
};
use uuid::Uuid;

use crate::{
    App,
    cookies::Jar,
    problem::Failure,
    visitor::{client_address, header_text, host, is_forwarded, is_same_site},
};

/// The header that names a request (draft-ietf-httpapi-idempotency-key-header).
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Whose word counts first on a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// The console's cookie, then the call's.
    Staff,
    /// The call's cookie, then the console's.
    Customer,
    /// No cookie at all: somebody who begins a call proves who he is.
    Token,
}

/// Where the connection comes from.
pub(crate) struct From {
    pub(crate) address: IpAddr,
}

/// A caller on a route of staff or of everybody.
pub(crate) struct Who(pub(crate) Caller);

/// A caller on a route that customers and agents share, and that a customer's page uses.
pub(crate) struct CustomerFirst(pub(crate) Caller);

/// A caller, if somebody says who he is; the route has another way to find out.
pub(crate) struct Anyone(pub(crate) Option<Caller>);

/// A caller who begins a call.
pub(crate) struct Starter(pub(crate) Caller);

impl FromRequestParts<App> for From {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Failure> {
        Ok(From {
            address: address_of(parts, app),
        })
    }
}

impl FromRequestParts<App> for Who {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Failure> {
        identify(parts, app, Order::Staff).await.map(Who)
    }
}

impl FromRequestParts<App> for CustomerFirst {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Failure> {
        identify(parts, app, Order::Customer).await.map(CustomerFirst)
    }
}

impl FromRequestParts<App> for Anyone {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Failure> {
        let silent = !parts.headers.contains_key(header::AUTHORIZATION) && !parts.headers.contains_key(header::COOKIE);
        let demo = app.options().demo && is_visitor(parts);
        if silent && !demo {
            return Ok(Anyone(None));
        }
        match identify(parts, app, Order::Staff).await {
            Ok(caller) => Ok(Anyone(Some(caller))),
            // A cookie of something else, or one that has run out, says nothing.
            Err(failure)
                if failure.status == StatusCode::UNAUTHORIZED && !parts.headers.contains_key(header::AUTHORIZATION) =>
            {
                Ok(Anyone(None))
            }
            Err(failure) => Err(failure),
        }
    }
}

impl FromRequestParts<App> for Starter {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Failure> {
        identify(parts, app, Order::Token).await.map(Starter)
    }
}

/// The other end of the connection; the unspecified address in a test without a connection, which is no loopback.
fn peer_of(parts: &Parts) -> IpAddr {
    let unknown = IpAddr::from([0, 0, 0, 0]);
    parts
        .extensions
        .get::<ConnectInfo<SocketAddr>>()
        .map_or(unknown, |ConnectInfo(peer)| peer.ip())
}

/// The client's address, behind the proxies that are trusted.
pub(crate) fn address_of(parts: &Parts, app: &App) -> IpAddr {
    client_address(peer_of(parts), &parts.headers, &app.options().trusted_proxies)
}

/// The token of an `Authorization: Bearer` header.
pub(crate) fn bearer(parts: &Parts) -> Option<&str> {
    let (scheme, token) = header_text(&parts.headers, header::AUTHORIZATION)?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

async fn identify(parts: &Parts, app: &App, order: Order) -> Result<Caller, Failure> {
    match try_identify(parts, app, order).await {
        Err(failure) if failure.status == StatusCode::UNAUTHORIZED => {
            stranger(app, address_of(parts, app))?;
            Err(failure)
        }
        Ok(caller) => {
            if let Caller::Staff { staff, .. } = &caller {
                let taken = app.limits().staff(*staff);
                taken.map_err(|wait| Failure::rate_limited(wait.0))?;
            }
            Ok(caller)
        }
        other => other,
    }
}

/// The key of a request that is to have one effect.
pub(crate) struct Key(pub(crate) Option<IdempotencyKey>);

impl FromRequestParts<App> for Key {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Failure> {
        let mut values = parts.headers.get_all(IDEMPOTENCY_KEY).iter();
        let (first, second) = (values.next(), values.next());
        let Some(first) = first else {
            return Ok(Key(None));
        };
        let key = first
            .to_str()
            .ok()
            .filter(|_| second.is_none())
            .and_then(IdempotencyKey::new);
        match key {
            Some(key) => Ok(Key(Some(key))),
            None => Err(Failure::field(
                "Idempotency-Key",
                "must be 1 to 128 visible ASCII characters, once",
            )),
        }
    }
}

/// Counts a request without a valid credential.
pub(crate) fn stranger(app: &App, address: IpAddr) -> Result<(), Failure> {
    app.limits()
        .stranger(address)
        .map_err(|wait| Failure::rate_limited(wait.0))
}

async fn try_identify(parts: &Parts, app: &App, order: Order) -> Result<Caller, Failure> {
    let auth = app.desk().auth();
    if parts.headers.contains_key(header::AUTHORIZATION) {
        let token = bearer(parts).ok_or_else(Failure::unauthenticated)?;
        return Ok(auth.bearer(token).await?);
    }
    let jars: &[Jar] = match order {
        Order::Staff => &[Jar::Staff, Jar::Call],
        Order::Customer => &[Jar::Call, Jar::Staff],
        Order::Token => &[],
    };
    for jar in jars {
        let Some(value) = app.options().cookies.read(*jar, &parts.headers) else {
            continue;
        };
        let known = match jar {
            Jar::Staff => auth.staff_session(&value).await,
            Jar::Call => match call_in_path(parts) {
                Some(call) => auth.call_pass(&value, call).await,
                None => continue,
            },
        };
        match known {
            Ok(caller) => return from_our_page(parts, app).map(|()| caller),
            // A cookie that has run out is as good as none.
            Err(refused) if refused.code == Code::Unauthenticated => {}
            Err(refused) => return Err(refused.into()),
        }
    }
    if app.options().demo && is_visitor(parts) {
        return Ok(Caller::Demo);
    }
    Err(Failure::unauthenticated())
}

/// A cookie goes along with whatever page asks; a change is only made for our own.
fn from_our_page(parts: &Parts, app: &App) -> Result<(), Failure> {
    let harmless = matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS);
    if harmless || is_same_site(parts, &app.options().allowed_origins) {
        return Ok(());
    }
    Err(Failure::new(
        StatusCode::FORBIDDEN,
        "cross_site",
        "Not from another site",
    ))
}

/// The call that `/api/support/call/{id}/…` names: a pass speaks for no other.
fn call_in_path(parts: &Parts) -> Option<CallId> {
    let rest = parts.uri.path().strip_prefix("/api/support/call/")?;
    let id: Uuid = rest.split('/').next()?.parse().ok()?;
    Some(CallId(id.as_u128()))
}

/// Somebody at this machine, in a demo.
pub(crate) fn is_visitor(parts: &Parts) -> bool {
    is_local(Visitor {
        peer: peer_of(parts),
        host: host(parts),
        origin: header_text(&parts.headers, header::ORIGIN),
        forwarded: is_forwarded(&parts.headers),
    })
}
