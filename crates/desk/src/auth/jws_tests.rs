//! Vectors of the RFCs, tokens made by another library (ring), and everything that must be refused.

#![cfg(test)]

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use call_model::Timestamp;
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _},
};
use serde_json::{Value, json};

use super::*;

/// 2026-11-24T10:00:00Z.
const NOW: Timestamp = Timestamp(1_795_514_400_000_000);
const NOW_S: i64 = 1_795_514_400;
const ISSUER: &str = "https://project.supabase.example/auth/v1";

fn expected() -> Expected {
    Expected {
        issuer: ISSUER.to_owned(),
        audience: "authenticated".to_owned(),
    }
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": "authenticated", "sub": "user-uuid", "exp": NOW_S + 600, "email": "c@example.org",
        "role": "super_admin", "user_metadata": { "full_name": "John Doe", "role": "admin" }
    })
}

fn unsigned(header: &Value, claims: &str) -> String {
    format!("{}.{}", B64.encode(header.to_string()), B64.encode(claims))
}

fn hs256(secret: &[u8], header: &Value, claims: &str) -> String {
    let message = unsigned(header, claims);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
    format!("{message}.{}", B64.encode(tag.as_ref()))
}

/// An Ed25519 pair with its key set.
fn ed25519() -> (Ed25519KeyPair, KeySet) {
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
    let x = B64.encode(pair.public_key().as_ref());
    let set =
        json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": "ed", "alg": "EdDSA", "use": "sig", "x": x }] });
    (pair, KeySet::parse(&set.to_string()).unwrap())
}

fn eddsa(pair: &Ed25519KeyPair, claims: &str) -> String {
    let message = unsigned(&json!({ "alg": "EdDSA", "kid": "ed", "typ": "JWT" }), claims);
    format!("{message}.{}", B64.encode(pair.sign(message.as_bytes()).as_ref()))
}

/// The RSA key of RFC 7515 appendix A.2.1.
const RSA_N: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";

#[test]
fn the_vectors_of_rfc_7515_and_rfc_8037_hold() {
    let payload = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let set = json!({ "keys": [
        { "kty": "RSA", "kid": "a2", "n": RSA_N, "e": "AQAB" },
        { "kty": "EC", "crv": "P-256", "kid": "a3", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
          "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0" },
        { "kty": "OKP", "crv": "Ed25519", "kid": "8037", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" },
    ] });
    let set = KeySet::parse(&set.to_string()).unwrap();
    let secret = B64
        .decode("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
        .unwrap();
    let a1 = PinnedKey::shared_secret(&secret);
    let cases = [
        (
            &a1,
            format!("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{payload}"),
            "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        ),
        (
            set.find("a2").unwrap(),
            format!("eyJhbGciOiJSUzI1NiJ9.{payload}"),
            "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
        ),
        (
            set.find("a3").unwrap(),
            format!("eyJhbGciOiJFUzI1NiJ9.{payload}"),
            "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
        ),
        (
            set.find("8037").unwrap(),
            "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc".to_owned(),
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
        ),
    ];
    for (key, message, signature) in cases {
        let holds = |message: &str| {
            jsonwebtoken::crypto::verify(signature, message.as_bytes(), &key.key, key.algorithm).unwrap()
        };
        assert!(holds(&message), "{:?}", key.algorithm);
        assert!(!holds(&format!("{message}A")), "{:?}", key.algorithm);
    }
}

#[test]
fn a_good_token_names_its_subject_and_nothing_of_a_role() {
    let (pair, set) = ed25519();
    let token = eddsa(&pair, &claims().to_string());
    assert_eq!(wanted_key(&token), Ok(Wanted::Published("ed".to_owned())));
    let subject = verify(&token, set.find("ed").unwrap(), &expected(), NOW).unwrap();
    assert_eq!(subject.user.as_str(), "user-uuid");
    assert_eq!(subject.name.as_deref(), Some("John Doe"));
    assert_eq!(subject.email.as_deref(), Some("c@example.org"));
    assert_eq!(format!("{subject:?}"), "Subject(…)");
}

#[test]
fn a_p256_key_of_another_library_is_understood() {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap();
    let point = pair.public_key().as_ref();
    let jwk = json!({ "keys": [{ "kty": "EC", "crv": "P-256", "kid": "ec", "alg": "ES256",
        "x": B64.encode(&point[1..33]), "y": B64.encode(&point[33..]) }] });
    let set = KeySet::parse(&jwk.to_string()).unwrap();
    let message = unsigned(&json!({ "alg": "ES256", "kid": "ec" }), &claims().to_string());
    let signature = pair.sign(&random, message.as_bytes()).unwrap();
    let token = format!("{message}.{}", B64.encode(signature.as_ref()));
    assert!(verify(&token, set.find("ec").unwrap(), &expected(), NOW).is_ok());
}

#[test]
fn foreign_expired_and_early_tokens_are_named() {
    let (pair, set) = ed25519();
    let key = set.find("ed").unwrap();
    let with = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        verify(&eddsa(&pair, &claims.to_string()), key, &expected(), NOW).map(|_| ())
    };
    assert_eq!(
        with("iss", json!("https://elsewhere.example")),
        Err(TokenFault::Foreign)
    );
    assert_eq!(with("aud", json!("anon")), Err(TokenFault::Foreign));
    assert_eq!(with("aud", json!(["anon", "authenticated"])), Ok(()));
    assert_eq!(with("exp", json!(NOW_S - SKEW_S)), Err(TokenFault::Expired));
    assert_eq!(with("exp", json!(NOW_S - SKEW_S + 1)), Ok(()));
    assert_eq!(with("nbf", json!(NOW_S + SKEW_S)), Ok(()));
    assert_eq!(with("nbf", json!(NOW_S + SKEW_S + 1)), Err(TokenFault::NotYetValid));
    assert_eq!(with("sub", json!("")), Err(TokenFault::BadSubject));
    assert_eq!(with("sub", json!("x".repeat(129))), Err(TokenFault::BadSubject));
    assert_eq!(with("exp", json!("never")), Err(TokenFault::Malformed));
    for name in ["iss", "aud", "sub", "exp"] {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(name);
        let refused = verify(&eddsa(&pair, &claims.to_string()), key, &expected(), NOW);
        assert!(refused.is_err(), "a token without {name}");
    }
}

#[test]
fn a_claim_that_stands_twice_is_refused() {
    let (pair, set) = ed25519();
    let text = claims().to_string();
    let twice = format!("{},\"sub\":\"somebody-else\"}}", text.strip_suffix('}').unwrap());
    let refused = verify(&eddsa(&pair, &twice), set.find("ed").unwrap(), &expected(), NOW);
    assert_eq!(refused.map(|_| ()), Err(TokenFault::Malformed));
}

#[test]
fn no_algorithm_and_a_foreign_algorithm_are_refused() {
    let text = claims().to_string();
    let none = format!("{}.", unsigned(&json!({ "alg": "none", "kid": "ed" }), &text));
    assert_eq!(wanted_key(&none), Err(TokenFault::WrongAlgorithm));
    let hs512 = hs256(b"x", &json!({ "alg": "HS512", "kid": "ed" }), &text);
    assert_eq!(wanted_key(&hs512), Err(TokenFault::WrongAlgorithm));

    // The public key as a shared secret: the oldest trick against RSA keys.
    let set = json!({ "keys": [{ "kty": "RSA", "kid": "rsa", "n": RSA_N, "e": "AQAB" }] });
    let set = KeySet::parse(&set.to_string()).unwrap();
    let trick = hs256(
        &B64.decode(RSA_N).unwrap(),
        &json!({ "alg": "HS256", "kid": "rsa" }),
        &text,
    );
    assert_eq!(wanted_key(&trick), Ok(Wanted::SharedSecret));
    let refused = verify(&trick, set.find("rsa").unwrap(), &expected(), NOW);
    assert_eq!(refused.map(|_| ()), Err(TokenFault::WrongAlgorithm));
}

#[test]
fn a_key_set_never_yields_a_secret_an_encryption_key_or_a_contradiction() {
    let set = json!({ "keys": [
        { "kty": "oct", "kid": "secret", "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ", "alg": "HS256" },
        { "kty": "RSA", "kid": "enc", "use": "enc", "n": RSA_N, "e": "AQAB" },
        { "kty": "RSA", "kid": "ps", "alg": "PS256", "n": RSA_N, "e": "AQAB" },
        { "kty": "RSA", "n": RSA_N, "e": "AQAB" },
        { "kty": "from the future", "kid": "new" },
        7,
    ] });
    assert!(KeySet::parse(&set.to_string()).unwrap().is_empty());
    assert!(KeySet::parse("[]").is_none());
    let many: Vec<Value> = (0..KEYS_MAX + 1)
        .map(|n| json!({ "kty": "RSA", "kid": n.to_string(), "n": RSA_N, "e": "AQAB" }))
        .collect();
    assert_eq!(
        KeySet::parse(&json!({ "keys": many }).to_string()).unwrap().len(),
        KEYS_MAX
    );
}

#[test]
fn malformed_tokens_are_refused_whatever_they_hold() {
    let (pair, set) = ed25519();
    let good = eddsa(&pair, &claims().to_string());
    let critical = unsigned(
        &json!({ "alg": "EdDSA", "kid": "ed", "crit": ["b64"] }),
        &claims().to_string(),
    );
    let critical = format!("{critical}.{}", B64.encode(pair.sign(critical.as_bytes()).as_ref()));
    let long = format!("{good}{}", "A".repeat(TOKEN_BYTES_MAX));
    for token in ["", "a", "a.b", "a.b.c.d", "..", critical.as_str(), long.as_str()] {
        assert!(wanted_key(token).is_err(), "{token:.40}");
    }
    let (head, _) = good.rsplit_once('.').unwrap();
    let cut = format!("{head}.{}", B64.encode([0; 64]));
    let refused = verify(&cut, set.find("ed").unwrap(), &expected(), NOW);
    assert_eq!(refused.map(|_| ()), Err(TokenFault::BadSignature));
}
