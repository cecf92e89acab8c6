//! Joining by plain HTTP: an offer under a grant, the answer in the reply (the shape of RFC 9725, both ways of sound).
//!
//! The grant is the only credential; who has it speaks for its leg. The address of the resource is the digest of the
//! grant, so it cannot be guessed, and it opens nothing without the grant itself.

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, Path, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use desk::{Code, Refused, auth::token::sha256};
use ports::{Sdp, Secret};
use wire::{leg::IceServer, problem::Problem};

use crate::{
    App,
    body::too_large,
    caller::{From, bearer, stranger},
    problem::Failure,
    visitor::header_text,
};

/// Largest offer in bytes, as media has it; one more is refused here already.
pub(crate) const SDP_BYTES_MAX: usize = 32 * 1024;

/// Candidates taken from one fragment; the rest says nothing new to a lite agent.
const CANDIDATES_MAX: usize = 64;

/// A grant shown as a bearer token.
struct Grant(Secret);

impl Grant {
    fn of(parts: &Parts) -> Result<Self, Failure> {
        let unknown = || Failure::from(Refused::new(Code::UnknownGrant));
        let token = bearer(parts).ok_or_else(unknown)?;
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| unknown())?;
        Ok(Grant(Secret::new(bytes.try_into().map_err(|_| unknown())?)))
    }

    /// The last part of the resource's address.
    fn name(&self) -> String {
        URL_SAFE_NO_PAD.encode(sha256(self.0.expose()))
    }
}

/// A request under a grant, read with its limits.
struct Asked {
    grant: Grant,
    body: String,
}

async fn read(app: &App, request: Request, media_type: &str) -> Result<Asked, Failure> {
    let (parts, body) = request.into_parts();
    let grant = Grant::of(&parts)?;
    let kind = header_text(&parts.headers, header::CONTENT_TYPE).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case(media_type) {
        return Err(Failure::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "Not this media type",
        ));
    }
    let bytes = Bytes::from_request(Request::from_parts(parts, body), app)
        .await
        .map_err(|rejection| too_large(rejection.status()))?;
    if bytes.len() > SDP_BYTES_MAX {
        return Err(too_large(StatusCode::PAYLOAD_TOO_LARGE));
    }
    let text =
        String::from_utf8(bytes.into()).map_err(|_| Failure::from(Refused::because(Code::BadOffer, "not_text")))?;
    Ok(Asked { grant, body: text })
}

/// A refusal; an unknown grant counts as a stranger's knock.
fn counted(app: &App, from: &From, failure: Failure) -> Failure {
    if failure.status == StatusCode::UNAUTHORIZED
        && let Err(limited) = stranger(app, from.address)
    {
        return limited;
    }
    failure
}

/// Attaches a leg: the offer in, the answer out.
#[utoipa::path(post, path = "/api/rtc", tag = "media",
    request_body(content = String, content_type = "application/sdp"),
    responses((status = 201, content_type = "application/sdp", body = String),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn attach(State(app): State<App>, from: From, request: Request) -> Result<Response, Failure> {
    let answer = async {
        let asked = read(&app, request, "application/sdp").await?;
        let answer = app.desk().media().offer(asked.grant.0.clone(), Sdp(asked.body)).await?;
        Ok((asked.grant, answer))
    };
    let (grant, answer) = answer.await.map_err(|failure: Failure| counted(&app, &from, failure))?;
    let tag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(&sha256(answer.sdp.0.as_bytes())[..12]));
    let mut response = (StatusCode::CREATED, answer.sdp.0).into_response();
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: &str| {
        headers.insert(
            name,
            HeaderValue::from_str(value).expect("our own header values are visible ASCII"),
        );
    };
    set(header::CONTENT_TYPE, "application/sdp");
    set(header::LOCATION, &format!("/api/rtc/{}", grant.name()));
    set(header::ETAG, &tag);
    set(
        HeaderName::from_static("accept-patch"),
        "application/trickle-ice-sdpfrag",
    );
    for server in &app.options().ice_servers {
        for link in links(server) {
            headers.append(header::LINK, link);
        }
    }
    Ok(response)
}

/// One `Link` per URL of a server (RFC 9725 §4.6).
fn links(server: &IceServer) -> impl Iterator<Item = HeaderValue> {
    server.urls.iter().filter_map(|url| {
        let mut text = format!("<{url}>; rel=\"ice-server\"");
        if let (Some(name), Some(password)) = (&server.username, &server.credential) {
            let quoted = |text: &str| text.replace(['"', '\\'], "");
            text.push_str(&format!(
                "; username=\"{}\"; credential=\"{}\"",
                quoted(name),
                quoted(password)
            ));
            text.push_str("; credential-type=\"password\"");
        }
        HeaderValue::from_str(&text).ok()
    })
}

/// Trickled candidates: counted, never dialled; a lite agent learns addresses from checks.
#[utoipa::path(patch, path = "/api/rtc/{resource}", tag = "media", params(("resource" = String, Path)),
    request_body(content = String, content_type = "application/trickle-ice-sdpfrag"),
    responses((status = 204), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn trickle(
    State(app): State<App>,
    from: From,
    Path(resource): Path<String>,
    request: Request,
) -> Result<StatusCode, Failure> {
    let restart = request.headers().get(header::IF_MATCH).is_some_and(|tag| tag == "*");
    let done = async {
        let asked = read(&app, request, "application/trickle-ice-sdpfrag").await?;
        own(&asked.grant, &resource)?;
        if restart {
            let failure = Failure::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "restart_by_offer",
                "Not by a fragment",
            );
            return Err(failure.detail("Post a new offer under the same grant; the leg keeps its place."));
        }
        let lines = asked.body.lines().filter_map(|line| line.strip_prefix("a=candidate:"));
        for candidate in lines.take(CANDIDATES_MAX) {
            app.desk().media().candidate(asked.grant.0.clone(), candidate)?;
        }
        Ok(StatusCode::NO_CONTENT)
    };
    done.await.map_err(|failure: Failure| counted(&app, &from, failure))
}

/// Leaves the call.
#[utoipa::path(delete, path = "/api/rtc/{resource}", tag = "media", params(("resource" = String, Path)),
    responses((status = 200), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn leave(
    State(app): State<App>,
    from: From,
    Path(resource): Path<String>,
    parts: Parts,
) -> Result<StatusCode, Failure> {
    let left = || {
        let grant = Grant::of(&parts)?;
        own(&grant, &resource)?;
        app.desk().media().leave(grant.0).map_err(Failure::from)?;
        Ok(StatusCode::OK)
    };
    left().map_err(|failure: Failure| counted(&app, &from, failure))
}

/// What may be posted here.
#[utoipa::path(options, path = "/api/rtc", tag = "media", responses((status = 204)))]
pub(crate) async fn options() -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(
        HeaderName::from_static("accept-post"),
        HeaderValue::from_static("application/sdp"),
    );
    (StatusCode::NO_CONTENT, headers, Body::empty()).into_response()
}

/// The resource belongs to this grant.
fn own(grant: &Grant, resource: &str) -> Result<(), Failure> {
    if grant.name() == resource {
        Ok(())
    } else {
        Err(Failure::not_found())
    }
}
