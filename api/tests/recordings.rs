//! Playing a recording: ranges and their conditions, peaks, and who may listen.

mod common;

use std::ops::Range;

use axum::http::StatusCode;
use common::{BYTES, ID, sound, stored};
use ports::{RecordingFault, WaveformFault};
use serde_json::json;

/// Headers of one request.
type Headers = &'static [(&'static str, &'static str)];

const TAG: &str = "\"abababababababababababababababababababababababababababababababab\"";

fn path(what: &str) -> String {
    format!("/api/support/recordings/{ID}/{what}")
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_are_answered_as_the_rfc_has_it() {
    let mut server = server!(false);
    let token = stored(&mut server).await;
    let all = sound();
    let last = BYTES - 1;
    let table: [(Headers, u16, Range<usize>); 11] = [
        (&[], 200, 0..BYTES),
        (&[("range", "bytes=0-0")], 206, 0..1),
        (&[("range", "bytes=5-")], 206, 5..BYTES),
        (&[("range", "bytes=-5")], 206, BYTES - 5..BYTES),
        (&[("range", "bytes=262143-262145")], 206, 262_143..262_146),
        (&[("range", "bytes=1-9999999")], 206, 1..BYTES),
        (&[("range", "bytes=0-1,4-5")], 200, 0..BYTES),
        (&[("range", "bytes=0-0"), ("if-range", TAG)], 206, 0..1),
        (&[("range", "bytes=0-0"), ("if-range", "\"old\"")], 200, 0..BYTES),
        (&[("if-none-match", TAG)], 304, 0..0),
        (&[("range", "bytes=600000-")], 416, 0..0),
    ];
    for method in ["GET", "HEAD"] {
        for (headers, status, bytes) in &table {
            let mut ask = server.ask(method, path("audio")).bearer(&token);
            for (name, value) in *headers {
                ask = ask.header(name, *value);
            }
            let reply = ask.send().await;
            assert_eq!(reply.status.as_u16(), *status, "{method} {headers:?}");
            if *status == 416 {
                assert_eq!(reply.header("content-range"), "bytes */600000");
                continue;
            }
            assert_eq!(reply.header("etag"), TAG);
            assert_eq!(reply.header("accept-ranges"), "bytes");
            assert_eq!(reply.header("cache-control"), "private, no-store");
            let expected = if method == "HEAD" { &[][..] } else { &all[bytes.clone()] };
            assert!(
                reply.body == expected,
                "{method} {headers:?}: {} bytes",
                reply.body.len()
            );
            if *status != 304 {
                assert_eq!(
                    reply.header("content-length"),
                    bytes.len().to_string(),
                    "{method} {headers:?}"
                );
                assert_eq!(reply.header("content-type"), "audio/ogg");
            }
            if *status == 206 {
                let range = format!("bytes {}-{}/{BYTES}", bytes.start, (bytes.end - 1).min(last));
                assert_eq!(reply.header("content-range"), range);
            }
        }
    }
    let reply = server
        .ask("GET", path("audio"))
        .bearer(&token)
        .header("range", "bytes=600000-")
        .send()
        .await;
    assert_eq!(reply.code(), "range");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voice_beside_the_two_sides_is_played_as_the_recording_is() {
    let mut server = server!(false);
    let token = stored(&mut server).await;
    let insert = "insert into helpline.recording_voices (recording_id, number, leg_id, part, audio_key, audio_size,
            audio_sha256, coverage, heard_ms)
        select id, 2, id, 'partner', 'b.ogg', 9, decode(repeat('cd', 32), 'hex'), 1, array[0, 2000]
        from helpline.recordings";
    server.world.run(insert).await;
    let voice = b"of theirs".to_vec();
    let files = &server.world.recordings.files;
    files.lock().unwrap().insert("b.ogg".to_owned(), voice.clone());
    let ask = |what: &str| server.ask("GET", path(what)).bearer(&token);
    let whole = ask("voices/2/audio").send().await;
    assert_eq!((whole.status.as_u16(), &whole.body[..]), (200, &voice[..]));
    assert_eq!(whole.header("etag"), format!("\"{}\"", "cd".repeat(32)));
    let part = ask("voices/2/audio").header("range", "bytes=3-5").send().await;
    assert_eq!((part.status.as_u16(), &part.body[..]), (206, &voice[3..6]));
    for none in ["voices/1/audio", "voices/70000/audio", "voices/x/audio"] {
        assert_eq!(ask(none).send().await.code(), "not_found", "{none}");
    }

    let drawn = ask("voices/2/waveform?from=500&points=9").send().await.json();
    assert_eq!(
        drawn,
        json!({ "durationMs": 2000, "fromMs": 500, "toMs": 2000, "peaks": [-3, 4, -3, 4] })
    );
    let undrawn = &server.world.recordings.undrawn;
    *undrawn.lock().unwrap() = Some(WaveformFault::Drawing { percent: 40 });
    let reply = ask("voices/2/waveform").send().await;
    assert_eq!(
        (reply.status, reply.json()),
        (StatusCode::ACCEPTED, json!({ "percent": 40 }))
    );
    assert_eq!(reply.header("retry-after"), "1");
    *undrawn.lock().unwrap() = Some(WaveformFault::Busy);
    assert_eq!(ask("voices/2/waveform").send().await.code(), "waveform_busy");
    *undrawn.lock().unwrap() = None;
    for wrong in ["points=0", "points=4097", "from=9&to=8", "lane=1"] {
        let reply = ask(&format!("voices/2/waveform?{wrong}")).send().await;
        assert_eq!(reply.code(), "validation", "{wrong}");
    }
    for none in ["voices/1/waveform", "voices/70000/waveform", "voices/x/waveform"] {
        assert_eq!(ask(none).send().await.code(), "not_found", "{none}");
    }
    files.lock().unwrap().remove("b.ogg");
    assert_eq!(ask("voices/2/waveform").send().await.code(), "recording_missing");
}

#[tokio::test(flavor = "multi_thread")]
async fn peaks_are_for_a_span_and_a_number_of_points() {
    let mut server = server!(false);
    let token = stored(&mut server).await;
    let ask = |query: &str| server.ask("GET", format!("{}{query}", path("waveform"))).bearer(&token);
    let whole = ask("").send().await.json();
    assert_eq!(
        whole,
        json!({ "durationMs": 2000, "fromMs": 0, "toMs": 2000,
        "customer": [-3, 4, -3, 4], "agent": [-3, 4, -3, 4] })
    );
    let part = ask("?from=500&to=700&points=1").send().await.json();
    assert_eq!(
        (&part["fromMs"], &part["toMs"], &part["agent"]),
        (&json!(500), &json!(700), &json!([-3, 4]))
    );
    assert_eq!(ask("?points=4096").send().await.status, StatusCode::OK);
    for (fault, status, code, wait) in [
        (WaveformFault::Busy, 503, "waveform_busy", "10"),
        (RecordingFault::Store.into(), 503, "storage", "5"),
        (WaveformFault::Damaged, 500, "recording_damaged", ""),
    ] {
        *server.world.recordings.undrawn.lock().unwrap() = Some(fault);
        let reply = ask("").send().await;
        assert_eq!((reply.status.as_u16(), reply.code().as_str()), (status, code));
        assert_eq!(reply.header("retry-after"), wait, "{code}");
    }
    for wrong in ["?points=0", "?points=4097", "?from=9&to=8", "?from=x", "?lane=1"] {
        assert_eq!(ask(wrong).send().await.code(), "validation", "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn peaks_that_are_still_being_drawn_are_to_be_asked_for_again() {
    let mut server = server!(false);
    let token = stored(&mut server).await;
    let ask = || server.ask("GET", path("waveform")).bearer(&token);
    *server.world.recordings.undrawn.lock().unwrap() = Some(WaveformFault::Drawing { percent: 40 });
    let reply = ask().send().await;
    assert_eq!(reply.status, StatusCode::ACCEPTED);
    assert_eq!(
        (reply.header("retry-after"), reply.header("cache-control")),
        ("1", "private, no-store")
    );
    assert_eq!(reply.json(), json!({ "percent": 40 }));
    *server.world.recordings.undrawn.lock().unwrap() = None;
    assert_eq!(ask().send().await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_listen_does_not_and_what_is_not_there_is_not_played() {
    let mut server = server!(false);
    let token = stored(&mut server).await;
    let agent = server.staff("ann").await;
    assert_eq!(
        server.ask("GET", path("audio")).bearer(&agent).send().await.code(),
        "forbidden"
    );
    let customer = common::jwt("u1", |_| {});
    assert_eq!(
        server.ask("GET", path("audio")).bearer(&customer).send().await.code(),
        "forbidden"
    );
    let ask = |what: &str| server.ask("GET", path(what)).bearer(&token);
    let nothing = format!("/api/support/recordings/{}/audio", uuid::Uuid::from_u128(9));
    assert_eq!(
        server.ask("GET", nothing).bearer(&token).send().await.code(),
        "not_found"
    );
    assert_eq!(
        server
            .ask("GET", "/api/support/recordings/x/audio")
            .bearer(&token)
            .send()
            .await
            .code(),
        "not_found"
    );

    *server.world.recordings.down.lock().unwrap() = true;
    assert_eq!(ask("audio").send().await.code(), "storage");
    *server.world.recordings.down.lock().unwrap() = false;
    server.world.recordings.files.lock().unwrap().clear();
    assert_eq!(ask("audio").send().await.code(), "recording_missing");
    assert_eq!(ask("waveform").send().await.code(), "recording_missing");
    server
        .world
        .run("update helpline.recordings set state = 'finalising'")
        .await;
    assert_eq!(
        server.ask("GET", path("audio")).bearer(&token).send().await.code(),
        "recording_missing"
    );
}
