//! The desk as API, signalling and the binary see it. Each method is one command or one query; nothing is decided here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use call_model::{CallId, LegId, OfferId, RecordingId, StaffId, Timestamp, UserId};
use governor::clock::DefaultClock;
use ports::{Media, Part, Recordings, Shield};
use tokio::sync::Notify;
use wire::call::{
    CallEvents, CallPage, CallStart, CallStarted, CallView, ConsultStart, ConsultStep, LiveCalls, QueueSnapshot,
    Supervise, SuperviseEnd,
};
use wire::leg::{IceServer, LegGrant};
use wire::node::{DrainStart, DrainState};
use wire::offer::{Offer, OfferAccepted, WrapUp};
use wire::quality::{HeardReport, Quality};
use wire::signal::Snapshot;
use wire::staff::{Me, PresenceSet, Staff, StaffAvailable, StaffCreate, StaffList, StaffSession, StaffUpdate};

use crate::auth::Auth;
use crate::caller::{Caller, Created};
use crate::commands::consult::{self, Way};
use crate::commands::hold::Hold;
use crate::commands::mute::{self, Mute};
use crate::commands::once::IdempotencyKey;
use crate::commands::people::DemoAccount;
use crate::commands::{agent, contact, drain, heard, hold, people, shield, start, supervise};
use crate::hub::{Hub, HubFeed};
use crate::limits::Starts;
use crate::live;
use crate::metrics::Metrics;
use crate::queries::{self, CallFilter, Playback, Readiness};
use crate::refusal::{Code, Refused};
use crate::shared::{Core, DeskOptions, NodeEpoch, Wakes};
use crate::tx::Store;

/// Silence of the database after which no new calls are sent here: five missed heartbeats of the node.
pub const DATABASE_SILENT_MAX: Duration = Duration::from_secs(10);

/// Why the desk cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum StartFault {
    /// A metric of this name is there already.
    #[error("the desk's metrics could not be registered: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The parameters of the password hash were refused.
    #[error("passwords cannot be checked: {0}")]
    Passwords(#[from] crate::auth::passwords::PasswordFault),
}

/// The one writer of business state. Cheap to clone. What concerns the sound of a call that lives at another node is refused
/// with `other_node` and the address there.
#[derive(Clone)]
pub struct Desk(Arc<Inner>);

struct Inner {
    core: Arc<Core>,
    auth: Auth,
    starts: Starts,
}

impl Desk {
    /// Puts the desk together; nothing runs before [`Desk::run`].
    ///
    /// # Errors
    /// [`StartFault`].
    pub fn new(
        store: Store,
        node: NodeEpoch,
        media: Arc<dyn Media>,
        recordings: Arc<dyn Recordings>,
        options: DeskOptions,
        auth: crate::auth::AuthConfig,
    ) -> Result<Self, StartFault> {
        let auth = Auth::new(store.clone(), Arc::clone(&options.random), auth)?;
        let metrics = Metrics::new(&options.registry)?;
        let core = Core {
            store,
            node,
            media,
            recordings,
            options,
            metrics,
            hub: Hub::new(),
            wakes: Wakes::default(),
            relay_marks: crate::ice::RelayMarks::default(),
            outbox_bell: Notify::new(),
            fenced: AtomicBool::new(false),
        };
        Ok(Desk(Arc::new(Inner {
            core: Arc::new(core),
            auth,
            starts: Starts::new(DefaultClock::default()),
        })))
    }

    /// What the parts of the desk share.
    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.0.core
    }

    /// Counts refusals on their way out.
    pub(crate) fn told<T>(&self, result: Result<T, Refused>) -> Result<T, Refused> {
        result.inspect_err(|refused| {
            self.core()
                .metrics
                .refusals
                .with_label_values(&[refused.code.word()])
                .inc();
        })
    }

    /// What API and signalling ask when somebody wants a call: [`Desk::start_call`] within the limits of one customer.
    /// With `key` one request has one effect for a day, however often it arrives.
    ///
    /// # Errors
    /// Those of [`Desk::start_call`]; `rate_limited`; `idempotency_mismatch`.
    pub async fn request_call(
        &self,
        caller: &Caller,
        body: CallStart,
        key: Option<IdempotencyKey>,
    ) -> Result<(Created, CallStarted), Refused> {
        self.told(self.0.starts.admit(caller))?;
        self.told(start::start_call(self.core(), &self.0.auth, caller, body, key).await)
    }

    /// Makes a call, or answers with the customer's live one; the token is a fresh ticket either way.
    ///
    /// # Errors
    /// `validation`, `forbidden`, `draining`, `media_full`, `database`.
    pub async fn start_call(&self, caller: &Caller, body: CallStart) -> Result<(Created, CallStarted), Refused> {
        self.told(start::start_call(self.core(), &self.0.auth, caller, body, None).await)
    }

    /// One call, as the caller may see it.
    ///
    /// # Errors
    /// `not_found`, `database`.
    pub async fn call(&self, caller: &Caller, call: CallId) -> Result<CallView, Refused> {
        self.told(queries::call(self.core(), caller, call).await)
    }

    /// Whether the call's sound must pass through our media, because its queue takes no call unrecorded.
    ///
    /// # Errors
    /// `not_found`, `database`.
    pub async fn must_be_recorded(&self, caller: &Caller, call: CallId) -> Result<bool, Refused> {
        self.told(queries::must_be_recorded(self.core(), caller, call).await)
    }

    /// Ends a call; twice is once.
    ///
    /// # Errors
    /// `not_found`, `forbidden`, `validation`, `database`.
    pub async fn hang_up(&self, caller: &Caller, call: CallId, reason: Option<String>) -> Result<CallView, Refused> {
        self.told(contact::hang_up(self.core(), caller, call, reason).await)
    }

    /// Puts the customer on hold: he hears music, nobody hears him; twice is once.
    ///
    /// # Errors
    /// `not_found`, `forbidden`, `illegal_transition` without two-way sound, `validation`, `database`.
    pub async fn hold(&self, caller: &Caller, call: CallId, reason: Option<String>) -> Result<CallView, Refused> {
        self.told(hold::set(self.core(), caller, call, Hold::On, reason).await)
    }

    /// Takes the customer back from hold; twice is once.
    ///
    /// # Errors
    /// Those of [`Desk::hold`].
    pub async fn resume(&self, caller: &Caller, call: CallId, reason: Option<String>) -> Result<CallView, Refused> {
        self.told(hold::set(self.core(), caller, call, Hold::Off, reason).await)
    }

    /// Takes what the caller's client heard by its own statistics.
    ///
    /// # Errors
    /// `not_found`, `forbidden` for a line that is not the caller's, `illegal_transition` without two-way sound,
    /// `validation`, `rate_limited` for a second report within five seconds, `database`.
    pub async fn heard(&self, caller: &Caller, call: CallId, report: HeardReport) -> Result<(), Refused> {
        self.told(heard::take(self.core(), caller, call, report).await)
    }

    /// Mutes a party at the server: nobody hears him, and he is not recorded. Twice is once.
    ///
    /// # Errors
    /// `not_found`, `forbidden`, `illegal_transition` without two-way sound or such a party, `validation`, `database`.
    pub async fn mute(&self, caller: &Caller, call: CallId, wanted: wire::call::Mute) -> Result<CallView, Refused> {
        let wire::call::Mute { part, reason } = wanted;
        self.told(mute::set(self.core(), caller, call, part, Mute::On, reason).await)
    }

    /// Lets a muted party be heard again; twice is once.
    ///
    /// # Errors
    /// Those of [`Desk::mute`].
    pub async fn unmute(&self, caller: &Caller, call: CallId, wanted: wire::call::Mute) -> Result<CallView, Refused> {
        let wire::call::Mute { part, reason } = wanted;
        self.told(mute::set(self.core(), caller, call, part, Mute::Off, reason).await)
    }

    /// Keeps pressed keys from everybody in the call, whoever hears the voice; twice is once.
    ///
    /// # Errors
    /// `not_found`, `forbidden`, `illegal_transition` without two-way sound, `validation`, `database`.
    pub async fn shield(&self, caller: &Caller, call: CallId, how: wire::call::Shield) -> Result<CallView, Refused> {
        self.told(shield::set(self.core(), caller, call, Shield::On, how.reason).await)
    }

    /// Lets pressed keys go where the voice goes again; twice is once.
    ///
    /// # Errors
    /// Those of [`Desk::shield`]; `forbidden` where the house shields every call.
    pub async fn unshield(&self, caller: &Caller, call: CallId, how: wire::call::Shield) -> Result<CallView, Refused> {
        self.told(shield::set(self.core(), caller, call, Shield::Off, how.reason).await)
    }

    /// Asks a colleague for help; the customer hears music meanwhile. Twice is once.
    ///
    /// # Errors
    /// `not_found`, `forbidden`, `illegal_transition` without two-way sound, beside another colleague or when he cannot
    /// be asked now, `validation`, `database`.
    pub async fn consult(&self, caller: &Caller, call: CallId, wanted: ConsultStart) -> Result<CallView, Refused> {
        let partner = StaffId(wanted.staff_id.as_u128());
        self.told(consult::begin(self.core(), caller, call, partner, wanted.reason).await)
    }

    /// The consulted colleague gets the call, and the agent writes up. Twice is once.
    ///
    /// # Errors
    /// `not_found`, `forbidden`, `illegal_transition` when nobody is consulted or he cannot be heard, `database`.
    pub async fn consult_complete(&self, caller: &Caller, call: CallId, how: ConsultStep) -> Result<CallView, Refused> {
        self.told(consult::go_on(self.core(), caller, call, Way::Complete, how.reason).await)
    }

    /// Customer, agent and colleague speak with one another. Twice is once.
    ///
    /// # Errors
    /// `not_found`, `forbidden`, `illegal_transition` when nobody has answered, `too_many_voices` beside supervisors who
    /// speak, `database`.
    pub async fn consult_merge(&self, caller: &Caller, call: CallId, how: ConsultStep) -> Result<CallView, Refused> {
        self.told(consult::go_on(self.core(), caller, call, Way::Merge, how.reason).await)
    }

    /// The agent goes back to the customer, without the colleague. Twice is once.
    ///
    /// # Errors
    /// `not_found`, `forbidden`, `illegal_transition` without two-way sound, `database`.
    pub async fn consult_cancel(&self, caller: &Caller, call: CallId, how: ConsultStep) -> Result<CallView, Refused> {
        self.told(consult::go_on(self.core(), caller, call, Way::Cancel, how.reason).await)
    }

    /// Begins to supervise a call, goes on in another mode, or takes it over: the right to attach one's leg.
    ///
    /// # Errors
    /// `not_found`, `forbidden`, `illegal_transition` without two-way sound, `media_full` beside two others,
    /// `too_many_voices` when somebody would miss a voice, `already_in_call` when a takeover finds no free slot, `validation`, `database`.
    pub async fn supervise(&self, caller: &Caller, call: CallId, wanted: Supervise) -> Result<LegGrant, Refused> {
        self.told(supervise::begin(self.core(), caller, call, wanted.mode, wanted.reason).await)
    }

    /// Calls that are not over, as far as the caller sees them.
    ///
    /// # Errors
    /// `forbidden`, `database`.
    pub async fn live_calls(&self, caller: &Caller) -> Result<LiveCalls, Refused> {
        self.told(live::calls(self.core(), caller).await)
    }

    /// Colleagues whom the caller may consult.
    ///
    /// # Errors
    /// `forbidden`, `database`.
    pub async fn staff_available(&self, caller: &Caller) -> Result<StaffAvailable, Refused> {
        self.told(live::available(self.core(), caller).await)
    }

    /// Empties this node: no new call begins here, at the deadline what still lives is ended. Again: another deadline.
    ///
    /// # Errors
    /// `forbidden`, `validation`, `database`.
    pub async fn drain(&self, caller: &Caller, body: DrainStart) -> Result<DrainState, Refused> {
        self.told(drain::begin(self.core(), caller, body).await)
    }

    /// The node serves again; twice is once.
    ///
    /// # Errors
    /// `forbidden`, `validation`, `database`.
    pub async fn undo_drain(&self, caller: &Caller, reason: Option<String>) -> Result<DrainState, Refused> {
        self.told(drain::undo(self.core(), caller, reason).await)
    }

    /// How far the emptying of this node is.
    ///
    /// # Errors
    /// `forbidden`, `database`.
    pub async fn drain_state(&self, caller: &Caller) -> Result<DrainState, Refused> {
        self.told(drain::state(self.core(), caller).await)
    }

    /// Calls of this node that live, the waiting ones among them.
    ///
    /// # Errors
    /// `database`.
    pub async fn calls_here(&self) -> Result<u32, Refused> {
        Ok(drain::live(self.core()).await?.0)
    }

    /// Ends one's own supervision; twice is once.
    ///
    /// # Errors
    /// `not_found`, `forbidden`, `validation`, `database`.
    pub async fn end_supervision(&self, caller: &Caller, call: CallId, how: SuperviseEnd) -> Result<(), Refused> {
        self.told(supervise::end(self.core(), caller, call, how.reason).await)
    }

    /// The right to attach one's own leg; asked again, a fresh right for the same leg.
    ///
    /// # Errors
    /// `not_found`, `forbidden`, `illegal_transition` before somebody accepted, `media_full`, `draining`, `database`.
    pub async fn grant_leg(&self, caller: &Caller, call: CallId, part: Option<Part>) -> Result<LegGrant, Refused> {
        self.told(contact::grant_leg(self.core(), caller, call, part).await)
    }

    /// The servers for whoever attaches this leg: he has shown his right to it.
    #[must_use]
    pub fn ice_servers(&self, leg: LegId) -> Vec<IceServer> {
        self.core().options.ice.of_leg(leg)
    }

    /// The waiting customer's page is there.
    ///
    /// # Errors
    /// `database`.
    pub async fn customer_alive(&self, user: &UserId) -> Result<(), Refused> {
        self.told(contact::customer_alive(self.core(), user).await)
    }

    /// Takes the call of an offer.
    ///
    /// # Errors
    /// `not_found`, `offer_lost`, `offer_expired`, `forbidden`, `media_full`, `database`.
    pub async fn accept_offer(&self, caller: &Caller, offer: OfferId) -> Result<OfferAccepted, Refused> {
        self.told(agent::accept_offer(self.core(), caller, offer).await)
    }

    /// Gives the call of an offer back; twice is once.
    ///
    /// # Errors
    /// `not_found`, `offer_lost`, `offer_expired`, `illegal_transition`, `validation`, `database`.
    pub async fn reject_offer(&self, caller: &Caller, offer: OfferId, reason: Option<String>) -> Result<(), Refused> {
        self.told(agent::reject_offer(self.core(), caller, offer, reason).await)
    }

    /// The agent has finished writing up; twice is once.
    ///
    /// # Errors
    /// `not_found`, `illegal_transition`, `database`.
    pub async fn end_wrap_up(&self, caller: &Caller, call: CallId) -> Result<(), Refused> {
        self.told(agent::end_wrap_up(self.core(), caller, call).await)
    }

    /// The agent needs more time to write up.
    ///
    /// # Errors
    /// `not_found`, `illegal_transition` when no extension is left, `database`.
    pub async fn extend_wrap_up(&self, caller: &Caller, call: CallId) -> Result<WrapUp, Refused> {
        self.told(agent::extend_wrap_up(self.core(), caller, call).await)
    }

    /// The agent chooses whether he takes calls.
    ///
    /// # Errors
    /// `forbidden`, `validation`, `database`.
    pub async fn set_presence(&self, caller: &Caller, wanted: PresenceSet) -> Result<Me, Refused> {
        self.told(agent::set_presence(self.core(), caller, wanted).await)
    }

    /// The agent's console is there; `rtt_ms` as its WebSocket has it.
    ///
    /// # Errors
    /// `database`.
    pub async fn staff_alive(&self, staff: StaffId, rtt_ms: Option<u32>) -> Result<(), Refused> {
        self.told(agent::staff_alive(self.core(), staff, rtt_ms).await)
    }

    /// The agent's last console has gone.
    ///
    /// # Errors
    /// `database`.
    pub async fn staff_gone(&self, staff: StaffId) -> Result<(), Refused> {
        self.told(agent::staff_gone(self.core(), staff).await)
    }

    /// Who waits, and how many could answer.
    ///
    /// # Errors
    /// `forbidden`, `database`.
    pub async fn queue_calls(&self, caller: &Caller) -> Result<QueueSnapshot, Refused> {
        self.told(queries::queue_calls(self.core(), caller).await)
    }

    /// Everything a page needs to draw itself.
    ///
    /// # Errors
    /// `database`.
    pub async fn snapshot(&self, caller: &Caller) -> Result<Snapshot, Refused> {
        self.told(queries::snapshot(self.core(), caller).await)
    }

    /// The agent's pending offers.
    ///
    /// # Errors
    /// `forbidden`, `database`.
    pub async fn offers(&self, caller: &Caller) -> Result<Vec<Offer>, Refused> {
        self.told(queries::offers(self.core(), caller).await)
    }

    /// Calls, newest first.
    ///
    /// # Errors
    /// `forbidden`, `validation`, `database`.
    pub async fn calls(&self, caller: &Caller, filter: CallFilter) -> Result<CallPage, Refused> {
        self.told(queries::calls(self.core(), caller, filter).await)
    }

    /// The history of a call.
    ///
    /// # Errors
    /// `forbidden`, `not_found`, `database`.
    pub async fn call_events(&self, caller: &Caller, call: CallId) -> Result<CallEvents, Refused> {
        self.told(queries::call_events(self.core(), caller, call).await)
    }

    /// The stored quality of a call.
    ///
    /// # Errors
    /// `forbidden`, `not_found`, `database`.
    pub async fn call_quality(&self, caller: &Caller, call: CallId) -> Result<Quality, Refused> {
        self.told(queries::call_quality(self.core(), caller, call).await)
    }

    /// The recordings of a call.
    ///
    /// # Errors
    /// `forbidden`, `not_found`, `database`.
    pub async fn call_recordings(&self, caller: &Caller, call: CallId) -> Result<wire::recording::Recordings, Refused> {
        self.told(queries::call_recordings(self.core(), caller, call).await)
    }

    /// Where the sound of a recording is; who listens is noted in the audit log.
    ///
    /// # Errors
    /// `forbidden`, `not_found`, `recording_missing`, `database`.
    pub async fn playback(&self, caller: &Caller, recording: RecordingId) -> Result<Playback, Refused> {
        self.told(queries::playback(self.core(), caller, recording, None).await)
    }

    /// The same for the voice with this number beside the two sides, from 1.
    ///
    /// # Errors
    /// `forbidden`, `not_found`, `recording_missing`, `database`.
    pub async fn voice_playback(
        &self,
        caller: &Caller,
        recording: RecordingId,
        number: u16,
    ) -> Result<Playback, Refused> {
        self.told(queries::playback(self.core(), caller, recording, Some(number)).await)
    }

    /// Everybody the caller sees.
    ///
    /// # Errors
    /// `forbidden`, `database`.
    pub async fn staff_list(&self, caller: &Caller) -> Result<StaffList, Refused> {
        self.told(queries::staff_list(self.core(), caller).await)
    }

    /// Adds a member of staff.
    ///
    /// # Errors
    /// `forbidden`, `validation`, `database`.
    pub async fn staff_create(&self, caller: &Caller, body: StaffCreate) -> Result<Staff, Refused> {
        self.staff_create_once(caller, body, None).await
    }

    /// The same; with `key` one request adds one person, however often it arrives within a day.
    ///
    /// # Errors
    /// Those of [`Desk::staff_create`]; `idempotency_mismatch`, also when the password is another one by now.
    pub async fn staff_create_once(
        &self,
        caller: &Caller,
        body: StaffCreate,
        key: Option<IdempotencyKey>,
    ) -> Result<Staff, Refused> {
        self.told(people::staff_create(self.core(), &self.0.auth, caller, body, key).await)
    }

    /// Changes a member of staff.
    ///
    /// # Errors
    /// `forbidden`, `not_found`, `validation`, `database`.
    pub async fn staff_update(&self, caller: &Caller, staff: StaffId, body: StaffUpdate) -> Result<Staff, Refused> {
        self.told(people::staff_update(self.core(), caller, staff, body).await)
    }

    /// A session without a password; for services and the demo.
    ///
    /// # Errors
    /// `forbidden`, `not_found`, `database`.
    pub async fn staff_session(&self, caller: &Caller, staff: StaffId) -> Result<StaffSession, Refused> {
        self.staff_session_once(caller, staff, None).await
    }

    /// The same; with `key` one request leaves one session open: the token of a lost reply opens nothing any more.
    ///
    /// # Errors
    /// Those of [`Desk::staff_session`]; `idempotency_mismatch`.
    pub async fn staff_session_once(
        &self,
        caller: &Caller,
        staff: StaffId,
        key: Option<IdempotencyKey>,
    ) -> Result<StaffSession, Refused> {
        self.told(people::staff_session(&self.0.auth, caller, staff, key).await)
    }

    /// The signed-in member of staff.
    ///
    /// # Errors
    /// `forbidden`, `unauthenticated` when the session has ended meanwhile, `database`.
    pub async fn me(&self, caller: &Caller) -> Result<Me, Refused> {
        self.told(queries::me(self.core(), caller).await)
    }

    /// Makes the people of the demo and gives each a password for this start.
    ///
    /// # Errors
    /// `forbidden` outside a demo, `database`.
    pub async fn seed_demo(&self) -> Result<Vec<DemoAccount>, Refused> {
        if !self.core().options.demo {
            return Err(Refused::new(Code::Forbidden));
        }
        people::seed_demo(self.core(), &self.0.auth).await
    }

    /// Everything that browsers must hear, from now on.
    pub fn subscribe(&self) -> HubFeed {
        self.core().hub.subscribe()
    }

    /// The media plane.
    pub fn media(&self) -> &Arc<dyn Media> {
        &self.core().media
    }

    /// The stored recordings.
    pub fn recordings(&self) -> &Arc<dyn Recordings> {
        &self.core().recordings
    }

    /// Who somebody is.
    pub fn auth(&self) -> &Auth {
        &self.0.auth
    }

    /// Whether new calls may come here; asks nobody.
    #[expect(clippy::unused_async, reason = "callers need not care that the answer lies at hand")]
    pub async fn ready(&self) -> Readiness {
        let core = self.core();
        Readiness {
            database: core.store.silent_for() < DATABASE_SILENT_MAX,
            draining: core.media.load().draining || core.fenced.load(Ordering::Acquire),
        }
    }

    /// The database clock; while the database is away, as it must be by now.
    #[expect(clippy::unused_async, reason = "callers need not care that the answer lies at hand")]
    pub async fn now(&self) -> Timestamp {
        self.core().store.clock()
    }
}
