//! Playing a recording and the voices beside it: the sound by ranges, and its waveform.

use std::ops::Range;
use std::sync::Arc;

use axum::{
    Json,
    body::{Body, Bytes},
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use call_model::RecordingId;
use desk::{Code, Playback, Refused};
use futures_util::stream;
use ports::{RecordingFault, Recordings, Sound, WaveformFault};
use serde::Deserialize;
use wire::{
    problem::Problem,
    recording::{VoiceWaveform, Waveform, WaveformPending},
};

use crate::{
    App,
    body::{Id, Query},
    caller::Who,
    files::hex,
    problem::Failure,
    range::{Wanted, wanted},
};

/// Bytes read from the store at a time: about a minute of sound, small beside a thousand listeners.
const CHUNK_BYTES: u64 = 256 * 1024;

/// Most points of one waveform: more than any screen has columns.
const POINTS_MAX: usize = 4096;

/// Points when none are asked for.
const POINTS: usize = 1000;

/// Seconds after which a recording may be asked for again when its store did not answer: a folder that was mounted anew or
/// an object store that has changed hands is there by then.
const STORE_RETRY_S: u32 = 5;

/// Why the sound could not be had.
fn failure_of(fault: RecordingFault) -> Failure {
    match fault {
        RecordingFault::Missing => Refused::new(Code::RecordingMissing).into(),
        RecordingFault::Range => Refused::new(Code::Range).into(),
        RecordingFault::Store => Failure {
            retry_after_s: Some(STORE_RETRY_S),
            ..Failure::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "storage",
                "The store of recordings does not answer",
            )
        },
    }
}

/// Seconds after which a waveform that is being drawn may be asked for again: the answer waits for it in any case.
const DRAWING_RETRY_S: u32 = 1;

/// Seconds after which a waveform may be asked for again when others filled the queue: by then one or two of them are
/// drawn.
const BUSY_RETRY_S: u32 = 10;

/// Why there is no waveform, when it is not for being drawn.
fn failure_of_waveform(fault: WaveformFault) -> Failure {
    let busy = Failure {
        retry_after_s: Some(BUSY_RETRY_S),
        ..Failure::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "waveform_busy",
            "Too many waveforms wait to be drawn",
        )
    };
    match fault {
        WaveformFault::Read(fault) => failure_of(fault),
        WaveformFault::Damaged => Failure::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "recording_damaged",
            "The stored sound is damaged",
        ),
        WaveformFault::Busy | WaveformFault::Drawing { .. } => busy,
    }
}

/// The sound of a recording, whole or in part.
#[utoipa::path(get, path = "/api/support/recordings/{id}/audio", tag = "qa", params(("id" = uuid::Uuid, Path)),
    responses((status = 200, content_type = "audio/ogg", body = [u8]), (status = 206, content_type = "audio/ogg"),
        (status = 304), (status = 416),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn audio(
    State(app): State<App>,
    Who(caller): Who,
    Id(id): Id,
    method: Method,
    asked: HeaderMap,
) -> Result<Response, Failure> {
    let playback = app.desk().playback(&caller, RecordingId(id.as_u128())).await?;
    sound(&app, playback, &format!("recording-{id}.ogg"), &method, &asked).await
}

/// The sound of somebody who was heard beside the two sides, whole or in part. It begins and ends with the recording.
#[utoipa::path(get, path = "/api/support/recordings/{id}/voices/{number}/audio", tag = "qa",
    params(("id" = uuid::Uuid, Path), ("number" = u16, Path)),
    responses((status = 200, content_type = "audio/ogg", body = [u8]), (status = 206, content_type = "audio/ogg"),
        (status = 304), (status = 416),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn voice_audio(
    State(app): State<App>,
    Who(caller): Who,
    path: Result<Path<(uuid::Uuid, u16)>, PathRejection>,
    method: Method,
    asked: HeaderMap,
) -> Result<Response, Failure> {
    // What is no id and no number names nothing.
    let Path((id, number)) = path.map_err(|_| Failure::not_found())?;
    let recording = RecordingId(id.as_u128());
    let playback = app.desk().voice_playback(&caller, recording, number).await?;
    sound(&app, playback, &format!("recording-{id}-{number}.ogg"), &method, &asked).await
}

/// A stored sound, by ranges.
async fn sound(
    app: &App,
    playback: Playback,
    name: &str,
    method: &Method,
    asked: &HeaderMap,
) -> Result<Response, Failure> {
    let total = playback.size;
    let tag = format!("\"{}\"", hex(&playback.sha256));
    let (status, range) = match wanted(asked, &tag, total) {
        Wanted::NotModified => (StatusCode::NOT_MODIFIED, 0..0),
        Wanted::Whole => (StatusCode::OK, 0..total),
        Wanted::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Wanted::Unsatisfiable => {
            let mut response = Failure::from(Refused::new(Code::Range)).into_response();
            let total = HeaderValue::from_str(&format!("bytes */{total}")).expect("digits are visible ASCII");
            response.headers_mut().insert(header::CONTENT_RANGE, total);
            return Ok(response);
        }
    };
    let length = range.end - range.start;
    let content_range = format!("bytes {}-{}/{total}", range.start, range.end.saturating_sub(1));
    let body = if *method == Method::HEAD || length == 0 {
        Body::empty()
    } else {
        let recordings = Arc::clone(app.desk().recordings());
        // The first slice is read before the status is sent: a missing file is an error, not a torn reply.
        let first = read(&recordings, &playback.audio_key, &range).await?;
        Body::from_stream(slices(recordings, playback.audio_key, range, first))
    };
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: &str| {
        headers.insert(
            name,
            HeaderValue::from_str(value).expect("our own header values are visible ASCII"),
        );
    };
    set(header::ETAG, &tag);
    set(header::ACCEPT_RANGES, "bytes");
    set(header::CACHE_CONTROL, "private, no-store");
    if status != StatusCode::NOT_MODIFIED {
        set(header::CONTENT_TYPE, "audio/ogg");
        set(header::CONTENT_LENGTH, &length.to_string());
        set(header::CONTENT_DISPOSITION, &format!("inline; filename=\"{name}\""));
    }
    if status == StatusCode::PARTIAL_CONTENT {
        set(header::CONTENT_RANGE, &content_range);
    }
    Ok(response)
}

/// One slice at the start of `range`.
async fn read(recordings: &Arc<dyn Recordings>, key: &str, range: &Range<u64>) -> Result<Bytes, Failure> {
    let end = range.end.min(range.start.saturating_add(CHUNK_BYTES));
    let slice = recordings
        .read(key.to_owned(), range.start..end)
        .await
        .map_err(failure_of)?;
    if slice.bytes.is_empty() {
        // The file is shorter than its row says.
        return Err(failure_of(RecordingFault::Missing));
    }
    Ok(slice.bytes)
}

/// The slices of `range`, read one after another as the client takes them.
fn slices(
    recordings: Arc<dyn Recordings>,
    key: String,
    range: Range<u64>,
    first: Bytes,
) -> impl futures_util::Stream<Item = Result<Bytes, std::io::Error>> {
    stream::try_unfold((range, Some(first)), move |(range, ready)| {
        let recordings = Arc::clone(&recordings);
        let key = key.clone();
        async move {
            if range.is_empty() {
                return Ok(None);
            }
            let bytes = match ready {
                Some(bytes) => bytes,
                None => read(&recordings, &key, &range)
                    .await
                    .map_err(|failure| std::io::Error::other(failure.code))?,
            };
            let start = range.start.saturating_add(bytes.len() as u64);
            Ok(Some((bytes, (start..range.end, None))))
        }
    })
}

/// Which part of the waveform, in milliseconds.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Span {
    /// Start in milliseconds; 0 when absent.
    #[serde(default)]
    from: Option<u64>,
    /// End in milliseconds; the end of the recording when absent.
    #[serde(default)]
    to: Option<u64>,
    /// Points per side, 4096 at most; 1000 when absent.
    #[serde(default)]
    points: Option<usize>,
}

impl Span {
    fn points(&self) -> Result<usize, Failure> {
        let points = self.points.unwrap_or(POINTS);
        if (1..=POINTS_MAX).contains(&points) {
            Ok(points)
        } else {
            Err(Failure::field("points", "must lie between 1 and 4096"))
        }
    }
}

/// Peaks of both sides over a span. Drawn at the first question; 202 says that this takes longer than an answer, and to
/// ask again.
#[utoipa::path(get, path = "/api/support/recordings/{id}/waveform", tag = "qa",
    params(("id" = uuid::Uuid, Path), Span),
    responses((status = 200, body = Waveform), (status = 202, body = WaveformPending),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn waveform(
    State(app): State<App>,
    Who(caller): Who,
    Id(id): Id,
    Query(span): Query<Span>,
) -> Result<Response, Failure> {
    let points = span.points()?;
    let playback = app.desk().playback(&caller, RecordingId(id.as_u128())).await?;
    drawn(&app, playback, Sound::Master, &span, points, |drawn| {
        let mut lanes = drawn.lanes.into_iter().map(flat);
        Json(Waveform {
            duration_ms: drawn.duration_ms,
            from_ms: drawn.span_ms.start,
            to_ms: drawn.span_ms.end,
            customer: lanes.next().unwrap_or_default(),
            agent: lanes.next().unwrap_or_default(),
        })
    })
    .await
}

/// Peaks of somebody who was heard beside the two sides, over a span of the recording. Drawn as the recording is.
#[utoipa::path(get, path = "/api/support/recordings/{id}/voices/{number}/waveform", tag = "qa",
    params(("id" = uuid::Uuid, Path), ("number" = u16, Path), Span),
    responses((status = 200, body = VoiceWaveform), (status = 202, body = WaveformPending),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn voice_waveform(
    State(app): State<App>,
    Who(caller): Who,
    path: Result<Path<(uuid::Uuid, u16)>, PathRejection>,
    Query(span): Query<Span>,
) -> Result<Response, Failure> {
    // What is no id and no number names nothing.
    let Path((id, number)) = path.map_err(|_| Failure::not_found())?;
    let points = span.points()?;
    let recording = RecordingId(id.as_u128());
    let playback = app.desk().voice_playback(&caller, recording, number).await?;
    drawn(&app, playback, Sound::Voice, &span, points, |drawn| {
        Json(VoiceWaveform {
            duration_ms: drawn.duration_ms,
            from_ms: drawn.span_ms.start,
            to_ms: drawn.span_ms.end,
            peaks: drawn.lanes.into_iter().next().map(flat).unwrap_or_default(),
        })
    })
    .await
}

/// Lowest and highest per point in turn.
fn flat(lane: Vec<(i8, i8)>) -> Vec<i8> {
    lane.into_iter().flat_map(|(low, high)| [low, high]).collect()
}

/// The peaks of a stored sound over a span, in the words of `answer`, or that they are being drawn.
async fn drawn<T: IntoResponse>(
    app: &App,
    playback: Playback,
    of: fn(String) -> Sound,
    span: &Span,
    points: usize,
    answer: impl FnOnce(ports::Waveform) -> T,
) -> Result<Response, Failure> {
    let whole_ms = playback
        .recording
        .duration_seconds
        .map_or(0, |seconds| (seconds * 1000.0).ceil() as u64);
    let from = span.from.unwrap_or(0);
    let to = span.to.unwrap_or(whole_ms).min(whole_ms.max(from));
    if from > to {
        return Err(Failure::field("from", "must not lie behind `to`"));
    }
    let drawn = app
        .desk()
        .recordings()
        .waveform(of(playback.audio_key), from..to, points)
        .await;
    match drawn {
        Ok(drawn) => Ok(answer(drawn).into_response()),
        Err(WaveformFault::Drawing { percent }) => Ok(pending(percent)),
        Err(fault) => Err(failure_of_waveform(fault)),
    }
}

/// It is still being drawn.
fn pending(percent: u8) -> Response {
    let headers = [
        (header::RETRY_AFTER, HeaderValue::from(DRAWING_RETRY_S)),
        (header::CACHE_CONTROL, HeaderValue::from_static("private, no-store")),
    ];
    (StatusCode::ACCEPTED, headers, Json(WaveformPending { percent })).into_response()
}
