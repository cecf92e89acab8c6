//! Line tests: one browser against an echo of its own voice, and what came of it.
//!
//! Nothing here has room for an address: candidates are counted by type, the chosen one is named by type.

use uuid::Uuid;

use crate::leg::LegGrant;
use crate::{Time, wire};

wire! {
    /// Body of `POST /api/support/preflight`.
    pub struct PreflightStart {
        /// The token of a link, for a visitor who has nothing else to show.
        #[serde(default)]
        #[cfg_attr(test, ts(optional = nullable))]
        pub link: Option<String>,
    }
}

wire! {
    /// A test that may begin.
    pub struct PreflightStarted {
        /// The test.
        pub preflight_id: Uuid,
        /// What the visitor reads out to support.
        pub code: String,
        /// The right to attach the echo; also the credential of the report.
        pub leg: LegGrant,
        /// Now, by the server.
        pub server_time: Time,
    }
}

wire! {
    /// What is looked at, in this order.
    pub enum PreflightStep {
        /// The page came over https or from this machine.
        SecureContext,
        /// The visitor lets us have the microphone.
        Microphone,
        /// It hears something.
        Level,
        /// The API answers.
        Server,
        /// A WebSocket opens.
        Socket,
        /// Which ways out of its network the browser has found.
        Network,
        /// By which ways it reaches the relay.
        Relay,
        /// ICE and DTLS to the media server.
        Connection,
        /// Five seconds of one's own voice.
        Echo,
    }
}

wire! {
    /// How a step went.
    pub enum PreflightResult {
        /// Well.
        Ok,
        /// Calls will work, not at their best.
        Warn,
        /// Calls will not work.
        Failed,
        /// Not tried: one before it failed, or there is nothing to try.
        Skipped,
    }
}

wire! {
    /// One step of a report.
    pub struct PreflightStepResult {
        /// Which.
        pub step: PreflightStep,
        /// How it went.
        pub result: PreflightResult,
        /// Stable word for what was found, snake_case.
        #[serde(default)]
        #[cfg_attr(test, ts(optional = nullable))]
        pub code: Option<String>,
        /// How long it took, milliseconds.
        #[serde(default)]
        #[cfg_attr(test, ts(optional = nullable))]
        pub ms: Option<u32>,
    }
}

wire! {
    /// The type of an ICE candidate (RFC 8839 §5.1).
    pub enum CandidateKind {
        /// An address of the machine.
        Host,
        /// What a STUN server sees.
        Srflx,
        /// What the other side sees.
        Prflx,
        /// Of a relay.
        Relay,
    }
}

wire! {
    /// How packets travel.
    pub enum PreflightPath {
        /// UDP.
        Udp,
        /// TCP to a relay.
        Tcp,
        /// TLS to a relay.
        Tls,
    }
}

wire! {
    /// What a way to the relay came to.
    #[derive(Default)]
    pub enum PreflightWay {
        /// The relay gave an address by it.
        Ok,
        /// It gave none in time.
        Failed,
        /// The server names no such way, so nothing was tried.
        #[default]
        NotOffered,
    }
}

wire! {
    /// The ways to the relay, each tried for itself.
    #[derive(Default)]
    pub struct PreflightRelay {
        /// `turn:` over UDP.
        pub udp: PreflightWay,
        /// `turn:` over TCP.
        pub tcp: PreflightWay,
        /// `turns:`, TLS over TCP.
        pub tls: PreflightWay,
    }
}

wire! {
    /// How many candidates of which type the browser found; never the addresses.
    #[derive(Default)]
    pub struct PreflightCandidates {
        /// With an address.
        pub host: u16,
        /// Behind a `.local` name.
        pub mdns: u16,
        /// By STUN.
        pub srflx: u16,
        /// By a relay.
        pub relay: u16,
    }
}

wire! {
    /// What the browser measured; what it could not measure is absent.
    #[derive(Default)]
    pub struct PreflightFigures {
        /// From the offer to its answer, milliseconds.
        #[cfg_attr(test, ts(optional = nullable))]
        pub signalling_ms: Option<u32>,
        /// From the answer to a path, milliseconds.
        #[cfg_attr(test, ts(optional = nullable))]
        pub ice_ms: Option<u32>,
        /// From the path to keys, milliseconds.
        #[cfg_attr(test, ts(optional = nullable))]
        pub dtls_ms: Option<u32>,
        /// From the offer to keys, milliseconds.
        #[cfg_attr(test, ts(optional = nullable))]
        pub total_ms: Option<u32>,
        /// Estimated opinion score of the echo, 1 to 4.5.
        #[cfg_attr(test, ts(optional = nullable))]
        pub mos: Option<f32>,
        /// Round trip, milliseconds.
        #[cfg_attr(test, ts(optional = nullable))]
        pub rtt_ms: Option<f32>,
        /// Lost share of the echo, both ways together, 0 to 1.
        #[cfg_attr(test, ts(optional = nullable))]
        pub loss: Option<f32>,
        /// Jitter of the echo, milliseconds.
        #[cfg_attr(test, ts(optional = nullable))]
        pub jitter_ms: Option<f32>,
        /// Loudest moment of the microphone, 0 to 1 on a scale of loudness.
        #[cfg_attr(test, ts(optional = nullable))]
        pub level: Option<f32>,
        /// Candidates found.
        #[serde(default)]
        pub candidates: PreflightCandidates,
        /// The ways to the relay; absent where none was tried, and in reports from before they were.
        #[serde(default)]
        #[cfg_attr(test, ts(optional = nullable))]
        pub relay: Option<PreflightRelay>,
        /// The browser's end of the path in use.
        #[cfg_attr(test, ts(optional = nullable))]
        pub local: Option<CandidateKind>,
        /// How packets travel on it.
        #[cfg_attr(test, ts(optional = nullable))]
        pub path: Option<PreflightPath>,
    }
}

wire! {
    /// Body of `POST /api/support/preflight/{id}/report`.
    pub struct PreflightReport {
        /// What was looked at, at most one entry per step.
        pub steps: Vec<PreflightStepResult>,
        /// What was measured.
        pub figures: PreflightFigures,
        /// Name and version of the browser and its system.
        pub browser: String,
    }
}

wire! {
    /// What the media server measured of the same test.
    pub struct PreflightLine {
        /// Packets that reached us.
        pub packets_received: u32,
        /// Packets that did not.
        pub packets_lost: u32,
        /// Mean round trip, milliseconds.
        #[cfg_attr(test, ts(optional = nullable))]
        pub rtt_ms: Option<f32>,
        /// Mean jitter of what reached us, milliseconds.
        pub jitter_ms: f32,
        /// Estimated opinion score of what reached us, 1 to 4.5.
        #[cfg_attr(test, ts(optional = nullable))]
        pub mos: Option<f32>,
        /// Loudest level, 0 to 127.
        pub level: u8,
        /// Seconds with a connection.
        pub seconds: u32,
        /// Why it ended.
        pub cause: String,
    }
}

wire! {
    /// Who tested.
    pub enum PreflightVia {
        /// A signed-in member of staff.
        Staff,
        /// A customer with a token.
        Customer,
        /// A visitor with a link.
        Link,
        /// Another system, or the visitor of a demo.
        Service,
    }
}

wire! {
    /// One test as staff sees it.
    pub struct Preflight {
        /// The test.
        pub preflight_id: Uuid,
        /// What the visitor reads out.
        pub code: String,
        /// When it began.
        pub created_at: Time,
        /// Who tested.
        pub via: PreflightVia,
        /// The name of the member of staff, the customer's id, or the link's note.
        #[cfg_attr(test, ts(optional = nullable))]
        pub who: Option<String>,
        /// The worst of its steps; absent until the visitor sends his report.
        #[cfg_attr(test, ts(optional = nullable))]
        pub verdict: Option<PreflightResult>,
        /// What the browser says.
        #[cfg_attr(test, ts(optional = nullable))]
        pub report: Option<PreflightReport>,
        /// What the media server says; absent until the echo has ended.
        #[cfg_attr(test, ts(optional = nullable))]
        pub line: Option<PreflightLine>,
    }
}

wire! {
    /// `GET /api/support/preflight`, newest first.
    pub struct PreflightPage {
        /// The tests.
        pub preflights: Vec<Preflight>,
        /// Where the next page begins.
        #[cfg_attr(test, ts(optional = nullable))]
        pub next: Option<String>,
    }
}

wire! {
    /// Body of `POST /api/support/preflight/link`.
    pub struct PreflightLinkRequest {
        /// For whom it is, as the list shows it.
        #[serde(default)]
        #[cfg_attr(test, ts(optional = nullable))]
        pub note: Option<String>,
    }
}

wire! {
    /// A link for one visitor.
    pub struct PreflightLink {
        /// Path of the page with the token behind `#`, which no server log sees.
        pub path: String,
        /// Until when it opens a test.
        pub expires_at: Time,
    }
}
