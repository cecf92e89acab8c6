//! The REST side, under a service key.

use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use uuid::Uuid;
use wire::call::{CallStarted, CallView};
use wire::leg::LegGrant;
use wire::offer::{Offer, OfferAccepted};
use wire::recording::{Recordings, VoiceWaveform, Waveform};
use wire::staff::{Me, Staff, StaffSession};

/// How often a waiting agent looks for an offer.
const OFFER_POLL: Duration = Duration::from_millis(250);
/// Longest wait for an offer: a queue's own patience is longer, a run that waits longer than this has failed.
const OFFER_PATIENCE: Duration = Duration::from_secs(60);
/// Longest time of one request.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);
/// Wait until a waveform that is being drawn is asked for again, unless the server says.
const DRAWING_POLL: Duration = Duration::from_secs(1);
/// Tries of a request that was told to come back later.
const LIMITED_TRIES: u32 = 60;

/// Why a request did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The server could not be asked.
    #[error("no answer: {0}")]
    Network(#[from] reqwest::Error),
    /// It refused.
    #[error("{what}: {status} {code}")]
    Refused {
        /// Method and path.
        what: String,
        /// HTTP status.
        status: u16,
        /// Code of the problem document, empty when there is none.
        code: String,
    },
    /// Nobody was offered the call in time.
    #[error("no offer came for the call")]
    NoOffer,
}

impl Fault {
    /// Code of the problem document.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Fault::Refused { code, .. } => Some(code),
            Fault::Network(_) | Fault::NoOffer => None,
        }
    }
}

/// A member of staff with a session.
#[derive(Clone, Debug)]
pub struct Agent {
    /// The staff row.
    pub id: Uuid,
    /// Bearer token of the session.
    token: String,
}

/// A call that was accepted, with the rights to attach its two legs.
#[derive(Clone, Debug)]
pub struct Joined {
    /// The call.
    pub call: Uuid,
    /// The customer's leg.
    pub customer: LegGrant,
    /// The agent's leg.
    pub agent: LegGrant,
}

/// A server, asked with its service key. Clones share their connections.
#[derive(Clone, Debug)]
pub struct Desk {
    http: Client,
    base: String,
    key: String,
}

impl Desk {
    /// The server at `base`, such as `http://127.0.0.1:3000`.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn new(base: &str, key: &str) -> Result<Desk, Fault> {
        // The client asks for a provider of TLS even where it never speaks it; a second installation changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Ok(Desk {
            http: Client::builder().timeout(REQUEST_LIMIT).no_proxy().build()?,
            base: base.trim_end_matches('/').to_owned(),
            key: key.to_owned(),
        })
    }

    /// A request with this bearer token, ready for a body.
    pub fn request(&self, method: Method, path: &str, token: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}{path}", self.base))
            .bearer_auth(token)
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        token: &str,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<T, Fault> {
        let mut tries = 0;
        loop {
            let mut request = self.request(method.clone(), path, token);
            if let Some(body) = body {
                request = request.json(body);
            }
            let reply = request.send().await?;
            let status = reply.status();
            if status.is_success() {
                return Ok(reply.json().await?);
            }
            let wait = retry_after(&reply);
            let problem: Value = reply.json().await.unwrap_or_default();
            tries += 1;
            match wait {
                Some(wait) if status == StatusCode::TOO_MANY_REQUESTS && tries < LIMITED_TRIES => {
                    tokio::time::sleep(wait).await;
                }
                Some(_) | None => {
                    return Err(Fault::Refused {
                        what: format!("{method} {path}"),
                        status: status.as_u16(),
                        code: problem["code"].as_str().unwrap_or_default().to_owned(),
                    });
                }
            }
        }
    }

    /// `GET path` under the service key.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Fault> {
        self.ask(Method::GET, path, &self.key, None::<&()>).await
    }

    /// `POST path` under the service key.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T, Fault> {
        self.ask(Method::POST, path, &self.key, Some(body)).await
    }

    /// `POST path` as a member of staff.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn post_as<T: DeserializeOwned>(&self, who: &Agent, path: &str, body: &Value) -> Result<T, Fault> {
        self.ask(Method::POST, path, &who.token, Some(body)).await
    }

    /// A new agent of the default queue with a session; `name` must be unique.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn agent(&self, name: &str) -> Result<Agent, Fault> {
        self.member(name, "agent").await
    }

    /// The same in another role.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn member(&self, name: &str, role: &str) -> Result<Agent, Fault> {
        let body = json!({ "email": format!("{name}@load.example"), "staffName": name, "role": role });
        let staff: Staff = self.post("/api/support/staff", &body).await?;
        let path = format!("/api/support/staff/{}/sessions", staff.id);
        let session: StaffSession = self.post(&path, &json!({})).await?;
        Ok(Agent {
            id: staff.id,
            token: session.token,
        })
    }

    /// Puts an agent online with his microphone checked; lasts for the presence lease.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn go_online(&self, agent: &Agent) -> Result<(), Fault> {
        self.set_status(agent, "online").await
    }

    /// Takes an agent offline: he is asked for no further call.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn go_offline(&self, agent: &Agent) -> Result<(), Fault> {
        self.set_status(agent, "offline").await
    }

    async fn set_status(&self, agent: &Agent, status: &str) -> Result<(), Fault> {
        let body = json!({ "status": status, "mediaChecked": true });
        let path = "/api/support/staff/me/status";
        let _: Me = self.ask(Method::PUT, path, &agent.token, Some(&body)).await?;
        Ok(())
    }

    /// A customer calls.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn start(&self, user: &str) -> Result<CallStarted, Fault> {
        let body = json!({ "userId": user, "customerName": user, "customerEmail": "", "callType": "voice" });
        self.post("/api/support/call/start", &body).await
    }

    /// What the agent is asked now.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn offers(&self, agent: &Agent) -> Result<Vec<Offer>, Fault> {
        self.ask(Method::GET, "/api/support/offers", &agent.token, None::<&()>)
            .await
    }

    /// The agent takes the call.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn accept(&self, agent: &Agent, offer: Uuid) -> Result<OfferAccepted, Fault> {
        let path = format!("/api/support/offers/{offer}/accept");
        self.ask(Method::POST, &path, &agent.token, Some(&json!({}))).await
    }

    /// The right to attach the customer's leg.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn customer_leg(&self, call: Uuid) -> Result<LegGrant, Fault> {
        self.post(&format!("/api/support/call/{call}/leg"), &json!({ "part": "customer" }))
            .await
    }

    /// Waits until the agent is asked, accepts, and asks for both legs' rights.
    ///
    /// # Errors
    /// [`Fault::NoOffer`] after a minute.
    pub async fn answer(&self, agent: &Agent) -> Result<Joined, Fault> {
        let accepted = self.say_yes(agent).await?;
        let call = accepted.call.call_id;
        Ok(Joined {
            call,
            customer: self.customer_leg(call).await?,
            agent: accepted.leg,
        })
    }

    /// Waits until somebody is asked, for a customer or by a colleague, and accepts.
    ///
    /// # Errors
    /// [`Fault::NoOffer`] after a minute.
    pub async fn say_yes(&self, agent: &Agent) -> Result<OfferAccepted, Fault> {
        let waiting = async {
            loop {
                if let Some(offer) = self.offers(agent).await?.first() {
                    return self.accept(agent, offer.offer_id).await;
                }
                tokio::time::sleep(OFFER_POLL).await;
            }
        };
        match tokio::time::timeout(OFFER_PATIENCE, waiting).await {
            Ok(accepted) => accepted,
            Err(_) => Err(Fault::NoOffer),
        }
    }

    /// Attaches a leg: an SDP offer under its grant, the SDP answer.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn attach(&self, grant: &str, offer: String) -> Result<String, Fault> {
        let request = self.request(Method::POST, "/api/rtc", grant);
        let reply = request
            .header(header::CONTENT_TYPE, "application/sdp")
            .body(offer)
            .send()
            .await?;
        let status = reply.status();
        if status.is_success() {
            return Ok(reply.text().await?);
        }
        let problem: Value = reply.json().await.unwrap_or_default();
        Err(Fault::Refused {
            what: "POST /api/rtc".to_owned(),
            status: status.as_u16(),
            code: problem["code"].as_str().unwrap_or_default().to_owned(),
        })
    }

    /// The call as it stands.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn call(&self, call: Uuid) -> Result<CallView, Fault> {
        self.get(&format!("/api/support/call/{call}")).await
    }

    /// Ends the call.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn hang_up(&self, call: Uuid) -> Result<CallView, Fault> {
        self.post(&format!("/api/support/call/{call}/hangup"), &json!({})).await
    }

    /// Puts the customer on hold.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn hold(&self, call: Uuid) -> Result<CallView, Fault> {
        self.post(&format!("/api/support/call/{call}/hold"), &json!({})).await
    }

    /// Takes the customer back from hold.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn resume(&self, call: Uuid) -> Result<CallView, Fault> {
        self.post(&format!("/api/support/call/{call}/resume"), &json!({})).await
    }

    /// Its recordings.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn recordings(&self, call: Uuid) -> Result<Recordings, Fault> {
        self.get(&format!("/api/support/call/{call}/recordings")).await
    }

    /// The peaks of a recording, waited for until they are drawn.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn waveform(&self, recording: Uuid) -> Result<Waveform, Fault> {
        self.drawn(&format!("/api/support/recordings/{recording}/waveform"))
            .await
    }

    /// The peaks of somebody who was heard beside the two sides of a recording, from 1, waited for in the same way.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn voice_waveform(&self, recording: Uuid, number: u16) -> Result<VoiceWaveform, Fault> {
        let path = format!("/api/support/recordings/{recording}/voices/{number}/waveform");
        self.drawn(&path).await
    }

    async fn drawn<T: DeserializeOwned>(&self, path: &str) -> Result<T, Fault> {
        loop {
            let reply = self.request(Method::GET, path, &self.key).send().await?;
            let reply = reply.error_for_status()?;
            if reply.status() != StatusCode::ACCEPTED {
                return Ok(reply.json().await?);
            }
            tokio::time::sleep(retry_after(&reply).unwrap_or(DRAWING_POLL)).await;
        }
    }

    /// The sound of a recording.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn audio(&self, recording: Uuid) -> Result<Vec<u8>, Fault> {
        let path = format!("/api/support/recordings/{recording}/audio");
        self.file(&path).await
    }

    /// The file of somebody who was heard beside the two sides of a recording, from 1.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn voice_audio(&self, recording: Uuid, number: u16) -> Result<Vec<u8>, Fault> {
        let path = format!("/api/support/recordings/{recording}/voices/{number}/audio");
        self.file(&path).await
    }

    async fn file(&self, path: &str) -> Result<Vec<u8>, Fault> {
        let reply = self.request(Method::GET, path, &self.key).send().await?;
        Ok(reply.error_for_status()?.bytes().await?.to_vec())
    }
}

fn retry_after(reply: &reqwest::Response) -> Option<Duration> {
    let seconds = reply.headers().get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}
