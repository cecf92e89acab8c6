//! Ports of the HTTP side: bound before anything else is started, so that a taken one stops the start at once and says
//! which setting moves it.

use std::net::SocketAddr;

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// A port could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("{what} cannot listen on {address}: {source}; another address goes into {setting}")]
pub(crate) struct BindFault {
    what: &'static str,
    address: SocketAddr,
    setting: &'static str,
    source: std::io::Error,
}

/// Binds one TCP port.
///
/// # Errors
/// [`BindFault`].
pub(crate) async fn bind(
    what: &'static str,
    address: SocketAddr,
    setting: &'static str,
) -> Result<TcpListener, BindFault> {
    let fault = |source| BindFault {
        what,
        address,
        setting,
        source,
    };
    TcpListener::bind(address).await.map_err(fault)
}

/// Serves until the token is cancelled; requests that are under way are finished.
pub(crate) async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let served = axum::serve(listener, service).with_graceful_shutdown(async move { stop.cancelled().await });
    if let Err(fault) = served.await {
        tracing::error!(%fault, "a listener ended");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_is_named_with_the_setting_that_moves_it() {
        let any = "127.0.0.1:0".parse().expect("an address");
        let first = bind("HTTP", any, "http.listen").await.expect("a free port");
        let taken = first.local_addr().expect("an address");
        let fault = bind("HTTP", taken, "http.listen").await.expect_err("it is taken");
        let text = fault.to_string();
        assert!(
            text.contains(&taken.to_string()) && text.contains("http.listen"),
            "{text}"
        );
    }
}
