// The agent's desk: presence, offers, the one call, wrap-up. The machine behind the view, without DOM.
//
// The server decides everything about a call; the desk asks, shows what it is told, and keeps the sound.
// Invariants: the microphone is open only while it is checked and from accepting to the end of a call; a ring stops with
// its offer.

import type { Failure } from "../../../shared/api.ts";
import { stop } from "../../../shared/devices.ts";
import { Emitter } from "../../../shared/emitter.ts";
import type { CallChanged } from "../../../shared/gen/CallChanged.ts";
import type { CallQuality } from "../../../shared/gen/CallQuality.ts";
import type { CallView } from "../../../shared/gen/CallView.ts";
import type { LegGranted } from "../../../shared/gen/LegGranted.ts";
import type { Offer } from "../../../shared/gen/Offer.ts";
import type { OfferAccepted } from "../../../shared/gen/OfferAccepted.ts";
import type { OfferEnded } from "../../../shared/gen/OfferEnded.ts";
import type { PresenceChanged } from "../../../shared/gen/PresenceChanged.ts";
import type { PresenceSet } from "../../../shared/gen/PresenceSet.ts";
import type { PresenceStatus } from "../../../shared/gen/PresenceStatus.ts";
import type { QueueSnapshot } from "../../../shared/gen/QueueSnapshot.ts";
import type { Snapshot } from "../../../shared/gen/Snapshot.ts";
import type { WrapUp } from "../../../shared/gen/WrapUp.ts";
import type { Leg } from "../../../shared/leg.ts";
import { Signal } from "../../../shared/signal.ts";
import { wholeCall } from "../../whole.ts";
import { Control } from "./control.ts";
import { Day } from "./day.ts";
import type { DeskEnv } from "./env.ts";
import { Voice } from "./voice.ts";

export type Stage =
  | { at: "idle" }
  | { at: "offered"; offer: Offer }
  | { at: "accepting"; offer: Offer }
  | { at: "connecting"; call: CallView }
  | { at: "talking"; call: CallView }
  | { at: "wrapping"; wrapUp: WrapUp; call: CallView | undefined };

/** A short message for the person, by its key in the words. */
export interface Notice {
  key:
    | "offer_lost"
    | "offer_missed"
    | "consult_missed"
    | "consult_off"
    | "consult_failed"
    | "consult_over"
    | "consult_unanswered"
    | "partner_left"
    | "transferred"
    | "transferred_to_you"
    | "taken_over"
    | "customer_left"
    | "call_failed"
    | "presence_server"
    | "command_failed"
    | "mute_kept"
    | "mic";
  code: string;
  /** Whom it is about. */
  name?: string;
}

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
  notice: Notice | undefined;
  clockOffset = 0;
  readonly signal: Signal;
  readonly voice: Voice;
  readonly day: Day;
  readonly control: Control;
  readonly changed = new Emitter();
  /** The call that ended last, for the wrap-up that follows it. */
  #last: CallView | undefined;
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
    this.voice = new Voice(env, this.signal, this.changed, (seconds) => {
      if (this.call) void env.api.post(`/api/support/call/${this.call.callId}/quality`, { seconds });
    });
    this.day = new Day(env, this.changed);
    this.control = new Control({
      api: env.api,
      voice: this.voice,
      talking: () => (this.stage.at === "talking" ? this.stage.call : undefined),
      part: () => this.part,
      show: (call) => this.#callChanged("reply", call),
      tell: (key, code) => this.#tell(key, code),
      changed: () => this.changed.emit(),
    });
    this.signal.onwelcome = (welcome) => {
      this.clockOffset = this.signal.clockOffset;
      if (welcome.snapshot) this.#snapshot(welcome.snapshot);
      this.leg.signalling();
      this.day.refresh();
    };
    this.signal.onmessage = (type, data) => this.#message(type, data);
    this.signal.changed.subscribe(() => this.#signalChanged());
  }

  open(): void {
    this.signal.open();
    this.day.refresh();
    void this.day.readToday(this.now);
  }

  close(): void {
    this.#closed = true;
    this.day.close();
    this.voice.release();
    this.#to({ at: "idle" });
    this.signal.close();
  }

  get now(): number {
    return this.env.clock.now() + this.clockOffset;
  }

  get leg(): Leg {
    return this.voice.leg;
  }

  get call(): CallView | undefined {
    return "call" in this.stage ? this.stage.call : undefined;
  }

  /** What this desk is to its call: the agent, or the colleague whom the agent asks. */
  get part(): "agent" | "partner" {
    return this.call?.consult?.staffId === this.env.me.staffId ? "partner" : "agent";
  }

  /** Opens the microphone for a moment, then takes calls. */
  async goOnline(): Promise<void> {
    if (this.changing) return;
    this.env.sound.unlock();
    this.changing = true;
    this.notice = undefined;
    this.changed.emit();
    const opened = await this.env.openMicrophone(this.voice.microphoneId || undefined);
    if (!opened.ok) {
      this.changing = false;
      this.#tell("mic", opened.code);
      return;
    }
    this.voice.devices = await this.env.listDevices();
    await new Promise<void>((resolve) => this.env.clock.after(CHECK_MS, resolve));
    const track = opened.stream.getAudioTracks()[0];
    const works = track?.readyState === "live";
    this.voice.microphoneId = track?.getSettings?.().deviceId ?? this.voice.microphoneId;
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
    const reply = await this.env.api.request<unknown>("PUT", "/api/support/staff/me/status", body);
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
    const opened = await this.env.openMicrophone(this.voice.microphoneId || undefined);
    if (!opened.ok) {
      this.#tell("mic", opened.code);
      await this.env.api.post(`/api/support/offers/${offer.offerId}/reject`, { reason: opened.code });
      this.#offerGone(offer.offerId);
      return;
    }
    if (!this.#accepting(offer)) return stop(opened.stream);
    await this.voice.use(opened.stream);
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
      this.voice.release();
      this.#to({ at: "idle" });
      this.#offerTold(offer, reply.code === "offer_expired");
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
    this.day.refresh();
  }

  hangUp(): void {
    const call = this.call;
    if (!call || this.stage.at === "wrapping") return;
    if (!this.signal.send("call.hangup", { callId: call.callId })) {
      void this.env.api.post(`/api/support/call/${call.callId}/hangup`, {});
    }
    // The sound ends at once; what the call becomes is the server's word.
    this.leg.close();
    this.changed.emit();
  }

  finishWrapUp(): void {
    if (this.stage.at !== "wrapping") return;
    const { callId } = this.stage.wrapUp;
    if (!this.signal.send("wrapup.end", { callId })) void this.env.api.post(`/api/support/call/${callId}/wrapup/end`);
    this.#to({ at: "idle" });
    void this.day.readToday(this.now);
  }

  async extendWrapUp(): Promise<void> {
    if (this.stage.at !== "wrapping") return;
    const reply = await this.env.api.post<WrapUp>(`/api/support/call/${this.stage.wrapUp.callId}/wrapup/extend`);
    if (!reply.ok) this.#tell("command_failed", reply.code);
    else if (this.stage.at === "wrapping") this.#to({ ...this.stage, wrapUp: reply.value });
  }

  dismiss(): void {
    this.notice = undefined;
    this.changed.emit();
  }

  online(): void {
    this.signal.retryNow();
    this.day.refresh();
  }

  offline(): void {
    this.signal.drop();
  }

  networkChanged(): void {
    this.online();
    this.leg.networkChanged();
  }

  #signalChanged(): void {
    const line = this.signal.state;
    if (line.at === "closed" && REFUSED.has(line.code)) {
      // This desk is nobody's, or another page's: what runs is shown and heard there.
      this.voice.release();
      this.#to({ at: "idle" });
    }
    this.changed.emit();
  }

  #snapshot(snapshot: Snapshot): void {
    if (snapshot.me) this.presence = snapshot.me.presence;
    if (snapshot.queue) this.day.queue = snapshot.queue;
    const { call, offer, wrapUp } = snapshot;
    if (call && !TERMINAL.has(call.status)) {
      this.#show(call);
      if (this.leg.state.at === "idle" && !this.voice.open) void this.#rejoin(call);
    } else if (offer) this.#offered(offer);
    else if (wrapUp) this.#wrapUp(wrapUp);
    else if (this.stage.at !== "accepting") {
      this.voice.release();
      this.#to({ at: "idle" });
    }
  }

  /** After a reload: the call is still ours, the sound has to be made again. */
  async #rejoin(call: CallView): Promise<void> {
    const opened = await this.env.openMicrophone(this.voice.microphoneId || undefined);
    if (!opened.ok) return this.#tell("mic", opened.code);
    if (this.voice.open || this.call?.callId !== call.callId) return stop(opened.stream);
    await this.voice.use(opened.stream);
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
          void this.day.readToday(this.now);
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
        this.day.queue = data as QueueSnapshot;
        return this.changed.emit();
    }
    if (type.startsWith("call.")) {
      const call = (data as Partial<CallChanged>).call;
      if (call) this.#callChanged(type, call);
      this.day.refresh();
    }
  }

  #callChanged(type: string, call: CallView): void {
    const own = call.agentId === this.env.me.staffId;
    // A call that a desk without one hears to be taken over may be its own now.
    if (type === "call.taken_over" && own && call.callId !== this.call?.callId) return this.adopt(call);
    const before = this.call;
    if (before?.callId !== call.callId) return;
    // A call in wrap-up goes on with somebody else: only its end is of interest.
    if (this.stage.at === "wrapping" && !TERMINAL.has(call.status)) return;
    const { part } = this;
    const takesPart = own || call.consult?.staffId === this.env.me.staffId;
    if (call.status === "answered" && call.agentId && !takesPart) {
      const taken = type === "call.taken_over" ? "taken_over" : "transferred";
      return this.#away(call, part === "partner" ? "consult_over" : taken);
    }
    this.#show(call);
    if (part === "partner" && own) this.#tell("transferred_to_you", "", call.customerName);
    else if (before.consult && !call.consult && type === "call.consult_ended" && !this.control.pending)
      this.#consultEnded(before.consult);
  }

  /** The colleague is gone without this agent's doing. */
  #consultEnded({ state, staffName }: NonNullable<CallView["consult"]>): void {
    this.#tell(state === "ringing" ? "consult_unanswered" : "partner_left", "", staffName);
  }

  /** The call goes on without this desk. */
  #away(call: CallView, key: "transferred" | "taken_over" | "consult_over"): void {
    if (key !== "consult_over") this.#last = call;
    this.voice.release();
    this.#to({ at: "idle" });
    this.#tell(key, "", call.agentName ?? "");
  }

  /** A call that became this agent's without an offer: shown, and its sound asked for. */
  adopt(call: CallView): void {
    if (!FREE.has(this.stage.at) || TERMINAL.has(call.status)) return;
    this.#show(call);
    if (this.leg.state.at === "idle" && !this.voice.open) void this.#rejoin(call);
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
      this.#offerTold(offer, true);
    });
  }

  #offerGone(offerId: string): void {
    if ((this.stage.at !== "offered" && this.stage.at !== "accepting") || this.stage.offer.offerId !== offerId) return;
    this.voice.release();
    this.#to({ at: "idle" });
  }

  #offerEnded(ended: OfferEnded): void {
    if (ended.reason === "accepted") {
      // Taken at another desk of this agent; at the one that took it nothing rings any more.
      if (this.stage.at === "offered") this.#offerGone(ended.offerId);
      return;
    }
    const asked = "offer" in this.stage ? this.stage.offer : undefined;
    if (asked?.offerId === ended.offerId) {
      this.#offerGone(ended.offerId);
      if (ended.reason === "customer_left") this.#tell("customer_left", "");
      else if (ended.reason !== "rejected") this.#offerTold(asked, ended.reason === "timeout", ended.reason);
    } else if (this.stage.at === "connecting" && this.stage.call.callId === ended.callId) {
      this.voice.release();
      this.#to({ at: "idle" });
      this.#tell(ended.reason === "customer_left" ? "customer_left" : "call_failed", ended.reason);
    }
    this.day.refresh();
  }

  /** Says what became of an offer that is gone: unanswered in time, or no longer open. */
  #offerTold(offer: Offer, missed: boolean, code = ""): void {
    if (offer.kind === "consult") this.#tell(missed ? "consult_missed" : "consult_off", code, offer.fromName ?? "");
    else this.#tell(missed ? "offer_missed" : "offer_lost", code);
  }

  #presenceChanged(change: PresenceChanged): void {
    this.presence = change.status;
    if (change.reason) this.#tell("presence_server", change.reason);
    this.changed.emit();
  }

  #wrapUp(wrapUp: WrapUp): void {
    const call = this.call ?? this.#last;
    // The wrap-up's own title says that the call went on.
    if (this.notice?.key === "transferred" || this.notice?.key === "taken_over") this.notice = undefined;
    this.voice.release();
    this.#to({ at: "wrapping", wrapUp, call: call?.callId === wrapUp.callId ? call : undefined });
    void this.day.readToday(this.now);
  }

  #heard(quality: CallQuality): void {
    if (quality.callId === this.call?.callId) this.voice.heard(quality.legs);
  }

  #show(view: CallView): void {
    const call = wholeCall(view);
    switch (call.status) {
      case "connecting":
        this.voice.tick();
        return this.#to({ at: "connecting", call });
      case "answered":
        this.voice.tick();
        return this.#to({ at: "talking", call });
      case "completed":
        this.env.sound.end();
        this.#last = call;
        this.voice.release();
        // A wrap-up follows by its own message; until then the desk is simply free of sound.
        return this.stage.at === "wrapping" ? this.#to({ ...this.stage, call }) : this.#to({ at: "idle" });
      case "initiated":
      case "queued":
      case "ringing":
      case "abandoned":
      case "failed":
        if (this.stage.at === "wrapping") return;
        this.voice.release();
        this.#to({ at: "idle" });
        if (call.status === "failed") this.#tell("call_failed", call.endReason ?? "");
        if (call.status === "abandoned") this.#tell("customer_left", "");
    }
  }

  #tell(key: Notice["key"], code: string, name = ""): void {
    this.notice = { key, code, ...(name ? { name } : {}) };
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

/** Stages in which a desk has no call yet. */
const FREE: ReadonlySet<Stage["at"]> = new Set(["idle", "offered", "wrapping"]);

const TERMINAL: ReadonlySet<string> = new Set(["completed", "abandoned", "failed"]);
