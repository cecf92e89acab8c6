//! Rows as the browsers see them. Converts, never decides.

use ports::{Route, Via};
use serde_json::Value;
use sqlx::PgConnection;
use wire::Time;
use wire::call::{CallRow as WireRow, CallStatus, CallView, QueueSnapshot, WaitingCall};
use wire::leg::{LegLine, LegPath, Part};
use wire::offer::{Offer, OfferKind, WrapUp};
use wire::quality::QualityTrack;
use wire::recording::{HeardSpan, RecordedVoice, Recording, RecordingState};
use wire::staff::{PresenceStatus, Staff, StaffRole};

use crate::beside::Beside;
use crate::estimate;
use crate::refusal::{Code, Refused};
use crate::settings::Settings;
use crate::store::calls::CallRow;
use crate::store::offers::{CONSULTED, OfferRow};
use crate::store::quality::TrackRow;
use crate::store::recordings::RecordingRow;
use crate::store::reports::ListRow;
use crate::store::staff::StaffRow;
use crate::store::voices::VoiceRow;
use crate::store::{legs, queues, recordings, staff};
use crate::tx::Tx;
use crate::types::At;

/// Waiting calls in one snapshot; a longer queue needs people, not a longer list.
pub(crate) const WAITING_ROWS_MAX: i64 = 200;

/// Times a wrap-up may be extended.
pub(crate) const WRAP_UP_EXTENSIONS_MAX: i16 = 3;

/// Whom a view of a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// The customer himself: no more than he told us.
    Customer,
    /// Staff, who may see the e-mail.
    Staff,
}

/// The state as the wire has it. The database knows one more, `callback`, which shows as waiting.
pub(crate) fn call_status(word: &str) -> CallStatus {
    match word {
        "initiated" => CallStatus::Initiated,
        "ringing" => CallStatus::Ringing,
        "connecting" => CallStatus::Connecting,
        "answered" => CallStatus::Answered,
        "completed" => CallStatus::Completed,
        "abandoned" => CallStatus::Abandoned,
        "failed" => CallStatus::Failed,
        _ => CallStatus::Queued,
    }
}

/// A call with its place and its agent's name.
pub(crate) async fn call(conn: &mut PgConnection, row: &CallRow, reader: Reader) -> Result<CallView, Refused> {
    let agent_name = match row.assigned_staff_id {
        Some(agent) => staff::name(&mut *conn, agent).await?,
        None => None,
    };
    let beside = match row.status.as_str() {
        "connecting" | "answered" => Beside::read(&mut *conn, row.id).await?,
        _ => Beside::default(),
    };
    let supervised = match reader {
        Reader::Staff if !beside.supervisors.is_empty() && Settings::announces(&mut *conn).await? => {
            Some(beside.supervised())
        }
        Reader::Staff | Reader::Customer => None,
    };
    let reconnecting = match row.status.as_str() {
        "connecting" | "answered" => legs::away_parts(&mut *conn, row.id).await?,
        _ => Vec::new(),
    };
    let lines = match reader {
        Reader::Staff => Some(lines(&mut *conn, row).await?).filter(|lines| !lines.is_empty()),
        Reader::Customer => None,
    };
    let waits = matches!(row.status.as_str(), "queued" | "ringing");
    let position = if waits {
        queues::position(&mut *conn, row.id).await?.map(small)
    } else {
        None
    };
    let estimated_wait_seconds = match position {
        Some(position) => estimate::wait_seconds(position, queues::strength(&mut *conn, Some(&row.queue)).await?),
        None => None,
    };
    let recorded = row.status == "answered" && recordings::runs(conn, row.id).await?;
    Ok(CallView {
        call_id: row.id,
        status: call_status(&row.status),
        end_reason: row.end_reason.clone(),
        queue: row.queue.clone(),
        position,
        estimated_wait_seconds,
        agent_name,
        agent_id: row.assigned_staff_id.filter(|_| reader == Reader::Staff),
        customer_name: row.customer_name.clone(),
        customer_email: (reader == Reader::Staff).then(|| row.customer_email.clone()),
        reconnecting: reconnecting.iter().map(|word| part(word)).collect(),
        recorded,
        held_since: beside.held_since(reader),
        muted: beside.muted(reader),
        shielded: beside.shielded,
        muted_self: beside.muted_self(reader),
        muted_by_others: beside.muted_by_others(reader),
        consult: beside.consult.filter(|_| reader == Reader::Staff),
        supervised,
        lines,
        created_at: time(row.created_at),
        enqueued_at: row.enqueued_at.map(time),
        answered_at: row.answered_at.map(time),
        ended_at: row.ended_at.map(time),
    })
}

/// The last way of each part's sound.
async fn lines(conn: &mut PgConnection, row: &CallRow) -> Result<Vec<LegLine>, Refused> {
    let rows = legs::paths(conn, row.id).await?;
    let line = |(word, way): (String, String)| {
        Some(LegLine {
            part: part(&word),
            path: path(&way)?,
        })
    };
    Ok(rows.into_iter().filter_map(line).collect())
}

/// What waits, as far as the transaction's role sees it, and who could take it; goes on as the desk.
pub(crate) async fn queue(tx: &mut Tx) -> Result<QueueSnapshot, Refused> {
    let waiting = queues::waiting(tx.conn(), None, WAITING_ROWS_MAX).await?;
    tx.become_desk().await?;
    let strength = queues::strength(tx.conn(), None).await?;
    let settings = Settings::read(tx.conn()).await?;
    let now = tx.now;
    Ok(QueueSnapshot {
        waiting: waiting
            .into_iter()
            .map(|row| WaitingCall {
                call_id: row.call_id,
                customer_name: row.customer_name,
                queue: row.queue,
                status: call_status(&row.status),
                enqueued_at: time(row.enqueued_at),
                position: small(row.position),
            })
            .collect(),
        agents_idle: small(strength.idle),
        agents_busy: small(strength.busy),
        queue_timeout_seconds: settings.queue_timeout_s,
        server_time: Time(now),
    })
}

/// An offer as its agent sees it.
pub(crate) async fn offer(conn: &mut PgConnection, offer: &OfferRow, call: &CallRow) -> Result<Offer, Refused> {
    let is_consult = offer.kind == CONSULTED;
    let from_name = match call.assigned_staff_id.filter(|_| is_consult) {
        Some(agent) => staff::name(conn, agent).await?,
        None => None,
    };
    Ok(Offer {
        offer_id: offer.id,
        call_id: call.id,
        kind: if is_consult {
            OfferKind::Consult
        } else {
            OfferKind::Call
        },
        from_name,
        customer_name: call.customer_name.clone(),
        queue: call.queue.clone(),
        enqueued_at: time(call.enqueued_at.unwrap_or(call.created_at)),
        offered_at: time(offer.created_at),
        expires_at: time(offer.expires_at),
    })
}

/// A running wrap-up.
pub(crate) fn wrap_up(offer: &OfferRow, customer_name: &str) -> WrapUp {
    WrapUp {
        offer_id: offer.id,
        call_id: offer.call_id,
        customer_name: customer_name.to_owned(),
        ends_at: time(offer.expires_at),
        extensions_left: small(i64::from(WRAP_UP_EXTENSIONS_MAX - offer.wrap_up_extensions)),
    }
}

/// A row of the list of calls.
pub(crate) fn list_row(row: ListRow) -> WireRow {
    let talk_seconds = match (row.answered_at, row.ended_at) {
        (Some(At(from)), Some(At(to))) => Some(to.since(from).as_seconds()),
        _ => None,
    };
    WireRow {
        call_id: row.id,
        status: call_status(&row.status),
        end_reason: row.end_reason,
        customer_name: row.customer_name,
        agent_name: row.agent_name,
        queue: row.queue,
        created_at: time(row.created_at),
        answered_at: row.answered_at.map(time),
        ended_at: row.ended_at.map(time),
        talk_seconds,
        wait_seconds: row.wait_seconds,
        mos_worst: row.mos_worst.map(f64::from),
        mos_customer: row.mos_customer.map(f64::from),
        mos_agent: row.mos_agent.map(f64::from),
        recording_id: row.recording_id,
    }
}

/// A recording with the addresses it is played from; of `voices` those that are its own.
pub(crate) fn recording(row: &RecordingRow, voices: &[VoiceRow]) -> Recording {
    let state = match row.state.as_str() {
        "recording" => RecordingState::Recording,
        "finalising" => RecordingState::Finalising,
        "stored" => RecordingState::Stored,
        _ => RecordingState::Failed,
    };
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of a call are far below 2^53")]
    let duration_seconds = row.duration_ms.map(|ms| ms as f64 / 1e3);
    Recording {
        recording_id: row.id,
        call_id: row.call_id,
        state,
        duration_seconds,
        size_bytes: row.audio_size.and_then(|size| u64::try_from(size).ok()),
        sha256: row.audio_sha256.as_deref().map(hex),
        layout: row.layout.clone(),
        customer_left: row.customer_left,
        coverage: row.coverage_customer.zip(row.coverage_agent).map(<[f32; 2]>::from),
        reason: row.reason.clone(),
        degraded: row.degraded,
        started_at: Some(time(row.started_at)),
        audio_url: format!("/api/support/recordings/{}/audio", row.id),
        waveform_url: format!("/api/support/recordings/{}/waveform", row.id),
        voices: voices
            .iter()
            .filter(|voice| voice.recording_id == row.id)
            .map(recorded_voice)
            .collect(),
    }
}

fn recorded_voice(row: &VoiceRow) -> RecordedVoice {
    let ms = |ms: i64| u64::try_from(ms).unwrap_or(0);
    RecordedVoice {
        number: u16::try_from(row.number).unwrap_or(0),
        leg_id: row.leg_id,
        part: part(&row.part),
        size_bytes: ms(row.audio_size),
        sha256: hex(&row.audio_sha256),
        coverage: row.coverage,
        heard: row
            .heard_ms
            .as_chunks::<2>()
            .0
            .iter()
            .map(|[from, to]| HeardSpan {
                from_ms: ms(*from),
                to_ms: ms(*to),
            })
            .collect(),
        audio_url: format!(
            "/api/support/recordings/{}/voices/{}/audio",
            row.recording_id, row.number
        ),
        waveform_url: format!(
            "/api/support/recordings/{}/voices/{}/waveform",
            row.recording_id, row.number
        ),
    }
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A quality timeline.
pub(crate) fn track(row: TrackRow) -> QualityTrack {
    #[expect(clippy::cast_precision_loss, reason = "packets of one second are far below 2^24")]
    let share = |lost: &[i32]| {
        lost.iter()
            .zip(&row.expected)
            .map(|(&lost, &expected)| {
                if expected > 0 {
                    (lost as f32 / expected as f32).clamp(0.0, 1.0)
                } else {
                    0.0
                }
            })
            .collect()
    };
    QualityTrack {
        leg_id: row.leg_id,
        part: part(&row.part),
        uplink: row.uplink,
        start_ms: row.start_ms,
        loss: share(&row.lost),
        residual_loss: share(&row.residual_lost),
        mos: row.mos,
        jitter_ms: row.jitter_ms,
        rtt_ms: row.rtt_ms,
        level: row
            .level
            .iter()
            .map(|&level| u8::try_from(level).unwrap_or(0))
            .collect(),
        mos_mean: row.mos_mean,
        mos_worst_minute: None,
        mos_low: None,
    }
}

/// A member of staff.
pub(crate) fn staff_row(row: StaffRow) -> Staff {
    Staff {
        id: row.id,
        user_id: row.user_id,
        staff_name: row.staff_name,
        email: row.email,
        role: staff_role(&row.role),
        status: presence(&row.status),
        is_active: row.is_active,
        max_concurrent_chats: small(i64::from(row.max_concurrent_chats)),
        max_concurrent_calls: small(i64::from(row.max_concurrent_calls)),
        current_chat_count: small(i64::from(row.current_chat_count)),
        current_call_count: small(i64::from(row.current_call_count)),
        created_at: time(row.created_at),
    }
}

/// A role as the wire has it; the schema knows no other words.
pub(crate) fn staff_role(word: &str) -> StaffRole {
    match word {
        "team_lead" => StaffRole::TeamLead,
        "supervisor" => StaffRole::Supervisor,
        "admin" => StaffRole::Admin,
        "super_admin" => StaffRole::SuperAdmin,
        _ => StaffRole::Agent,
    }
}

/// The database's word of a role.
pub(crate) const fn role_word(role: StaffRole) -> &'static str {
    match role {
        StaffRole::Agent => "agent",
        StaffRole::TeamLead => "team_lead",
        StaffRole::Supervisor => "supervisor",
        StaffRole::Admin => "admin",
        StaffRole::SuperAdmin => "super_admin",
    }
}

/// A chosen status as the wire has it.
pub(crate) fn presence(word: &str) -> PresenceStatus {
    match word {
        "online" => PresenceStatus::Online,
        "away" => PresenceStatus::Away,
        _ => PresenceStatus::Offline,
    }
}

/// The database's word of a chosen status.
pub(crate) const fn presence_word(status: PresenceStatus) -> &'static str {
    match status {
        PresenceStatus::Online => "online",
        PresenceStatus::Away => "away",
        PresenceStatus::Offline => "offline",
    }
}

/// A participant's part as the wire has it.
pub(crate) fn part(word: &str) -> Part {
    match word {
        "customer" => Part::Customer,
        "partner" => Part::Partner,
        "supervisor" => Part::Supervisor,
        "preflight" => Part::Preflight,
        _ => Part::Agent,
    }
}

/// A way as the wire has it; the schema knows no other words.
fn path(word: &str) -> Option<LegPath> {
    Some(match word {
        "direct" => LegPath::Direct,
        "turn-udp" => LegPath::TurnUdp,
        "turn-tcp" => LegPath::TurnTcp,
        "turn-tls" => LegPath::TurnTls,
        _ => return None,
    })
}

/// Media's way as the wire has it.
pub(crate) const fn path_of(route: Route) -> LegPath {
    match route {
        Route::Direct => LegPath::Direct,
        Route::Relayed(Via::Udp) => LegPath::TurnUdp,
        Route::Relayed(Via::Tcp) => LegPath::TurnTcp,
        Route::Relayed(Via::Tls) => LegPath::TurnTls,
    }
}

/// The database's word of media's part.
pub(crate) const fn part_word(part: ports::Part) -> &'static str {
    match part {
        ports::Part::Customer => "customer",
        ports::Part::Agent => "agent",
        ports::Part::Partner => "partner",
        ports::Part::Supervisor => "supervisor",
        ports::Part::Preflight => "preflight",
    }
}

/// A wire type as JSON.
pub(crate) fn json<T: serde::Serialize>(value: &T) -> Result<Value, Refused> {
    serde_json::to_value(value).map_err(|_| Refused::new(Code::Internal))
}

/// An instant on the wire.
pub(crate) fn time(at: At) -> Time {
    Time(at.0)
}

/// A count that is never negative and never large.
fn small(n: i64) -> u32 {
    u32::try_from(n.max(0)).unwrap_or(u32::MAX)
}
