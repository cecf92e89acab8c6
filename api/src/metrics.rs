//! The private listener's page of numbers, in Prometheus' text format.

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use prometheus::{Encoder as _, Registry, TextEncoder};

/// `GET /metrics` over everything that is in `registry`. Never mounted on the public listener.
pub fn metrics_router(registry: Registry) -> Router {
    Router::new().route("/metrics", get(page)).with_state(registry)
}

async fn page(State(registry): State<Registry>) -> Response {
    let encoder = TextEncoder::new();
    let mut text = Vec::new();
    match encoder.encode(&registry.gather(), &mut text) {
        Ok(()) => ([(header::CONTENT_TYPE, encoder.format_type())], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "the metrics could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::Request};
    use prometheus::IntCounter;
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn what_is_counted_is_shown() {
        let registry = Registry::new();
        let counter = IntCounter::new("helpline_test_total", "A test.").unwrap();
        registry.register(Box::new(counter.clone())).unwrap();
        counter.inc_by(3);
        let request = Request::get("/metrics").body(Body::empty()).unwrap();
        let response = metrics_router(registry).oneshot(request).await.unwrap();
        let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        assert!(
            String::from_utf8(body.to_vec())
                .unwrap()
                .contains("helpline_test_total 3")
        );
    }
}
