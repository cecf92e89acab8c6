//! The built pages, from the binary or from a folder: types, tags, compressed twins, caching, policies.
//!
//! Never serves a name that is not in the build, never follows `..`, never guesses a route: an unknown path is 404, and a
//! browser that looks for a page there gets the console's own words with that status.
//! Without a build everything else works and `/` says what to run.

use std::borrow::Cow;
use std::path::{Component, Path, PathBuf};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use rust_embed::RustEmbed;

use crate::{headers::Policy, problem::AsItIs, visitor::header_text};

/// What the web build left; empty when it has not run.
#[derive(RustEmbed)]
#[folder = "$CARGO_MANIFEST_DIR/../web/dist"]
#[allow_missing = true]
struct Embedded;

/// Largest file taken from a folder of one's own, in bytes: a console with all its chunks is under 1 MiB.
const OWN_FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Paths of the console; each shows the same page, which finds its way by itself.
const CONSOLE: [&str; 10] = [
    "/agent",
    "/dashboard/support",
    "/admin",
    "/admin/node",
    "/admin/relay",
    "/admin/support",
    "/admin/settings",
    "/admin/tests",
    "/qa",
    "/wallboard",
];

/// Text at `/` while there are no pages.
const NOT_BUILT: &str = "UI not built: run `cargo xtask web`\n";

/// Where the pages come from.
pub(crate) struct Ui {
    own: Option<PathBuf>,
    demo: bool,
}

/// One file with its digest.
struct File {
    bytes: Cow<'static, [u8]>,
    sha256: [u8; 32],
}

/// What a path asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target<'a> {
    Root,
    Page(&'static str, Policy),
    Named(&'a str),
    Nothing,
}

impl Ui {
    /// `own`: a folder whose files come before the built-in ones. `demo`: whether the pretend bank is shown.
    pub(crate) const fn new(own: Option<PathBuf>, demo: bool) -> Self {
        Self { own, demo }
    }

    /// Answers a request for a page or file.
    pub(crate) async fn answer(&self, method: &Method, path: &str, headers: &HeaderMap) -> Response {
        if method != Method::GET && method != Method::HEAD {
            return StatusCode::METHOD_NOT_ALLOWED.into_response();
        }
        let (name, policy) = match target(path, self.demo) {
            Target::Nothing => return self.missing(method, path, headers).await,
            Target::Root => return self.root().await,
            Target::Page(name, policy) => (name, policy),
            Target::Named(name) => (name, Policy::File),
        };
        match self.find_best(name, headers).await {
            Some((file, encoding)) => respond(method, headers, name, policy, &file, encoding),
            None if policy != Policy::File => NOT_BUILT.into_response(),
            None => self.missing(method, path, headers).await,
        }
    }

    /// No such path: the console says so to whoever looks for a page, everybody else gets the bare status.
    async fn missing(&self, method: &Method, path: &str, headers: &HeaderMap) -> Response {
        let wants_page = accepts(headers, header::ACCEPT, "text/html") && !names_a_file(path);
        let found = if wants_page {
            self.find_best("index.html", headers).await
        } else {
            None
        };
        let Some((file, encoding)) = found else {
            return StatusCode::NOT_FOUND.into_response();
        };
        // Whoever has the page already knows nothing of this path.
        let mut asked = headers.clone();
        asked.remove(header::IF_NONE_MATCH);
        let mut response = respond(method, &asked, "index.html", Policy::Console, &file, encoding);
        *response.status_mut() = StatusCode::NOT_FOUND;
        let varies = HeaderValue::from_static("Accept, Accept-Encoding");
        response.headers_mut().insert(header::VARY, varies);
        response.headers_mut().remove(header::ETAG);
        response.extensions_mut().insert(AsItIs);
        response
    }

    /// `/`: the place where work begins.
    async fn root(&self) -> Response {
        if self.find("index.html").await.is_none() {
            return NOT_BUILT.into_response();
        }
        Redirect::to(if self.demo { "/demo" } else { "/agent" }).into_response()
    }

    /// The smallest twin that the client understands.
    async fn find_best(&self, name: &str, headers: &HeaderMap) -> Option<(File, Option<&'static str>)> {
        for (encoding, ending) in [("br", ".br"), ("gzip", ".gz")] {
            if accepts(headers, header::ACCEPT_ENCODING, encoding)
                && let Some(file) = self.find(&format!("{name}{ending}")).await
            {
                return Some((file, Some(encoding)));
            }
        }
        Some((self.find(name).await?, None))
    }

    /// One file by its exact name.
    async fn find(&self, name: &str) -> Option<File> {
        if let Some(folder) = &self.own
            && let Some(bytes) = read_own(folder, name).await
        {
            let sha256 = desk::auth::token::sha256(&bytes);
            return Some(File {
                bytes: Cow::Owned(bytes),
                sha256,
            });
        }
        let file = Embedded::get(name)?;
        Some(File {
            sha256: file.metadata.sha256_hash(),
            bytes: file.data,
        })
    }
}

/// What `path` asks for.
fn target(path: &str, demo: bool) -> Target<'_> {
    let page = path.strip_suffix('/').filter(|page| page.len() > 1).unwrap_or(path);
    match page {
        "/" => Target::Root,
        "/demo" if demo => Target::Page("demo.html", Policy::Demo),
        "/demo" | "/demo.html" | "/index.html" => Target::Nothing,
        "/call" => Target::Page("index.html", Policy::Console),
        // A page of its own: whoever tests his line needs nothing of the console.
        "/preflight" => Target::Page("preflight.html", Policy::Console),
        _ if CONSOLE.contains(&page) || page.starts_with("/qa/") => Target::Page("index.html", Policy::Console),
        // Compressed twins are chosen, never named; escapes stand in no name of ours.
        _ if path.ends_with(".br") || path.ends_with(".gz") || path.contains('%') => Target::Nothing,
        _ => match path.strip_prefix('/') {
            Some(name) if is_plain(name) => Target::Named(name),
            _ => Target::Nothing,
        },
    }
}

/// True when `name` stays below its folder and hides nothing.
fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && !name.contains('\\')
        && Path::new(name).components().all(|part| match part {
            Component::Normal(part) => part.to_str().is_some_and(|part| !part.starts_with('.')),
            _ => false,
        })
}

/// Reads a file of the operator's own folder.
async fn read_own(folder: &Path, name: &str) -> Option<Vec<u8>> {
    let path = folder.join(name);
    let about = tokio::fs::metadata(&path).await.ok()?;
    if !about.is_file() || about.len() > OWN_FILE_BYTES_MAX {
        return None;
    }
    tokio::fs::read(&path).await.ok()
}

/// True when the path's last name has an ending: somebody wants that file, and no page.
fn names_a_file(path: &str) -> bool {
    path.rsplit('/').next().is_some_and(|name| name.contains('.'))
}

/// True when the list in `header` names `wanted` (an encoding, a media type) and does not forbid it.
fn accepts(headers: &HeaderMap, header: header::HeaderName, wanted: &str) -> bool {
    let Some(list) = header_text(headers, header) else {
        return false;
    };
    list.split(',').any(|item| {
        let mut parts = item.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(wanted));
        let forbidden = parts.any(|part| {
            part.strip_prefix("q=")
                .is_some_and(|q| q.trim_matches(['0', '.']).is_empty())
        });
        named && !forbidden
    })
}

/// Writes the response with its headers.
fn respond(
    method: &Method,
    asked: &HeaderMap,
    name: &str,
    policy: Policy,
    file: &File,
    encoding: Option<&'static str>,
) -> Response {
    let tag = format!("\"{}\"", hex(&file.sha256[..16]));
    let known = header_text(asked, header::IF_NONE_MATCH)
        .is_some_and(|tags| tags.split(',').any(|one| one.trim().trim_start_matches("W/") == tag));
    let mut response = match (known, method == Method::HEAD) {
        (true, _) => StatusCode::NOT_MODIFIED.into_response(),
        (false, true) => ().into_response(),
        (false, false) => match &file.bytes {
            Cow::Borrowed(bytes) => Body::from(*bytes).into_response(),
            Cow::Owned(bytes) => Body::from(bytes.clone()).into_response(),
        },
    };
    let headers = response.headers_mut();
    let mut set = |name: header::HeaderName, value: &str| {
        headers.insert(
            name,
            HeaderValue::from_str(value).expect("our own header values are visible ASCII"),
        );
    };
    set(header::ETAG, &tag);
    set(header::VARY, "Accept-Encoding");
    set(header::CACHE_CONTROL, caching(name));
    if !known {
        set(header::CONTENT_TYPE, media_type(name));
        set(header::CONTENT_LENGTH, &file.bytes.len().to_string());
        if let Some(encoding) = encoding {
            set(header::CONTENT_ENCODING, encoding);
        }
    }
    if name.starts_with("widget/") {
        // The bank's page loads these from its own origin.
        set(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
        set(
            header::HeaderName::from_static("cross-origin-resource-policy"),
            "cross-origin",
        );
    }
    response.extensions_mut().insert(policy);
    response
}

/// How long a file may be kept: for ever when its name changes with its content.
fn caching(name: &str) -> &'static str {
    let widget = name.strip_prefix("widget/");
    if name.starts_with("assets/") || widget.is_some_and(|rest| rest.contains('/')) {
        "public, max-age=31536000, immutable"
    } else if widget.is_some() {
        "public, max-age=300"
    } else {
        "no-cache"
    }
}

/// Media type by the ending.
fn media_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, ending)| ending) {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" | "map" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        "webmanifest" => "application/manifest+json",
        _ => "application/octet-stream",
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_routes_show_the_console_and_unknown_ones_nothing() {
        for path in [
            "/agent",
            "/agent/",
            "/dashboard/support",
            "/admin/node",
            "/admin/relay",
            "/admin/support",
            "/admin/settings",
            "/admin/tests",
            "/qa",
            "/qa/some-call",
            "/call",
        ] {
            assert_eq!(
                target(path, false),
                Target::Page("index.html", Policy::Console),
                "{path}"
            );
        }
        assert_eq!(target("/", false), Target::Root);
        assert_eq!(target("/demo", true), Target::Page("demo.html", Policy::Demo));
        for path in [
            "/demo",
            "/demo.html",
            "/index.html",
            "//",
            "/agent/../x",
            "/..",
            "/../Cargo.toml",
            "/.keep",
        ] {
            assert_eq!(target(path, false), Target::Nothing, "{path}");
        }
        for path in ["/a%2e%2e/b", "/assets/x.js.br", "/assets/.x", "/a\\b", "/a/./b/../c"] {
            assert_eq!(target(path, true), Target::Nothing, "{path}");
        }
        assert_eq!(target("/unheard-of", false), Target::Named("unheard-of"));
    }

    #[test]
    fn an_encoding_counts_unless_it_is_forbidden() {
        let mut headers = HeaderMap::new();
        let takes = |headers: &HeaderMap, encoding| accepts(headers, header::ACCEPT_ENCODING, encoding);
        assert!(!takes(&headers, "br"));
        headers.insert(header::ACCEPT_ENCODING, "gzip, br;q=0.5".parse().unwrap());
        assert!(takes(&headers, "br") && takes(&headers, "gzip"));
        headers.insert(header::ACCEPT_ENCODING, "gzip;q=0, br; q=0.0".parse().unwrap());
        assert!(!takes(&headers, "br") && !takes(&headers, "gzip"));
    }

    #[test]
    fn names_that_change_with_their_content_are_kept_for_ever() {
        assert!(caching("assets/tokens-Cn3o6gAi.css").ends_with("immutable"));
        assert!(caching("widget/0.1.0/widget.mjs").ends_with("immutable"));
        assert_eq!(caching("widget/v1.js"), "public, max-age=300");
        assert_eq!(caching("index.html"), "no-cache");
    }

    #[tokio::test]
    async fn a_browser_that_looks_for_no_page_of_ours_sees_the_console_and_the_status() {
        let folder = std::env::temp_dir().join(format!("helpline-ui-missing-{}", std::process::id()));
        tokio::fs::create_dir_all(&folder).await.unwrap();
        tokio::fs::write(folder.join("index.html"), "<p>own</p>").await.unwrap();
        let ui = Ui::new(Some(folder.clone()), false);
        let mut browser = HeaderMap::new();
        browser.insert(
            header::ACCEPT,
            "text/html,application/xml;q=0.9,*/*;q=0.8".parse().unwrap(),
        );
        let page = ui.answer(&Method::GET, "/agent", &HeaderMap::new()).await;
        browser.insert(header::IF_NONE_MATCH, page.headers()[header::ETAG].clone());
        for path in ["/admin/unheard-of", "/admin/tests/x", "/demo", "/elsewhere"] {
            let shown = ui.answer(&Method::GET, path, &browser).await;
            assert_eq!(shown.status(), StatusCode::NOT_FOUND, "{path}");
            assert_eq!(
                shown.headers()[header::CONTENT_TYPE],
                "text/html; charset=utf-8",
                "{path}"
            );
            assert!(shown.extensions().get::<AsItIs>().is_some() && !shown.headers().contains_key(header::ETAG));
            let bytes = axum::body::to_bytes(shown.into_body(), 64).await.unwrap();
            assert_eq!(&bytes[..], b"<p>own</p>");
        }
        let mut script = HeaderMap::new();
        script.insert(header::ACCEPT, "*/*".parse().unwrap());
        for (path, headers) in [("/admin/unheard-of", &script), ("/assets/gone.js", &browser)] {
            let bare = ui.answer(&Method::GET, path, headers).await;
            assert_eq!(bare.status(), StatusCode::NOT_FOUND, "{path}");
            assert!(bare.extensions().get::<AsItIs>().is_none(), "{path}");
        }
        tokio::fs::remove_dir_all(folder).await.unwrap();
    }

    #[tokio::test]
    async fn a_folder_of_ones_own_comes_first_and_its_files_answer_by_tag() {
        let folder = std::env::temp_dir().join(format!("helpline-ui-{}", std::process::id()));
        tokio::fs::create_dir_all(folder.join("assets")).await.unwrap();
        tokio::fs::write(folder.join("index.html"), "<p>own</p>").await.unwrap();
        tokio::fs::write(folder.join("assets/a.css"), "a{}").await.unwrap();
        let ui = Ui::new(Some(folder.clone()), false);
        let none = HeaderMap::new();
        let page = ui.answer(&Method::GET, "/agent", &none).await;
        assert_eq!(page.status(), StatusCode::OK);
        assert_eq!(page.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
        let css = ui.answer(&Method::GET, "/assets/a.css", &none).await;
        let mut asked = HeaderMap::new();
        asked.insert(header::IF_NONE_MATCH, css.headers()[header::ETAG].clone());
        let again = ui.answer(&Method::GET, "/assets/a.css", &asked).await;
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        let root = ui.answer(&Method::GET, "/", &none).await;
        assert_eq!(root.headers()[header::LOCATION], "/agent");
        let missing = ui.answer(&Method::GET, "/nothing", &none).await;
        assert_eq!(missing.status(), StatusCode::NOT_FOUND);
        let wrong = ui.answer(&Method::POST, "/agent", &none).await;
        assert_eq!(wrong.status(), StatusCode::METHOD_NOT_ALLOWED);
        tokio::fs::remove_dir_all(folder).await.unwrap();
    }
}
