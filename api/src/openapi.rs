//! The routes and the document that describes them, made from the same list so that they cannot part.

use desk::Code;
use utoipa::{
    OpenApi,
    openapi::{
        Components,
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{App, routes};

/// Codes that only the API knows, beside those of the desk.
const OWN_CODES: [&str; 11] = [
    "cross_site",
    "malformed",
    "malformed_json",
    "method_not_allowed",
    "precondition_required",
    "recording_damaged",
    "refused",
    "storage",
    "too_large",
    "unsupported_media_type",
    "waveform_busy",
];

#[derive(OpenApi)]
#[openapi(
    info(title = "Helpline", license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")),
    components(schemas(wire::signal::ClientMessage, wire::signal::ServerMessage, wire::problem::Problem)),
    tags(
        (name = "call", description = "A call from the customer's side"),
        (name = "agent", description = "Offers, the waiting line, wrap-up"),
        (name = "qa", description = "Calls, recordings and quality afterwards"),
        (name = "staff", description = "Signing in, presence, the list of staff"),
        (name = "media", description = "Joining a call by plain HTTP"),
        (name = "node", description = "Emptying a node before it stops"),
        (name = "settings", description = "What admins set"),
        (name = "relay", description = "The TURN relay of a node"),
        (name = "preflight", description = "Testing a line before a call"),
        (name = "health", description = "For whoever runs it"),
    )
)]
struct Base;

/// Every route with its description.
pub(crate) fn described() -> OpenApiRouter<App> {
    use routes::{auth, call, calls, health, node, offers, preflight, recordings, relay, rtc, settings, staff, whip};
    OpenApiRouter::with_openapi(Base::openapi())
        .routes(routes!(call::start))
        .routes(routes!(call::view))
        .routes(routes!(call::hang_up))
        .routes(routes!(call::hold))
        .routes(routes!(call::resume))
        .routes(routes!(call::mute))
        .routes(routes!(call::unmute))
        .routes(routes!(call::shield))
        .routes(routes!(call::unshield))
        .routes(routes!(call::consult))
        .routes(routes!(call::consult_complete))
        .routes(routes!(call::consult_merge))
        .routes(routes!(call::consult_cancel))
        .routes(routes!(call::supervise, call::end_supervision))
        .routes(routes!(call::leg))
        .routes(routes!(calls::events))
        .routes(routes!(calls::quality, calls::heard))
        .routes(routes!(calls::recordings))
        .routes(routes!(calls::list))
        .routes(routes!(calls::live))
        .routes(routes!(offers::list))
        .routes(routes!(offers::accept))
        .routes(routes!(offers::reject))
        .routes(routes!(offers::end_wrap_up))
        .routes(routes!(offers::extend_wrap_up))
        .routes(routes!(offers::queue))
        .routes(routes!(staff::me))
        .routes(routes!(staff::set_status))
        .routes(routes!(staff::available))
        .routes(routes!(staff::list, staff::create))
        .routes(routes!(staff::update))
        .routes(routes!(staff::session))
        .routes(routes!(auth::login))
        .routes(routes!(auth::logout))
        .routes(routes!(recordings::audio))
        .routes(routes!(recordings::voice_audio))
        .routes(routes!(recordings::waveform))
        .routes(routes!(recordings::voice_waveform))
        .routes(routes!(rtc::attach, rtc::options))
        .routes(routes!(rtc::trickle, rtc::leave))
        .routes(routes!(node::state, node::drain, node::undo))
        .routes(routes!(settings::view))
        .routes(routes!(settings::quality))
        .routes(routes!(settings::mail))
        .routes(routes!(settings::supervision))
        .routes(routes!(relay::state))
        .routes(routes!(relay::kill))
        .routes(routes!(relay::drain, relay::serve))
        .routes(routes!(relay::rotate))
        .routes(routes!(preflight::begin, preflight::list))
        .routes(routes!(preflight::report))
        .routes(routes!(preflight::link))
        .routes(routes!(whip::publish, whip::options))
        .routes(routes!(whip::trickle, whip::leave))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(health::startup))
}

/// How a console signs in; the name is that of the cookie's rules.
const STAFF_COOKIE: &str = "The console's session, set by signing in. It is called `__Host-hl_staff` wherever the public \
    address is https and no domain is set for it.";

/// The document as JSON, two spaces deep, with a line end.
///
/// # Panics
/// When the description cannot be written as JSON, which is a defect of ours.
pub fn document() -> String {
    let mut document = described().into_openapi();
    document.info.version = env!("CARGO_PKG_VERSION").to_owned();
    document.info.description = Some(description());
    let schemes = document.components.get_or_insert_with(Components::new);
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    schemes.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    let cookie = ApiKeyValue::with_description("hl_staff", STAFF_COOKIE);
    schemes.add_security_scheme("staffCookie", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
    document.to_pretty_json().expect("a description is plain data") + "\n"
}

/// What cannot stand beside one route.
fn description() -> String {
    let mut codes: Vec<&str> = Code::ALL.iter().map(|code| code.word()).chain(OWN_CODES).collect();
    codes.sort_unstable();
    format!(
        "Customer support calls. Errors are problem documents (RFC 9457) whose `code` is one of: {}. \
         Instants are RFC 3339 in UTC, ids are UUIDs. Customers send the token of their identity provider as \
         `Authorization: Bearer`, staff sign in and use the cookie, other systems send a service key as bearer.",
        codes.join(", ")
    )
}
