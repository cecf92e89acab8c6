//! The two cookies: the console's session and the customer's call.
//!
//! Both are HttpOnly and `SameSite=Lax`. With `__Host-` a cookie belongs to one host; a cookie that is to reach sibling
//! hosts must do without it, and the staff's one only does so when the configuration spells it out.

use axum::http::{HeaderMap, HeaderValue, header};
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};
use time::Duration;

/// How the cookies are shaped.
#[derive(Clone, Debug, Default)]
pub struct CookieRules {
    /// True when the public face is https; then `Secure` and `__Host-`.
    pub secure: bool,
    /// Domain of the customer's cookie, such as `.bank.example`; none keeps it on this host.
    pub customer_domain: Option<String>,
    /// The staff's cookie takes the same domain.
    pub staff_too: bool,
}

/// Which cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Jar {
    /// The console's session.
    Staff,
    /// The customer's call.
    Call,
}

impl CookieRules {
    /// The domain of one cookie.
    fn domain(&self, jar: Jar) -> Option<&str> {
        match jar {
            Jar::Call => self.customer_domain.as_deref(),
            Jar::Staff => self.customer_domain.as_deref().filter(|_| self.staff_too),
        }
    }

    /// Its name.
    pub(crate) fn name(&self, jar: Jar) -> &'static str {
        match (jar, self.secure && self.domain(jar).is_none()) {
            (Jar::Staff, true) => "__Host-hl_staff",
            (Jar::Staff, false) => "hl_staff",
            (Jar::Call, true) => "__Host-hl_call",
            (Jar::Call, false) => "hl_call",
        }
    }

    /// The value that came with a request.
    pub(crate) fn read(&self, jar: Jar, headers: &HeaderMap) -> Option<String> {
        Some(CookieJar::from_headers(headers).get(self.name(jar))?.value().to_owned())
    }

    /// The header that sets it for `seconds`; `None` when the domain cannot stand in a header.
    pub(crate) fn set(&self, jar: Jar, value: String, seconds: i64) -> Option<(header::HeaderName, HeaderValue)> {
        let mut cookie = Cookie::build((self.name(jar), value))
            .path("/")
            .http_only(true)
            .secure(self.secure)
            .same_site(SameSite::Lax)
            .max_age(Duration::seconds(seconds));
        if let Some(domain) = self.domain(jar) {
            cookie = cookie.domain(domain.to_owned());
        }
        let text = cookie.build().to_string();
        Some((header::SET_COOKIE, HeaderValue::from_str(&text).ok()?))
    }

    /// The header that removes it.
    pub(crate) fn clear(&self, jar: Jar) -> Option<(header::HeaderName, HeaderValue)> {
        self.set(jar, String::new(), 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(rules: &CookieRules, jar: Jar) -> String {
        rules
            .set(jar, "v".to_owned(), 60)
            .unwrap()
            .1
            .to_str()
            .unwrap()
            .to_owned()
    }

    #[test]
    fn a_cookie_of_one_host_says_so_in_its_name() {
        let rules = CookieRules {
            secure: true,
            ..CookieRules::default()
        };
        let staff = text(&rules, Jar::Staff);
        assert_eq!(
            staff,
            "__Host-hl_staff=v; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=60"
        );
        assert!(!text(&rules, Jar::Call).contains("Domain"));
    }

    #[test]
    fn the_banks_domain_is_for_its_customers_and_for_staff_only_when_asked() {
        let mut rules = CookieRules {
            secure: true,
            customer_domain: Some("bank.alghahim.co.ke".to_owned()),
            staff_too: false,
        };
        assert!(text(&rules, Jar::Call).starts_with("hl_call=v;"));
        assert!(text(&rules, Jar::Call).contains("Domain=bank.alghahim.co.ke"));
        assert!(text(&rules, Jar::Staff).starts_with("__Host-hl_staff"));
        rules.staff_too = true;
        assert!(text(&rules, Jar::Staff).starts_with("hl_staff=v;"));
        assert!(text(&rules, Jar::Staff).contains("Domain="));
    }

    #[test]
    fn what_was_set_is_read_again() {
        let rules = CookieRules::default();
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, "a=b; hl_staff=hls_x; hl_call=hlp_y".parse().unwrap());
        assert_eq!(rules.read(Jar::Staff, &headers).as_deref(), Some("hls_x"));
        assert_eq!(rules.read(Jar::Call, &headers).as_deref(), Some("hlp_y"));
        assert!(
            rules
                .clear(Jar::Staff)
                .unwrap()
                .1
                .to_str()
                .unwrap()
                .contains("Max-Age=0")
        );
    }
}
