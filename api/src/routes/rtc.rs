//! Joining by plain HTTP: an offer under a grant, the answer in the reply (the shape of RFC 9725, both ways of sound).
//!
//! The grant is the only credential; who has it speaks for its leg. The address of the resource is the digest of the
//! grant, so it cannot be guessed, and it opens nothing without the grant itself. `whip.rs` is the same for clients that
//! only speak.

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, Path, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use desk::{Code, Refused, auth::token::sha256};
use ports::{Refusal, Sdp, Secret};
use wire::{leg::IceServer, problem::Problem};

use crate::{
    App,
    body::too_large,
    caller::{From, bearer, stranger},
    if_match::IfMatch,
    problem::Failure,
    visitor::header_text,
};

/// Largest offer in bytes, as media has it; one more is refused here already.
pub(crate) const SDP_BYTES_MAX: usize = 32 * 1024;

/// What an offer is posted as.
const SDP: &str = "application/sdp";
/// What is sent after it (RFC 8840 §9).
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

/// The two ways in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// Both ways of sound, as the offer has it.
    Rtc,
    /// The client speaks and hears nothing (RFC 9725).
    Whip,
}

impl Door {
    const fn path(self) -> &'static str {
        match self {
            Door::Rtc => "/api/rtc",
            Door::Whip => "/api/whip",
        }
    }
}

/// A grant shown as a bearer token.
pub(super) struct Grant(pub(super) Secret);

impl Grant {
    pub(super) fn of(parts: &Parts) -> Result<Self, Failure> {
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

/// What media's refusal means here: RFC 9725 tells a description that cannot be read from one that cannot be served.
fn refused(refusal: Refusal) -> Failure {
    let reason = match &refusal {
        Refusal::BadOffer { reason } => *reason,
        Refusal::UnknownGrant
        | Refusal::NoSession
        | Refusal::Full { .. }
        | Refusal::Draining
        | Refusal::Limit(_)
        | Refusal::Unavailable => "",
    };
    let mut failure = Failure::from(refusal);
    match reason {
        "setup_passive" => failure.status = StatusCode::UNPROCESSABLE_ENTITY,
        "offer_without_opus"
        | "offer_without_rtcp_mux"
        | "offer_taken_in_part"
        | "offer_sends_nothing"
        | "grant_without_uplink" => failure.status = StatusCode::NOT_ACCEPTABLE,
        _ => {}
    }
    failure
}

/// A request under a grant, read with its limits.
struct Asked {
    grant: Grant,
    headers: HeaderMap,
    body: String,
}

async fn read(app: &App, request: Request, media_type: &str) -> Result<Asked, Failure> {
    let (parts, body) = request.into_parts();
    let grant = Grant::of(&parts)?;
    let headers = parts.headers.clone();
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
    Ok(Asked {
        grant,
        headers,
        body: text,
    })
}

/// A refusal; an unknown grant counts as a stranger's knock.
pub(super) fn counted(app: &App, from: &From, failure: Failure) -> Failure {
    if failure.status == StatusCode::UNAUTHORIZED
        && let Err(limited) = stranger(app, from.address)
    {
        return limited;
    }
    failure
}

/// The offer in, the answer out.
pub(super) async fn attach_at(door: Door, app: &App, from: &From, request: Request) -> Result<Response, Failure> {
    let answer = async {
        let Asked { grant, body, .. } = read(app, request, SDP).await?;
        limited(app, &grant)?;
        let media = app.desk().media();
        let answer = match door {
            Door::Rtc => media.offer(grant.0.clone(), Sdp(body)).await,
            Door::Whip => media.ingest(grant.0.clone(), Sdp(body)).await,
        };
        let answer = answer.map_err(refused)?;
        let tag = tag(&media.ice_session(&grant.0)?);
        Ok((grant, answer, tag))
    };
    let (grant, answer, tag) = answer.await.map_err(|failure: Failure| counted(app, from, failure))?;
    let mut response = (StatusCode::CREATED, answer.sdp.0).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(SDP));
    headers.insert(header::LOCATION, visible(&format!("{}/{}", door.path(), grant.name())));
    headers.insert(header::ETAG, tag);
    headers.insert(
        HeaderName::from_static("accept-patch"),
        HeaderValue::from_static(FRAGMENT),
    );
    for server in app.desk().ice_servers(answer.leg) {
        for link in links(&server) {
            headers.append(header::LINK, link);
        }
    }
    Ok(response)
}

/// A fragment: candidates under the tag of the session, or a restart under `*` (RFC 9725 §4.3).
pub(super) async fn patch_at(app: &App, from: &From, resource: &str, request: Request) -> Result<Response, Failure> {
    let done = async {
        let Asked { grant, headers, body } = read(app, request, FRAGMENT).await?;
        own(&grant, resource)?;
        limited(app, &grant)?;
        let media = app.desk().media();
        let wanted = IfMatch::required(&headers, "Send the ETag of the session, or \"*\" to restart ICE.")?;
        if wanted == IfMatch::Any {
            let answer = media.restart_ice(grant.0.clone(), Sdp(body)).await.map_err(refused)?;
            let tag = tag(&media.ice_session(&grant.0)?);
            let kind = HeaderValue::from_static(FRAGMENT);
            return Ok(([(header::CONTENT_TYPE, kind), (header::ETAG, tag)], answer.0).into_response());
        }
        if !wanted.names(tag(&media.ice_session(&grant.0)?).as_bytes()) {
            return Err(Refused::because(Code::VersionMismatch, "Another ICE session has begun.").into());
        }
        media.trickle(grant.0, Sdp(body)).map_err(refused)?;
        Ok(StatusCode::NO_CONTENT.into_response())
    };
    done.await.map_err(|failure: Failure| counted(app, from, failure))
}

/// The leg ends.
pub(super) fn leave_at(app: &App, from: &From, resource: &str, parts: &Parts) -> Result<StatusCode, Failure> {
    let left = || {
        let grant = Grant::of(parts)?;
        own(&grant, resource)?;
        limited(app, &grant)?;
        app.desk().media().leave(grant.0).map_err(Failure::from)?;
        Ok(StatusCode::OK)
    };
    left().map_err(|failure: Failure| counted(app, from, failure))
}

/// What may be posted (RFC 9725 §4.2).
pub(super) fn accept_post() -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(HeaderName::from_static("accept-post"), HeaderValue::from_static(SDP));
    (StatusCode::NO_CONTENT, headers, Body::empty()).into_response()
}

/// The strong tag of an ICE session.
fn tag(session: &str) -> HeaderValue {
    visible(&format!(
        "\"{}\"",
        URL_SAFE_NO_PAD.encode(&sha256(session.as_bytes())[..12])
    ))
}

fn visible(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("our own header values are visible ASCII")
}

/// One more request under this grant.
pub(super) fn limited(app: &App, grant: &Grant) -> Result<(), Failure> {
    let taken = app.limits().joining(&grant.name());
    taken.map_err(|wait| Failure::rate_limited(wait.0))
}

/// Attaches a leg: the offer in, the answer out. Sound goes both ways, as the offer and the grant have it.
#[utoipa::path(post, path = "/api/rtc", tag = "media",
    request_body(content = String, content_type = "application/sdp"),
    responses((status = 201, content_type = "application/sdp", body = String),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn attach(State(app): State<App>, from: From, request: Request) -> Result<Response, Failure> {
    attach_at(Door::Rtc, &app, &from, request).await
}

/// A fragment under `If-Match`: candidates with the session's tag (204; counted, never dialled, for a lite agent learns
/// addresses from checks), or an ICE restart with `*` (200, our new pair and a new tag).
#[utoipa::path(patch, path = "/api/rtc/{resource}", tag = "media", params(("resource" = String, Path)),
    request_body(content = String, content_type = "application/trickle-ice-sdpfrag"),
    responses((status = 204), (status = 200, content_type = "application/trickle-ice-sdpfrag", body = String),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn trickle(
    State(app): State<App>,
    from: From,
    Path(resource): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    patch_at(&app, &from, &resource, request).await
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
    leave_at(&app, &from, &resource, &parts)
}

/// What may be posted here.
#[utoipa::path(options, path = "/api/rtc", tag = "media", responses((status = 204)))]
pub(crate) async fn options() -> Response {
    accept_post()
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

/// The resource belongs to this grant.
fn own(grant: &Grant, resource: &str) -> Result<(), Failure> {
    if grant.name() == resource {
        Ok(())
    } else {
        Err(Failure::not_found())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_of_a_server_is_a_link_of_its_own_and_no_quote_breaks_out() {
        let server = |username: Option<&str>| IceServer {
            urls: vec![
                "turn:help.example:3478?transport=udp".to_owned(),
                "turns:help.example:3479".to_owned(),
            ],
            username: username.map(str::to_owned),
            credential: Some("s3\"; rel=\"evil".to_owned()),
        };
        let told: Vec<_> = links(&server(Some("1700:leg"))).collect();
        assert_eq!(told.len(), 2);
        assert_eq!(
            told[0].to_str().unwrap(),
            "<turn:help.example:3478?transport=udp>; rel=\"ice-server\"; username=\"1700:leg\"; \
             credential=\"s3; rel=evil\"; credential-type=\"password\""
        );
        let bare: Vec<_> = links(&server(None)).collect();
        assert_eq!(
            bare[1].to_str().unwrap(),
            "<turns:help.example:3479>; rel=\"ice-server\""
        );
    }

    #[test]
    fn each_session_has_a_strong_tag_of_its_own() {
        let tags = ["Serv1234", "Serv1235"].map(tag);
        assert!(tags[0].to_str().unwrap().starts_with('"'));
        assert_ne!(tags[0], tags[1]);
    }
}
