// One browser's sound connection to the server: offer, answer, repair.
//
// Candidates are not sent: the server answers from where our packets come and never dials. It knows no WebSocket and no
// DOM: a peer connection factory and a way to send are handed in. Order of repair: an
// interruption of 2 s asks for a fresh grant and restarts ICE; when that does not help within 10 s a new connection is
// made; when that fails too the leg has failed.
//
// Invariant: a closed leg sends nothing more and its connection is closed.

import type { Clock } from "./clock.ts";
import { Emitter } from "./emitter.ts";
import type { LegAnswer } from "./gen/LegAnswer.ts";
import type { LegGrant } from "./gen/LegGrant.ts";

export type State =
  | { at: "idle" }
  | { at: "offering" }
  | { at: "connecting" }
  | { at: "up"; since: number }
  /** Packets stopped; `since` is when. */
  | { at: "interrupted"; since: number; step: "waiting" | "restarting" | "rebuilding" }
  | { at: "failed"; code: string }
  | { at: "closed" };

/** The part of `RTCPeerConnection` that is used. */
export interface Peer {
  readonly connectionState: RTCPeerConnectionState;
  addTransceiver(track: MediaStreamTrack | string, init?: RTCRtpTransceiverInit): { sender: RTCRtpSender };
  createOffer(options?: RTCOfferOptions): Promise<RTCSessionDescriptionInit>;
  setLocalDescription(description: RTCSessionDescriptionInit): Promise<void>;
  setRemoteDescription(description: RTCSessionDescriptionInit): Promise<void>;
  getStats(): Promise<RTCStatsReport>;
  close(): void;
  onconnectionstatechange: ((event: Event) => unknown) | null;
  ontrack: ((event: RTCTrackEvent) => unknown) | null;
}

export type Sent = { ok: true; data: unknown; type: string } | { ok: false; code: string };

export interface LegEnv {
  peer(config: RTCConfiguration): Peer;
  clock: Clock;
  /** Sends a signalling message and waits for what answers it. */
  request(type: string, data: unknown): Promise<Sent>;
  send(type: string, data: unknown): boolean;
  /** A track of the other side. */
  ontrack(track: MediaStreamTrack): void;
}

/** An interruption of this length is worth a restart, milliseconds. */
export const RESTART_AFTER_MS = 2000;
/** A restart or a new connection that is not up by then did not help, milliseconds. */
export const REPAIR_TIMEOUT_MS = 10_000;
/** How many connections are made for one call before the leg has failed. */
export const REBUILDS_MAX = 3;
/** Extra audio sections, so that two more sources can be heard without another offer. */
const LISTEN_ONLY_SECTIONS = 2;

export class Leg {
  state: State = { at: "idle" };
  readonly changed = new Emitter();

  #peer: Peer | undefined;
  #sender: RTCRtpSender | undefined;
  #grant: LegGrant | undefined;
  #track: MediaStreamTrack | undefined;
  #cancelTimer: () => void = () => {};
  #rebuilds = 0;
  #awaitingGrant = false;

  constructor(private readonly env: LegEnv) {}

  /** The microphone; may come before or after the grant. */
  setTrack(track: MediaStreamTrack): void {
    this.#track = track;
    if (this.#sender) void this.#sender.replaceTrack(track).catch(() => {});
    else if (this.#grant && this.state.at === "idle") void this.#build(this.#grant);
  }

  /** A grant came, the first or a renewed one. */
  granted(grant: LegGrant): void {
    if (this.#dead()) return;
    const sameLeg = this.#grant?.legId === grant.legId;
    const asked = this.#awaitingGrant;
    this.#grant = grant;
    this.#awaitingGrant = false;
    if (!this.#track) return;
    if (sameLeg && this.#peer) {
      // A grant for a connection that is well: nothing to do.
      if (!asked) return;
      if (this.state.at === "interrupted" && this.state.step === "restarting") {
        void this.#offer(this.#peer, grant, true);
        return;
      }
    }
    void this.#build(grant);
  }

  /** The answer to this connection's offer; one to a former connection must not get here. */
  async #answered(peer: Peer, answer: LegAnswer): Promise<void> {
    if (answer.legId !== this.#grant?.legId) return;
    try {
      await peer.setRemoteDescription({ type: "answer", sdp: answer.sdp });
    } catch {
      // An answer that the browser refuses: the timer repairs.
      return;
    }
    if (this.state.at === "offering") this.#set({ at: "connecting" });
  }

  /** Signalling is back: what could not be asked meanwhile is asked now. */
  signalling(): void {
    if (this.#awaitingGrant) this.#renew();
  }

  async stats(): Promise<RTCStatsReport | undefined> {
    return this.#peer?.getStats().catch(() => undefined);
  }

  /** Ends it; a new `Leg` serves the next call. */
  close(): void {
    this.#dropPeer();
    this.#cancelTimer();
    this.#set({ at: "closed" });
  }

  #dead(): boolean {
    return this.state.at === "closed" || this.state.at === "failed";
  }

  async #build(grant: LegGrant): Promise<void> {
    this.#dropPeer();
    const peer = this.env.peer({
      iceServers: grant.iceServers.map((server) => ({
        urls: server.urls,
        ...(server.username ? { username: server.username } : {}),
        ...(server.credential ? { credential: server.credential } : {}),
      })),
      bundlePolicy: "max-bundle",
    });
    this.#peer = peer;
    peer.ontrack = (event) => this.env.ontrack(event.track);
    peer.onconnectionstatechange = () => this.#peer === peer && this.#connection(peer.connectionState);
    if (this.#track) this.#sender = peer.addTransceiver(this.#track, { direction: "sendrecv" }).sender;
    for (let n = 0; n < LISTEN_ONLY_SECTIONS; n++) peer.addTransceiver("audio", { direction: "recvonly" });
    if (this.state.at !== "interrupted") this.#set({ at: "offering" });
    this.#watch();
    await this.#offer(peer, grant, false);
  }

  async #offer(peer: Peer, grant: LegGrant, restart: boolean): Promise<void> {
    try {
      const offer = await peer.createOffer(restart ? { iceRestart: true } : undefined);
      await peer.setLocalDescription(offer);
      if (this.#peer !== peer) return;
      const data = { legId: grant.legId, grant: grant.grant, sdp: offer.sdp ?? "" };
      const sent = await this.env.request(restart ? "leg.restart" : "leg.offer", data);
      if (this.#peer !== peer) return;
      if (sent.ok) {
        if (sent.type === "leg.answer") await this.#answered(peer, sent.data as LegAnswer);
      } else if (sent.code !== "ws_unreachable" && sent.code !== "timeout") {
        // The server refused this offer: another grant may be what is missing, the same one never helps.
        this.#rebuild(sent.code);
      } else {
        this.#awaitingGrant = true;
      }
    } catch {
      if (this.#peer === peer) this.#rebuild("ice_failed");
    }
  }

  #connection(connection: RTCPeerConnectionState): void {
    if (this.#dead()) return;
    if (connection === "connected") {
      this.#cancelTimer();
      this.#rebuilds = 0;
      this.#awaitingGrant = false;
      this.#set({ at: "up", since: this.env.clock.now() });
    } else if (connection === "disconnected" || connection === "failed") {
      if (this.state.at === "up") {
        this.#set({ at: "interrupted", since: this.env.clock.now(), step: "waiting" });
        this.#after(connection === "failed" ? 0 : RESTART_AFTER_MS, () => this.#restart());
      } else if (connection === "failed") {
        this.#rebuild("ice_failed");
      }
    }
  }

  #restart(): void {
    this.#step("restarting");
    this.#renew();
    this.#after(REPAIR_TIMEOUT_MS, () => this.#rebuild("ice_failed"));
  }

  #rebuild(code: string): void {
    if (this.#dead()) return;
    if (++this.#rebuilds > REBUILDS_MAX) {
      this.#dropPeer();
      this.#cancelTimer();
      this.#set({ at: "failed", code });
      return;
    }
    if (this.state.at === "interrupted") this.#step("rebuilding");
    else this.#set({ at: "interrupted", since: this.env.clock.now(), step: "rebuilding" });
    this.#dropPeer();
    this.#renew();
    this.#watch();
  }

  #renew(): void {
    if (!this.#grant) return;
    this.#awaitingGrant = true;
    this.env.send("leg.renew", { callId: this.#grant.callId });
  }

  #watch(): void {
    this.#after(REPAIR_TIMEOUT_MS, () => this.#rebuild("ice_failed"));
  }

  #after(ms: number, run: () => void): void {
    this.#cancelTimer();
    this.#cancelTimer = this.env.clock.after(ms, run);
  }

  #step(step: "restarting" | "rebuilding"): void {
    if (this.state.at === "interrupted") this.#set({ at: "interrupted", since: this.state.since, step });
  }

  #dropPeer(): void {
    const peer = this.#peer;
    this.#peer = undefined;
    this.#sender = undefined;
    if (!peer) return;
    peer.onconnectionstatechange = peer.ontrack = null;
    peer.close();
  }

  #set(state: State): void {
    this.state = state;
    this.changed.emit();
  }
}
