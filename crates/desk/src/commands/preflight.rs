//! Line tests: who may begin one, the echo's right, the reports of both sides, links for visitors.
//!
//! A test is no call: it has no queue, no agent and no recording, and media ends it by itself.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use call_model::{CallId, LegId, Span};
use ports::{Announce, Cause, LegSummary, Part, Plan, Red, Shield, Stance, Tap};
use serde_json::json;
use uuid::Uuid;
use wire::Time;
use wire::leg::LegGrant;
use wire::preflight::{
    Preflight, PreflightLine, PreflightLink, PreflightPage, PreflightReport, PreflightResult, PreflightStarted,
    PreflightVia,
};

use crate::auth::token::{Kind, Token, sha256};
use crate::caller::Caller;
use crate::facade::Desk;
use crate::permissions::{self, PREFLIGHT};
use crate::queries;
use crate::refusal::{Code, Refused};
use crate::shared::Core;
use crate::store::preflights::{self, NewTest, TestRow};
use crate::tx::Tx;
use crate::types::At;
use crate::views;

/// How long a link opens tests: until the customer has found the time.
pub const PREFLIGHT_LINK_LIFE: Span = Span::minutes(24 * 60);
/// Tests that one link opens: a visitor tries again with another browser or network, and nobody passes it on to many.
pub const PREFLIGHT_LINK_USES_MAX: i16 = 5;
/// How long after its begin a test takes a report.
pub const PREFLIGHT_REPORT_LIFE: Span = Span::minutes(60);
/// How long a test is kept: a fault that nobody asked about for a month is of another network by then.
pub const PREFLIGHT_KEPT: Span = Span::minutes(30 * 24 * 60);
/// Tests of one page of the list.
pub const PREFLIGHTS_PER_PAGE_MAX: u32 = 100;
/// Longest note of a link, characters; the column's own limit.
pub const PREFLIGHT_NOTE_CHARS_MAX: usize = 64;
/// Steps of one report: as many as there are.
pub const PREFLIGHT_STEPS_MAX: usize = 9;
/// Longest name of a browser, characters: all of them together name no more.
pub const PREFLIGHT_BROWSER_CHARS_MAX: usize = 120;
/// Longest word for what a step found, characters.
const CODE_CHARS_MAX: usize = 32;
/// Seconds in which the echo's offer must come: the microphone has been asked for already.
const FIRST_OFFER_S: u32 = 60;
/// Characters of the code that is read out: 30 bits, and two tests of one day are never told apart by it alone.
const CODE_CHARS: usize = 6;
/// 32 letters and digits that neither look nor sound like another digit.
const CODE_ALPHABET: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// Who begins a test.
#[derive(Clone, Debug)]
pub enum Tester {
    /// Somebody who is known.
    Known(Caller),
    /// A visitor with the token of a link.
    Link(String),
}

/// What is written of who tests.
struct Who {
    via: &'static str,
    staff: Option<Uuid>,
    user: Option<String>,
    link: Option<Uuid>,
    note: Option<String>,
}

impl Who {
    fn of(caller: &Caller) -> Who {
        let (via, staff, user) = match caller {
            Caller::Staff { staff, .. } => ("staff", Some(Uuid::from_u128(staff.0)), None),
            Caller::Customer { user_id, .. } => ("customer", None, Some(user_id.as_str().to_owned())),
            Caller::Service { .. } | Caller::Demo => ("service", None, None),
        };
        Who {
            via,
            staff,
            user,
            link: None,
            note: None,
        }
    }
}

impl Desk {
    /// Begins a line test: the right to attach an echo.
    ///
    /// # Errors
    /// `unauthenticated` for a link that is unknown, over or used up; `media_full`, `draining`, `database`.
    pub async fn preflight(&self, tester: Tester) -> Result<PreflightStarted, Refused> {
        self.told(begin(self.core(), tester).await)
    }

    /// Keeps what the browser found. `grant`: the secret of the test's own leg. The last word within an hour counts.
    ///
    /// # Errors
    /// `validation`; `not_found` also for another test's grant; `database`.
    pub async fn preflight_report(&self, id: Uuid, grant: [u8; 32], report: PreflightReport) -> Result<(), Refused> {
        self.told(keep_report(self.core(), id, grant, report).await)
    }

    /// Tests that the caller may see, newest first: his own and those of his links, all for those who lead. `code`: the
    /// one that a visitor reads out.
    ///
    /// # Errors
    /// `forbidden`, `validation`, `database`.
    pub async fn preflights(
        &self,
        caller: &Caller,
        code: Option<String>,
        before: Option<String>,
        limit: u32,
    ) -> Result<PreflightPage, Refused> {
        self.told(list(self.core(), caller, code, before, limit).await)
    }

    /// A link with which one visitor tests his line.
    ///
    /// # Errors
    /// `forbidden`, `validation`, `database`.
    pub async fn preflight_link(&self, caller: &Caller, note: Option<String>) -> Result<PreflightLink, Refused> {
        self.told(make_link(self.core(), caller, note).await)
    }
}

async fn begin(core: &Arc<Core>, tester: Tester) -> Result<PreflightStarted, Refused> {
    let id = core.fresh_id();
    let leg = core.fresh_id();
    let secret = core.fresh_secret();
    let code = fresh_code(core);
    let grant = ports::LegGrant {
        secret: secret.clone(),
        leg: LegId(leg),
        room: CallId(id),
        part: Part::Preflight,
        uplink: true,
        // What is measured is the line, not what redundancy makes of it.
        red: Red::Off,
        first_offer_s: FIRST_OFFER_S,
    };
    let (digest, code_in, core_in) = (sha256(secret.expose()), code.clone(), Arc::clone(core));
    let now = core
        .write("preflight", move |tx| {
            Box::pin(async move {
                let who = identify(tx, tester).await?;
                let test = NewTest {
                    id: Uuid::from_u128(id),
                    code: &code_in,
                    via: who.via,
                    staff: who.staff,
                    user: who.user.as_deref(),
                    link: who.link,
                    note: who.note.as_deref(),
                    grant: digest,
                    at: At(tx.now),
                };
                let keep_from = At(tx.now.minus(PREFLIGHT_KEPT));
                preflights::insert(tx.conn(), &test, keep_from).await?;
                // A node without a place leaves no test behind, and the link keeps its use. It never waits for anybody.
                core_in.media.admit(grant).await?;
                Ok(tx.now)
            })
        })
        .await?;
    core.media.plan(Plan {
        room: CallId(id),
        epoch: 1,
        stances: vec![(LegId(leg), Stance::Talk)],
        tap: Tap::Off,
        announce: Announce::Nobody,
        shield: Shield::Off,
    });
    Ok(PreflightStarted {
        preflight_id: Uuid::from_u128(id),
        code,
        leg: LegGrant {
            call_id: Uuid::from_u128(id),
            leg_id: Uuid::from_u128(leg),
            grant: URL_SAFE_NO_PAD.encode(secret.expose()),
            part: views::part(views::part_word(Part::Preflight)),
            ice_servers: core.options.ice.of_leg(LegId(leg)),
            ice_transport_policy: core.options.ice.policy,
            expires_at: Time(now.plus(Span::seconds(i64::from(FIRST_OFFER_S)))),
        },
        server_time: Time(now),
    })
}

async fn identify(tx: &mut Tx, tester: Tester) -> Result<Who, Refused> {
    let token = match tester {
        Tester::Known(caller) => return Ok(Who::of(&caller)),
        Tester::Link(text) => Token::parse(&text).filter(|token| token.kind() == Kind::Link),
    };
    let token = token.ok_or(Refused::new(Code::Unauthenticated))?;
    let now = At(tx.now);
    let link = preflights::use_link(tx.conn(), token.digest(), now, PREFLIGHT_LINK_USES_MAX).await?;
    let (link, note) = link.ok_or(Refused::because(
        Code::Unauthenticated,
        "the link is over or was used up",
    ))?;
    Ok(Who {
        via: "link",
        staff: None,
        user: None,
        link: Some(link),
        note,
    })
}

fn fresh_code(core: &Core) -> String {
    let mut bytes = [0; CODE_CHARS];
    core.options.random.fill(&mut bytes);
    let letters = bytes.map(|byte| char::from(CODE_ALPHABET[usize::from(byte & 31)]));
    letters.iter().collect()
}

async fn keep_report(core: &Arc<Core>, id: Uuid, grant: [u8; 32], report: PreflightReport) -> Result<(), Refused> {
    check(&report)?;
    let report = serde_json::to_value(report).map_err(|_| Refused::new(Code::Internal))?;
    core.write("preflight", move |tx| {
        Box::pin(async move {
            let (now, begun) = (At(tx.now), At(tx.now.minus(PREFLIGHT_REPORT_LIFE)));
            if preflights::report(tx.conn(), id, sha256(&grant), &report, now, begun).await? {
                Ok(())
            } else {
                Err(Refused::new(Code::NotFound))
            }
        })
    })
    .await
}

/// What a browser may say: known steps once each, words, and numbers that can be.
fn check(report: &PreflightReport) -> Result<(), Refused> {
    let word = |text: &String| {
        (1..=CODE_CHARS_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
    };
    let mut steps: Vec<_> = report.steps.iter().map(|step| step.step).collect();
    let many = steps.len() > PREFLIGHT_STEPS_MAX;
    steps.dedup();
    let twice = (1..steps.len()).any(|n| steps[n..].contains(&steps[n - 1])) || steps.len() != report.steps.len();
    if many || twice {
        return Err(Refused::field("steps", "must name each step once at most"));
    }
    if report
        .steps
        .iter()
        .filter_map(|step| step.code.as_ref())
        .any(|code| !word(code))
    {
        return Err(Refused::field("steps.code", "must be a word in snake_case"));
    }
    let browser = &report.browser;
    // Names and versions only: a colon or an @ would be an address.
    let plain = |c: char| c.is_alphanumeric() || " ._-()/;,".contains(c);
    if browser.chars().count() > PREFLIGHT_BROWSER_CHARS_MAX || !browser.chars().all(plain) {
        return Err(Refused::field("browser", "must be at most 120 plain characters"));
    }
    let figures = &report.figures;
    let shares = [figures.loss, figures.level];
    let amounts = [figures.mos, figures.rtt_ms, figures.jitter_ms];
    let share = shares.into_iter().flatten().all(|value| (0.0..=1.0).contains(&value));
    let amount = amounts
        .into_iter()
        .flatten()
        .all(|value| (0.0..=600_000.0).contains(&value));
    if !share || !amount || figures.mos.is_some_and(|mos| !(1.0..=5.0).contains(&mos)) {
        return Err(Refused::field("figures", "must be numbers that can be"));
    }
    Ok(())
}

/// The echo of a test has ended; a room that is no test has nothing to keep.
pub(crate) async fn ended(tx: &mut Tx, room: CallId, cause: Cause, summary: &LegSummary) -> Result<(), Refused> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "means of small numbers, stored to be read"
    )]
    let narrow = |value: f64| value as f32;
    let count = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    let line = PreflightLine {
        packets_received: count(summary.packets_received),
        packets_lost: count(summary.packets_lost),
        rtt_ms: summary.rtt_ms_mean.map(narrow),
        jitter_ms: narrow(summary.jitter_ms_mean),
        mos: summary.mos_up.map(narrow),
        level: summary.level_max,
        seconds: count(summary.seconds),
        cause: cause.word().to_owned(),
    };
    preflights::line(tx.conn(), Uuid::from_u128(room.0), &json!(line)).await
}

async fn list(
    core: &Arc<Core>,
    caller: &Caller,
    code: Option<String>,
    before: Option<String>,
    limit: u32,
) -> Result<PreflightPage, Refused> {
    allowed(caller)?;
    let limit = limit.clamp(1, PREFLIGHTS_PER_PAGE_MAX);
    let code = code.map(|code| code.trim().to_ascii_uppercase().replace(['-', ' '], ""));
    let before = match &before {
        Some(text) => {
            let cursor = queries::parse_cursor(text);
            Some(cursor.ok_or_else(|| Refused::field("before", "is no cursor of ours"))?)
        }
        None => None,
    };
    core.run(caller.ctx(), move |tx| {
        Box::pin(async move {
            // One more than asked for says whether there is another page.
            let mut rows = preflights::list(tx.conn(), code.as_deref(), before, i64::from(limit) + 1).await?;
            let more = rows.len() > limit as usize;
            rows.truncate(limit as usize);
            let last = rows.last().filter(|_| more);
            let next = last.map(|row| queries::cursor(row.created_at, row.id));
            Ok(PreflightPage {
                preflights: rows.into_iter().map(view).collect::<Result<_, _>>()?,
                next,
            })
        })
    })
    .await
}

/// Those of staff who look at tests and hand out links. A service sees all.
fn allowed(caller: &Caller) -> Result<(), Refused> {
    match caller {
        Caller::Staff { role, .. } if permissions::may(*role, PREFLIGHT) => Ok(()),
        Caller::Service { .. } => Ok(()),
        Caller::Staff { .. } | Caller::Customer { .. } | Caller::Demo => Err(Refused::new(Code::Forbidden)),
    }
}

fn view(row: TestRow) -> Result<Preflight, Refused> {
    let unreadable = |_| Refused::new(Code::Internal);
    let report: Option<PreflightReport> = row.report.map(serde_json::from_value).transpose().map_err(unreadable)?;
    Ok(Preflight {
        preflight_id: row.id,
        code: row.code,
        created_at: Time(row.created_at.0),
        via: match row.via.as_str() {
            "staff" => PreflightVia::Staff,
            "customer" => PreflightVia::Customer,
            "link" => PreflightVia::Link,
            _ => PreflightVia::Service,
        },
        who: row.who,
        verdict: report.as_ref().map(verdict),
        report,
        line: row.line.map(serde_json::from_value).transpose().map_err(unreadable)?,
    })
}

/// The worst of a report's steps.
fn verdict(report: &PreflightReport) -> PreflightResult {
    let has = |result| report.steps.iter().any(|step| step.result == result);
    if has(PreflightResult::Failed) || report.steps.is_empty() {
        PreflightResult::Failed
    } else if has(PreflightResult::Warn) {
        PreflightResult::Warn
    } else {
        PreflightResult::Ok
    }
}

async fn make_link(core: &Arc<Core>, caller: &Caller, note: Option<String>) -> Result<PreflightLink, Refused> {
    let (staff, role) = caller.staff()?;
    if !permissions::may(role, PREFLIGHT) {
        return Err(Refused::new(Code::Forbidden));
    }
    let note = note.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let bad = |text: &String| text.chars().count() > PREFLIGHT_NOTE_CHARS_MAX || text.chars().any(char::is_control);
    if note.as_ref().is_some_and(bad) {
        return Err(Refused::field("note", "must be at most 64 characters of one line"));
    }
    let token = Token::new(Kind::Link, *core.fresh_secret().expose());
    let (id, digest) = (Uuid::from_u128(core.fresh_id()), token.digest());
    let expires_at = core
        .write("preflight", move |tx| {
            Box::pin(async move {
                let until = tx.now.plus(PREFLIGHT_LINK_LIFE);
                let life = (At(tx.now), At(until));
                let made_by = Uuid::from_u128(staff.0);
                preflights::insert_link(tx.conn(), id, digest, made_by, note.as_deref(), life).await?;
                Ok(until)
            })
        })
        .await?;
    Ok(PreflightLink {
        path: format!("/preflight#{}", token.expose()),
        expires_at: Time(expires_at),
    })
}

#[cfg(test)]
mod tests {
    use wire::preflight::{PreflightFigures, PreflightStep, PreflightStepResult};

    use super::*;

    fn step(step: PreflightStep, result: PreflightResult) -> PreflightStepResult {
        PreflightStepResult {
            step,
            result,
            code: Some("relay_only".to_owned()),
            ms: Some(3),
        }
    }

    fn report() -> PreflightReport {
        PreflightReport {
            steps: vec![
                step(PreflightStep::SecureContext, PreflightResult::Ok),
                step(PreflightStep::Echo, PreflightResult::Ok),
            ],
            figures: PreflightFigures {
                mos: Some(4.4),
                loss: Some(0.0),
                ..PreflightFigures::default()
            },
            browser: "Chromium 156 (Linux)".to_owned(),
        }
    }

    #[test]
    fn a_report_is_words_and_numbers_and_has_no_room_for_an_address() {
        assert_eq!(check(&report()), Ok(()));
        let spoilt: [fn(&mut PreflightReport); 8] = [
            |report| {
                report
                    .steps
                    .push(step(PreflightStep::SecureContext, PreflightResult::Ok))
            },
            |report| {
                report
                    .steps
                    .insert(0, step(PreflightStep::SecureContext, PreflightResult::Ok))
            },
            |report| report.steps[0].code = Some("192.0.2.1".to_owned()),
            |report| report.steps[0].code = Some("x".repeat(CODE_CHARS_MAX + 1)),
            |report| report.browser = "http://[2001:db8::1]".to_owned(),
            |report| report.browser = "x".repeat(PREFLIGHT_BROWSER_CHARS_MAX + 1),
            |report| report.figures.loss = Some(1.01),
            |report| report.figures.mos = Some(0.5),
        ];
        for (n, spoil) in spoilt.into_iter().enumerate() {
            let mut report = report();
            spoil(&mut report);
            assert_eq!(check(&report).unwrap_err().code, Code::Validation, "{n}");
        }
    }

    #[test]
    fn a_report_names_every_step_and_one_from_before_the_relay_was_tried_is_still_read() {
        use PreflightStep::{Connection, Echo, Level, Microphone, Network, Relay, SecureContext, Server, Socket};
        let all = [
            SecureContext,
            Microphone,
            Level,
            Server,
            Socket,
            Network,
            Relay,
            Connection,
            Echo,
        ];
        assert_eq!(all.len(), PREFLIGHT_STEPS_MAX);
        let mut report = report();
        report.steps = all.map(|name| step(name, PreflightResult::Ok)).to_vec();
        assert_eq!(check(&report), Ok(()));
        let mut kept = serde_json::to_value(&report).unwrap();
        assert!(kept["figures"].as_object_mut().unwrap().remove("relay").is_some());
        let old: PreflightReport = serde_json::from_value(kept).unwrap();
        assert_eq!(old, report, "no way was tried");
    }

    #[test]
    fn a_test_is_as_good_as_its_worst_step() {
        let mut report = report();
        assert_eq!(verdict(&report), PreflightResult::Ok);
        report.steps[0].result = PreflightResult::Warn;
        assert_eq!(verdict(&report), PreflightResult::Warn);
        report.steps[1].result = PreflightResult::Failed;
        assert_eq!(verdict(&report), PreflightResult::Failed);
        report.steps.clear();
        assert_eq!(verdict(&report), PreflightResult::Failed, "nothing was tried");
    }
}
