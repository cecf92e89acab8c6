// One browser's sound connection to the server: offer, answer, repair.
//
// Candidates are not sent: the server answers from where our packets come and never dials. It knows no WebSocket and no
// DOM: a peer connection factory and a way to send are handed in. Order of repair: an interruption, or another network,
// restarts ICE under a fresh grant, whose credentials for the relay are good again, or after 2 s under the grant at hand,
// which needs nobody but media; when that does not help within 10 s another grant is asked for and a new connection made;
// when that fails too the leg has failed.
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
  | { at: "up" }
  /** Packets stopped. */
  | { at: "interrupted"; step: "restarting" | "rebuilding" }
  | { at: "failed" }
  | { at: "closed" };

/** The part of `RTCPeerConnection` that is used. */
export interface Peer {
  readonly connectionState: RTCPeerConnectionState;
  addTransceiver(track: MediaStreamTrack | string, init?: RTCRtpTransceiverInit): { sender: RTCRtpSender };
  createOffer(options?: RTCOfferOptions): Promise<RTCSessionDescriptionInit>;
  setLocalDescription(description: RTCSessionDescriptionInit): Promise<void>;
  setRemoteDescription(description: RTCSessionDescriptionInit): Promise<void>;
  setConfiguration(config: RTCConfiguration): void;
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
  sound: {
    /** A track of the other side. */
    play(track: MediaStreamTrack): void;
    /** Those that were played so far are over. */
    silence(): void;
  };
}

/** A restart or a new connection that is not up by then did not help, milliseconds. */
export const REPAIR_TIMEOUT_MS = 10_000;
/** A restart waits this long for a fresh grant, milliseconds: a straight line needs none. */
export const FRESH_TIMEOUT_MS = 2000;
/** How many connections are made for one call before the leg has failed. */
export const REBUILDS_MAX = 3;
/** Extra audio sections, so that two more sources can be heard without another offer. */
const LISTEN_ONLY_SECTIONS = 2;

/** No candidate pool: what is gathered ahead would hold allocations at the relay that nobody uses. */
const configOf = ({ iceServers, iceTransportPolicy }: LegGrant) =>
  // The server leaves out what it does not set, as the browser wants it.
  ({ iceServers, iceTransportPolicy, bundlePolicy: "max-bundle" }) as RTCConfiguration;

export class Leg {
  state: State = { at: "idle" };
  readonly changed = new Emitter();

  #peer: Peer | undefined;
  #sender: RTCRtpSender | undefined;
  #grant: LegGrant | undefined;
  #track: MediaStreamTrack | undefined;
  #cancelTimer: () => void = () => {};
  /** Goes on with the restart that waits for a grant. */
  #restarts: (() => void) | undefined;
  #rebuilds = 0;
  #awaitingGrant = false;
  #flowed = false;
  /** Counts the offers of all connections. */
  #turn = 0;

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
    if (sameLeg && this.#restarts) return this.#restarts();
    // A grant for a connection that is well: nothing to do.
    if (!this.#track || (sameLeg && this.#peer && !asked)) return;
    void this.#build(grant);
  }

  /** The answer to this connection's offer; one to a former connection must not get here. */
  async #answered(peer: Peer, answer: LegAnswer): Promise<void> {
    this.#awaitingGrant = false;
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
    if (!this.#awaitingGrant) return;
    if (this.#repairable()) this.#restart();
    else this.#renew();
  }

  /** The network is another one: new addresses are made known before the old ones are missed. */
  networkChanged(): void {
    if (this.#repairable()) this.#restart();
  }

  /** Whether anything came in the last second. A line that falls silent may have another address further on: that costs a
   * restart, waiting for the browser to notice costs seconds. */
  flowing(flows: boolean): void {
    if (this.#flowed && !flows) this.networkChanged();
    this.#flowed = flows;
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

  /** Whether the connection is there and can be moved. */
  #repairable(): boolean {
    return this.state.at === "up" || (this.state.at === "interrupted" && this.state.step === "restarting");
  }

  async #build(grant: LegGrant): Promise<void> {
    this.#dropPeer();
    const peer = this.env.peer(configOf(grant));
    this.#peer = peer;
    peer.ontrack = (event) => this.env.sound.play(event.track);
    peer.onconnectionstatechange = () => this.#peer === peer && this.#connection(peer.connectionState);
    if (this.#track) this.#sender = peer.addTransceiver(this.#track, { direction: "sendrecv" }).sender;
    for (let n = 0; n < LISTEN_ONLY_SECTIONS; n++) peer.addTransceiver("audio", { direction: "recvonly" });
    if (this.state.at !== "interrupted") this.#set({ at: "offering" });
    this.#watch();
    await this.#offer(peer, grant, false);
  }

  async #offer(peer: Peer, grant: LegGrant, restart: boolean): Promise<void> {
    const turn = ++this.#turn;
    try {
      if (restart) peer.setConfiguration(configOf(grant));
      const offer = await peer.createOffer(restart ? { iceRestart: true } : undefined);
      await peer.setLocalDescription(offer);
      if (this.#peer !== peer) return;
      // No browser offers to send lost audio again, all that we know do it once the answer asks for it (docs/LOSS.md). Said
      // to the server alone: a local description that was written by hand may be refused one day.
      const sdp = offer.sdp?.replace(/a=rtpmap:(\d+) opus.*/g, "$&\r\na=rtcp-fb:$1 nack");
      const data = { legId: grant.legId, grant: grant.grant, sdp };
      const sent = await this.env.request(restart ? "leg.restart" : "leg.offer", data);
      // The answer to an offer that another one has overtaken would be to the wrong credentials.
      if (this.#peer !== peer || this.#turn !== turn) return;
      if (sent.ok) {
        if (sent.type === "leg.answer") await this.#answered(peer, sent.data as LegAnswer);
      } else if (sent.code !== "ws_unreachable" && sent.code !== "timeout") {
        // The server refused this offer: another grant may be what is missing, the same one never helps.
        this.#rebuild();
      } else {
        this.#awaitingGrant = true;
      }
    } catch {
      if (this.#peer === peer) this.#rebuild();
    }
  }

  #connection(connection: RTCPeerConnectionState): void {
    if (this.#dead() || connection === "connecting") return;
    if (connection === "connected") {
      this.#cancelTimer();
      this.#rebuilds = 0;
      this.#awaitingGrant = false;
      this.#set({ at: "up" });
    } else if (this.state.at === "up") {
      this.#set({ at: "interrupted", step: "restarting" });
      this.#restart();
      this.#watch();
    } else if (connection === "failed") this.#rebuild();
  }

  #restart(): void {
    const peer = this.#peer;
    if (!peer || this.#restarts) return;
    const cancel = this.env.clock.after(FRESH_TIMEOUT_MS, () => this.#restarts?.());
    this.#restarts = () => {
      cancel();
      this.#restarts = undefined;
      if (this.#peer === peer && this.#grant) void this.#offer(peer, this.#grant, true);
    };
    if (!this.#ask()) this.#restarts();
  }

  #rebuild(): void {
    if (this.#dead()) return;
    if (++this.#rebuilds > REBUILDS_MAX) {
      this.#dropPeer();
      this.#cancelTimer();
      this.#set({ at: "failed" });
      return;
    }
    this.#set({ at: "interrupted", step: "rebuilding" });
    this.#dropPeer();
    this.#renew();
    this.#watch();
  }

  #renew(): void {
    this.#awaitingGrant = true;
    this.#ask();
  }

  /** Whether another grant could be asked for. */
  #ask(): boolean {
    return !!this.#grant && this.env.send("leg.renew", { callId: this.#grant.callId });
  }

  #watch(): void {
    this.#cancelTimer();
    this.#cancelTimer = this.env.clock.after(REPAIR_TIMEOUT_MS, () => this.#rebuild());
  }

  #dropPeer(): void {
    const peer = this.#peer;
    this.#peer = undefined;
    this.#restarts?.();
    this.#sender = undefined;
    if (!peer) return;
    peer.onconnectionstatechange = peer.ontrack = null;
    peer.close();
    // Before another connection brings as many, or a call of many repairs would be measured by dozens of dead meters.
    this.env.sound.silence();
  }

  #set(state: State): void {
    this.state = state;
    this.changed.emit();
  }
}
