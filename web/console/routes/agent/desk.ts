// The agent's desk: presence, offers, the one call, wrap-up. The machine behind the view, without DOM.
//
// The server decides everything about a call; the desk asks, shows what it is told, and keeps the sound.
// Invariants: the microphone is open only while it is checked and from accepting to the end of a call; a ring stops with
// its offer.

import type { Failure } from "../../../shared/api.ts";
import { stop, type DeviceList } from "../../../shared/devices.ts";
import { Emitter } from "../../../shared/emitter.ts";
import type { CallChanged } from "../../../shared/gen/CallChanged.ts";
import type { CallPage } from "../../../shared/gen/CallPage.ts";
import type { CallQuality } from "../../../shared/gen/CallQuality.ts";
import type { CallRow } from "../../../shared/gen/CallRow.ts";
import type { CallView } from "../../../shared/gen/CallView.ts";
import type { LegGranted } from "../../../shared/gen/LegGranted.ts";
import type { LegQuality } from "../../../shared/gen/LegQuality.ts";
import type { Offer } from "../../../shared/gen/Offer.ts";
import type { OfferAccepted } from "../../../shared/gen/OfferAccepted.ts";
import type { OfferEnded } from "../../../shared/gen/OfferEnded.ts";
import type { PresenceChanged } from "../../../shared/gen/PresenceChanged.ts";
import type { PresenceSet } from "../../../shared/gen/PresenceSet.ts";
import type { PresenceStatus } from "../../../shared/gen/PresenceStatus.ts";
import type { QueueSnapshot } from "../../../shared/gen/QueueSnapshot.ts";
import type { Snapshot } from "../../../shared/gen/Snapshot.ts";
import type { WrapUp } from "../../../shared/gen/WrapUp.ts";
import { Leg } from "../../../shared/leg.ts";
import { between, isDeadMicrophone, Monitor, read, type Reading, type Warning } from "../../../shared/quality.ts";
import { Signal } from "../../../shared/signal.ts";
import type { DeskEnv } from "./env.ts";
import { meanOf } from "./mean.ts";

export type Stage =
  | { at: "idle" }
  | { at: "offered"; offer: Offer }
  | { at: "accepting"; offer: Offer }
  | { at: "connecting"; call: CallView }
  | { at: "talking"; call: CallView }
  | { at: "wrapping"; wrapUp: WrapUp; call: CallView | undefined };

/** A short message for the person, by its key in the words. */
export interface Notice {
  key: "offer_lost" | "offer_missed" | "customer_left" | "call_failed" | "presence_server" | "command_failed" | "mic";
  code: string;
}

/** How often the waiting calls are read again while the page is seen, milliseconds. */
const QUEUE_EVERY_MS = 3000;
/** Seconds of quality that the row under the lines speaks of. */
export const QUALITY_SECONDS = 60;
/** How long the microphone is listened to when an agent goes online, milliseconds. */
export const CHECK_MS = 600;
/** How long after an offer's end the server's word is waited for before the ring stops by itself, milliseconds. */
export const OFFER_GRACE_MS = 1000;

export class Desk {
  stage: Stage = { at: "idle" };
  presence: PresenceStatus;
  /** Presence wish under way, so that the button can say so. */
  changing = false;
  checkedAt: number | undefined;
  queue: QueueSnapshot | undefined;
  today: CallRow[] = [];
  notice: Notice | undefined;
  muted = false;
  /** Hold or resume has been asked for and is not yet answered. */
  holding = false;
  devices: DeviceList = { microphones: [], speakers: [] };
  microphoneId = "";
  speakerId = "";
  warnings: ReadonlySet<Warning> = new Set();
  deadMicrophone = false;
  clockOffset = 0;
  readonly signal: Signal;
  readonly changed = new Emitter();
  leg: Leg;

  #stream: MediaStream | undefined;
  /** The call that ended last, for the wrap-up that follows it. */
  #last: CallView | undefined;
  #quality: LegQuality[][] = [];
  #reading: Reading | undefined;
  #monitor = new Monitor();
  #levels: number[] = [];
  #cancelTick: () => void = () => {};
  #cancelQueue: () => void = () => {};
  #cancelOffer: () => void = () => {};
  #closed = false;

  constructor(private readonly env: DeskEnv) {
    this.presence = env.me.presence;
    this.signal = new Signal({
      url: () => env.signalUrl,
      connect: (url) => env.connect(url),
      clock: env.clock,
      random: () => env.random(),
      token: () => Promise.resolve(undefined),
    });
    this.signal.onwelcome = (welcome) => {
      this.clockOffset = this.signal.clockOffset;
      if (welcome.snapshot) this.#snapshot(welcome.snapshot);
      this.leg.signalling();
      this.#refresh();
    };
    this.signal.onmessage = (type, data) => this.#message(type, data);
    this.signal.changed.subscribe(() => this.#signalChanged());
    this.leg = this.#newLeg();
  }

  open(): void {
    this.signal.open();
    this.#refresh();
    void this.#readToday();
  }

  close(): void {
    this.#closed = true;
    this.#cancelQueue();
    this.#release();
    this.#to({ at: "idle" });
    this.signal.close();
  }

  get now(): number {
    return this.env.clock.now() + this.clockOffset;
  }

  get call(): CallView | undefined {
    return "call" in this.stage ? this.stage.call : undefined;
  }

  level = (): number => (this.#stream ? this.env.sound.mine() : 0);

  /** The mean of a leg's last minute, undefined before the first second. */
  lastMinute(part: "customer" | "agent"): LegQuality | undefined {
    return meanOf(this.#quality.map((legs) => legs.find((leg) => leg.part === part)).filter((leg) => leg?.up));
  }

  /** Loudness of a leg as the server heard it in its last second, 0 to 1. */
  serverLevel = (part: "customer" | "agent"): number => {
    const leg = this.#quality.at(-1)?.find((one) => one.part === part);
    return leg?.up ? leg.level / 127 : 0;
  };

  /** Opens the microphone for a moment, then takes calls. */
  async goOnline(): Promise<void> {
    if (this.changing) return;
    this.env.sound.unlock();
    this.changing = true;
    this.notice = undefined;
    this.changed.emit();
    const opened = await this.env.openMicrophone(this.microphoneId || undefined);
    if (!opened.ok) {
      this.changing = false;
      this.#tell("mic", opened.code);
      return;
    }
    this.devices = await this.env.listDevices();
    await new Promise<void>((resolve) => this.env.clock.after(CHECK_MS, resolve));
    const track = opened.stream.getAudioTracks()[0];
    const works = track?.readyState === "live";
    this.microphoneId = track?.getSettings?.().deviceId ?? this.microphoneId;
    stop(opened.stream);
    if (this.#closed) return;
    if (!works) {
      this.changing = false;
      this.#tell("mic", "mic_busy");
      return;
    }
    this.checkedAt = this.env.clock.now();
    await this.#setPresence({ status: "online", mediaChecked: true });
  }

  async setPresence(status: "away" | "offline", reason?: string): Promise<void> {
    if (this.changing) return;
    this.changing = true;
    this.changed.emit();
    await this.#setPresence({ status, mediaChecked: false, ...(reason ? { reason } : {}) });
  }

  async #setPresence(body: PresenceSet): Promise<void> {
    const reply = await this.env.api.put<unknown>("/api/support/staff/me/status", body);
    this.changing = false;
    if (reply.ok) this.presence = body.status;
    else this.#tell("command_failed", reply.code);
    this.changed.emit();
  }

  async accept(): Promise<void> {
    if (this.stage.at !== "offered") return;
    const { offer } = this.stage;
    this.#to({ at: "accepting", offer });
    this.env.sound.unlock();
    const opened = await this.env.openMicrophone(this.microphoneId || undefined);
    if (!opened.ok) {
      this.#tell("mic", opened.code);
      await this.env.api.post(`/api/support/offers/${offer.offerId}/reject`, { reason: opened.code });
      this.#offerGone(offer.offerId);
      return;
    }
    if (!this.#accepting(offer)) return stop(opened.stream);
    await this.#useStream(opened.stream);
    const reply = await this.env.api.post<OfferAccepted>(`/api/support/offers/${offer.offerId}/accept`);
    if (!reply.ok) return this.#offerLost(offer, reply);
    // Meanwhile the offer may have ended, or a snapshot may have shown its call.
    const accepting = this.#accepting(offer);
    if (!accepting && this.call?.callId !== offer.callId) return;
    this.leg.granted(reply.value.leg);
    if (accepting) this.#show(reply.value.call);
  }

  #accepting(offer: Offer): boolean {
    return this.stage.at === "accepting" && this.stage.offer.offerId === offer.offerId;
  }

  #offerLost(offer: Offer, reply: Failure): void {
    if (this.#accepting(offer)) {
      this.#release();
      this.#to({ at: "idle" });
      this.#tell(reply.code === "offer_expired" ? "offer_missed" : "offer_lost", "");
    } else if (this.call?.callId === offer.callId) {
      // Only the reply was lost: the call is ours.
      this.signal.send("leg.renew", { callId: offer.callId });
    }
  }

  async reject(): Promise<void> {
    if (this.stage.at !== "offered") return;
    const { offer } = this.stage;
    this.#offerGone(offer.offerId);
    await this.env.api.post(`/api/support/offers/${offer.offerId}/reject`, {});
    this.#refresh();
  }

  hangUp(): void {
    const call = this.call;
    if (!call || this.stage.at === "wrapping") return;
    if (!this.signal.send("call.hangup", { callId: call.callId })) {
      void this.env.api.post(`/api/support/call/${call.callId}/hangup`, {});
    }
    // The sound ends at once; what the call becomes is the server's word.
    this.leg.close();
    this.env.sound.silence();
    this.changed.emit();
  }

  finishWrapUp(): void {
    if (this.stage.at !== "wrapping") return;
    const { callId } = this.stage.wrapUp;
    if (!this.signal.send("wrapup.end", { callId })) void this.env.api.post(`/api/support/call/${callId}/wrapup/end`);
    this.#to({ at: "idle" });
    void this.#readToday();
  }

  async extendWrapUp(): Promise<void> {
    if (this.stage.at !== "wrapping") return;
    const reply = await this.env.api.post<WrapUp>(`/api/support/call/${this.stage.wrapUp.callId}/wrapup/extend`);
    if (!reply.ok) this.#tell("command_failed", reply.code);
    else if (this.stage.at === "wrapping") this.#to({ ...this.stage, wrapUp: reply.value });
  }

  mute(muted: boolean): void {
    this.muted = muted;
    for (const track of this.#stream?.getAudioTracks() ?? []) track.enabled = !muted;
    this.changed.emit();
  }

  /** Puts the customer on hold, or takes him back. What the call becomes is the server's word. */
  async hold(on: boolean): Promise<void> {
    if (this.stage.at !== "talking" || this.holding) return;
    const { callId } = this.stage.call;
    this.holding = true;
    this.changed.emit();
    const reply = await this.env.api.post<CallView>(`/api/support/call/${callId}/${on ? "hold" : "resume"}`, {});
    this.holding = false;
    if (!reply.ok) this.#tell("command_failed", reply.code);
    else if (this.stage.at === "talking" && this.stage.call.callId === callId) this.#show(reply.value);
    this.changed.emit();
  }

  async chooseMicrophone(id: string): Promise<void> {
    this.microphoneId = id;
    if (this.#stream) await this.#reopen(id);
    this.changed.emit();
  }

  /** Another microphone for a call that goes on. */
  async #reopen(id?: string): Promise<void> {
    const opened = await this.env.openMicrophone(id);
    if (!opened.ok) return;
    if (this.#stream) await this.#useStream(opened.stream);
    else stop(opened.stream);
  }

  chooseSpeaker(id: string): void {
    this.speakerId = id;
    this.env.sound.speaker(id);
    this.changed.emit();
  }

  async devicesChanged(): Promise<void> {
    this.devices = await this.env.listDevices();
    const track = this.#stream?.getAudioTracks()[0];
    if (track?.readyState === "ended") {
      this.microphoneId = "";
      await this.#reopen();
    }
    this.changed.emit();
  }

  dismiss(): void {
    this.notice = undefined;
    this.changed.emit();
  }

  online(): void {
    this.signal.retryNow();
    this.#refresh();
  }

  offline(): void {
    this.signal.drop();
  }

  #signalChanged(): void {
    const line = this.signal.state;
    if (line.at === "closed" && REFUSED.has(line.code)) {
      // This desk is nobody's, or another page's: what runs is shown and heard there.
      this.#release();
      this.#to({ at: "idle" });
    }
    this.changed.emit();
  }

  #snapshot(snapshot: Snapshot): void {
    if (snapshot.me) this.presence = snapshot.me.presence;
    if (snapshot.queue) this.queue = snapshot.queue;
    const { call, offer, wrapUp } = snapshot;
    if (call && !TERMINAL.has(call.status)) {
      this.#show(call);
      if (this.leg.state.at === "idle" && !this.#stream) void this.#rejoin(call);
    } else if (offer) this.#offered(offer);
    else if (wrapUp) this.#wrapUp(wrapUp);
    else if (this.stage.at !== "accepting") {
      this.#release();
      this.#to({ at: "idle" });
    }
  }

  /** After a reload: the call is still ours, the sound has to be made again. */
  async #rejoin(call: CallView): Promise<void> {
    const opened = await this.env.openMicrophone(this.microphoneId || undefined);
    if (!opened.ok) return this.#tell("mic", opened.code);
    if (this.#stream || this.call?.callId !== call.callId) return stop(opened.stream);
    await this.#useStream(opened.stream);
    this.signal.send("leg.renew", { callId: call.callId });
  }

  #message(type: string, data: unknown): void {
    switch (type) {
      case "call.offered":
        return this.#offered(data as Offer);
      case "offer.ended":
        return this.#offerEnded(data as OfferEnded);
      case "call.wrap_up":
        return this.#wrapUp(data as WrapUp);
      case "wrapup.ended":
        if (this.stage.at === "wrapping" && this.stage.wrapUp.offerId === (data as OfferEnded).offerId) {
          this.#to({ at: "idle" });
          void this.#readToday();
        }
        return;
      case "leg.grant":
        return this.leg.granted((data as LegGranted).grant);
      case "call.rejoin":
        return void (this.call && this.signal.send("leg.renew", { callId: this.call.callId }));
      case "call.quality":
        return this.#heard(data as CallQuality);
      case "presence.changed":
        return this.#presenceChanged(data as PresenceChanged);
      case "snapshot":
        return this.#snapshot((data as { snapshot?: Snapshot }).snapshot ?? (data as Snapshot));
      case "queue.changed":
        this.queue = data as QueueSnapshot;
        return this.changed.emit();
    }
    if (type.startsWith("call.")) {
      const call = (data as Partial<CallChanged>).call;
      if (call && call.callId === this.call?.callId) this.#show(call);
      this.#refresh();
    }
  }

  #offered(offer: Offer): void {
    if (this.stage.at === "connecting" || this.stage.at === "talking" || this.stage.at === "accepting") return;
    this.notice = undefined;
    this.env.sound.ring(true);
    this.env.announce(offer);
    this.#to({ at: "offered", offer });
    this.#cancelOffer();
    this.#cancelOffer = this.env.clock.after(Date.parse(offer.expiresAt) - this.now + OFFER_GRACE_MS, () => {
      this.#offerGone(offer.offerId);
      this.#tell("offer_missed", "");
    });
  }

  #offerGone(offerId: string): void {
    if ((this.stage.at !== "offered" && this.stage.at !== "accepting") || this.stage.offer.offerId !== offerId) return;
    this.#release();
    this.#to({ at: "idle" });
  }

  #offerEnded(ended: OfferEnded): void {
    if (ended.reason === "accepted") {
      // Taken at another desk of this agent; at the one that took it nothing rings any more.
      if (this.stage.at === "offered") this.#offerGone(ended.offerId);
      return;
    }
    const asked = "offer" in this.stage ? this.stage.offer.offerId : undefined;
    if (asked === ended.offerId) {
      this.#offerGone(ended.offerId);
      if (ended.reason === "timeout") this.#tell("offer_missed", "");
      else if (ended.reason === "customer_left") this.#tell("customer_left", "");
      else if (ended.reason !== "rejected") this.#tell("offer_lost", ended.reason);
    } else if (this.stage.at === "connecting" && this.stage.call.callId === ended.callId) {
      this.#release();
      this.#to({ at: "idle" });
      this.#tell(ended.reason === "customer_left" ? "customer_left" : "call_failed", ended.reason);
    }
    this.#refresh();
  }

  #presenceChanged(change: PresenceChanged): void {
    this.presence = change.status;
    if (change.reason) this.#tell("presence_server", change.reason);
    this.changed.emit();
  }

  #wrapUp(wrapUp: WrapUp): void {
    const call = this.call ?? this.#last;
    this.#release();
    this.#to({ at: "wrapping", wrapUp, call: call?.callId === wrapUp.callId ? call : undefined });
    void this.#readToday();
  }

  #heard(quality: CallQuality): void {
    if (quality.callId !== this.call?.callId) return;
    this.#quality.push(quality.legs);
    if (this.#quality.length > QUALITY_SECONDS) this.#quality.shift();
    this.changed.emit();
  }

  #show(call: CallView): void {
    switch (call.status) {
      case "connecting":
        this.#tick();
        return this.#to({ at: "connecting", call });
      case "answered":
        this.#tick();
        return this.#to({ at: "talking", call });
      case "completed":
        this.env.sound.end();
        this.#last = call;
        this.#release();
        // A wrap-up follows by its own message; until then the desk is simply free of sound.
        return this.stage.at === "wrapping" ? this.#to({ ...this.stage, call }) : this.#to({ at: "idle" });
      case "initiated":
      case "queued":
      case "ringing":
      case "abandoned":
      case "failed":
        if (this.stage.at === "wrapping") return;
        this.#release();
        this.#to({ at: "idle" });
        if (call.status === "failed") this.#tell("call_failed", call.endReason ?? "");
        if (call.status === "abandoned") this.#tell("customer_left", "");
    }
  }

  async #useStream(stream: MediaStream): Promise<void> {
    const old = this.#stream;
    this.#stream = stream;
    if (old && old !== stream) stop(old);
    const track = stream.getAudioTracks()[0];
    if (track) {
      track.enabled = !this.muted;
      this.microphoneId = track.getSettings?.().deviceId ?? this.microphoneId;
      track.onended = () => void this.devicesChanged();
      this.leg.setTrack(track);
    }
    this.env.sound.listen(stream);
    this.devices = await this.env.listDevices();
  }

  #newLeg(): Leg {
    const leg = new Leg({
      peer: (config) => this.env.peer(config),
      clock: this.env.clock,
      request: (type, data) => this.signal.request(type, data),
      send: (type, data) => this.signal.send(type, data),
      ontrack: (track) => this.env.sound.play(track),
    });
    leg.changed.subscribe(() => leg === this.leg && this.changed.emit());
    return leg;
  }

  /** Frees microphone and sound. */
  #release(): void {
    this.#cancelTick();
    this.leg.close();
    this.leg = this.#newLeg();
    this.env.sound.silence();
    this.env.sound.listen(undefined);
    if (this.#stream) stop(this.#stream);
    this.#stream = undefined;
    this.muted = this.deadMicrophone = false;
    this.#quality = [];
    this.#levels = [];
    this.#reading = undefined;
    this.#monitor = new Monitor();
    this.warnings = new Set();
  }

  #tick(): void {
    this.#cancelTick();
    this.#cancelTick = this.env.clock.after(1000, () => {
      this.#tick();
      void this.#measure();
    });
  }

  async #measure(): Promise<void> {
    if (!this.muted) {
      this.#levels.push(this.level());
      if (this.#levels.length > 10) this.#levels.shift();
      this.deadMicrophone = isDeadMicrophone(this.#levels);
    }
    const report = this.leg.state.at === "up" ? await this.leg.stats() : undefined;
    if (!report) return this.changed.emit();
    const now = this.env.clock.now();
    const reading = read(report.values() as Iterable<Record<string, unknown>>, now);
    if (this.#reading) this.warnings = this.#monitor.push(between(this.#reading, reading), now);
    this.#reading = reading;
    this.changed.emit();
  }

  /** Reads the waiting calls now, and from then on every few seconds. */
  #refresh(): void {
    this.#cancelQueue();
    if (this.#closed) return;
    this.#cancelQueue = this.env.clock.after(QUEUE_EVERY_MS, () => this.#refresh());
    if (this.env.visible()) void this.#readQueue();
  }

  async #readQueue(): Promise<void> {
    const reply = await this.env.api.get<QueueSnapshot>("/api/support/queue/calls");
    if (!reply.ok) return;
    this.queue = reply.value;
    this.changed.emit();
  }

  async #readToday(): Promise<void> {
    const midnight = new Date(this.now);
    midnight.setHours(0, 0, 0, 0);
    const query = new URLSearchParams({ agent: this.env.me.staffId, from: midnight.toISOString(), limit: "100" });
    const reply = await this.env.api.get<CallPage>(`/api/support/calls?${query.toString()}`);
    if (!reply.ok) return;
    this.today = reply.value.calls;
    this.changed.emit();
  }

  #tell(key: Notice["key"], code: string): void {
    this.notice = { key, code };
    this.changed.emit();
  }

  #to(stage: Stage): void {
    if (this.stage.at === "offered" && stage.at !== "offered") {
      this.#cancelOffer();
      this.env.sound.ring(false);
      this.env.announce(undefined);
    }
    this.stage = stage;
    this.changed.emit();
  }
}

/** Ends of the line after which this page has no desk. */
const REFUSED: ReadonlySet<string> = new Set(["replaced", "unauthenticated", "forbidden"]);

const TERMINAL: ReadonlySet<string> = new Set(["completed", "abandoned", "failed"]);
