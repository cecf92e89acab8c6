//! Security headers, content policies, and who may call from another origin.
//!
//! Every response gets a policy; what is no page gets the one that allows nothing.

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::{App, visitor::header_text};

/// Which content policy a response has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    /// The console and the full-page widget.
    Console,
    /// The pretend bank: stricter than what docs/embedding.md asks of a host.
    Demo,
    /// A script, style or other file of the build.
    File,
    /// API and recordings.
    Api,
}

/// How long a browser may keep a permission to call from another origin, in seconds.
const PREFLIGHT_S: &str = "600";

/// Policies ready to send; they depend on the configuration only.
pub(crate) struct Policies {
    console: HeaderValue,
    demo: HeaderValue,
    hsts: bool,
}

impl Policies {
    /// `origins`: of every node, because clients talk to the owner of a call. `https`: whether the public face is so.
    ///
    /// `None` when an origin cannot stand in a header.
    pub(crate) fn new(origins: &[String], https: bool) -> Option<Self> {
        let mut connect = String::from("'self'");
        for origin in origins {
            connect.push(' ');
            connect.push_str(origin);
            // `https` covers `wss` only in newer browsers.
            if let Some(rest) = origin.strip_prefix("http") {
                connect.push_str(" ws");
                connect.push_str(rest);
            }
        }
        let console = format!(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; \
             media-src 'self' blob:; connect-src {connect}; frame-ancestors 'none'; base-uri 'none'; \
             form-action 'self'"
        );
        let demo = format!(
            "default-src 'self'; script-src 'self'; connect-src {connect}; media-src blob:; img-src 'self' data:; \
             frame-ancestors 'none'; base-uri 'none'"
        );
        Some(Self {
            console: HeaderValue::from_str(&console).ok()?,
            demo: HeaderValue::from_str(&demo).ok()?,
            hsts: https,
        })
    }

    /// Puts every header of `policy` on a response.
    fn apply(&self, headers: &mut HeaderMap, policy: Policy) {
        let content = match policy {
            Policy::Console => self.console.clone(),
            Policy::Demo => self.demo.clone(),
            Policy::File | Policy::Api => HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
        };
        headers.insert(header::CONTENT_SECURITY_POLICY, content);
        let mut set = |name: &'static str, value: &'static str| {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        };
        set("x-content-type-options", "nosniff");
        set("referrer-policy", "no-referrer");
        set("permissions-policy", "microphone=(self), camera=(), geolocation=()");
        if policy != Policy::File {
            set("cross-origin-opener-policy", "same-origin");
        }
        if self.hsts {
            set("strict-transport-security", "max-age=31536000");
        }
    }
}

/// The layer: answers preflights, and dresses every response.
pub(crate) async fn dress(State(app): State<App>, request: Request, next: Next) -> Response {
    let is_api = request.uri().path().starts_with("/api/");
    let origin = header_text(request.headers(), header::ORIGIN).map(str::to_owned);
    let allowed = origin.filter(|origin| is_api && app.options().allowed_origins.iter().any(|one| one == origin));
    let is_preflight =
        request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);

    let mut response = if is_preflight && allowed.is_some() {
        preflight()
    } else {
        next.run(request).await
    };
    let policy = response.extensions_mut().remove::<Policy>().unwrap_or(Policy::Api);
    app.policies().apply(response.headers_mut(), policy);
    if is_api {
        let headers = response.headers_mut();
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
        // A reply of the API is one caller's own.
        headers
            .entry(header::CACHE_CONTROL)
            .or_insert(HeaderValue::from_static("no-store"));
    }
    if let Some(origin) = allowed
        && let Ok(value) = HeaderValue::from_str(&origin)
    {
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, value);
        headers.insert(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static("location, link, etag, retry-after, x-request-id"),
        );
        if app.options().cookies.customer_domain.is_some() {
            headers.insert(
                header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
                HeaderValue::from_static("true"),
            );
        }
    }
    response
}

/// What another origin of the list may send.
fn preflight() -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: &'static str| {
        headers.insert(name, HeaderValue::from_static(value));
    };
    set(header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PUT, PATCH, DELETE");
    set(
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        "authorization, content-type, idempotency-key, if-match",
    );
    set(header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_S);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_may_talk_to_every_node_and_an_answer_of_the_api_may_do_nothing() {
        let policies = Policies::new(&["https://n1.example".to_owned()], true).unwrap();
        let mut headers = HeaderMap::new();
        policies.apply(&mut headers, Policy::Console);
        let csp = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(
            csp.contains("connect-src 'self' https://n1.example wss://n1.example;"),
            "{csp}"
        );
        assert!(!csp.contains("unsafe"), "{csp}");
        assert!(headers.contains_key(header::STRICT_TRANSPORT_SECURITY));
        policies.apply(&mut headers, Policy::Api);
        assert_eq!(
            headers[header::CONTENT_SECURITY_POLICY],
            "default-src 'none'; frame-ancestors 'none'"
        );
        assert!(Policies::new(&["https://x\r\ny".to_owned()], false).is_none());
    }
}
