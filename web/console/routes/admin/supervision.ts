// One supervisor's part in one call: listening, speaking to the agent, joining, taking over. Without DOM.
//
// Who listens has no uplink and no microphone: a silent track stands for it. From listening to speaking and back the
// server gives another leg, so each change of mode is a new connection; the old one sounds until the new right is there.
//
// Invariants: the microphone is open only in a mode that speaks; in `idle` nothing sounds and no line is open; a call
// that was left or replaced is told to the server.

import type { Api, Reply } from "../../../shared/api.ts";
import type { Clock } from "../../../shared/clock.ts";
import { stop, type Opened } from "../../../shared/devices.ts";
import { Emitter } from "../../../shared/emitter.ts";
import type { LegGrant } from "../../../shared/gen/LegGrant.ts";
import { Leg, type Peer } from "../../../shared/leg.ts";
import { Signal, type Socket } from "../../../shared/signal.ts";

export type Mode = "monitor" | "whisper" | "barge";

/** The call that is supervised, as its names were when it began. */
export interface Target {
  callId: string;
  customerName: string;
  agentName: string;
}

export type Stage =
  | { at: "idle" }
  /** The right is asked for; `before` is what is heard until it comes. */
  | { at: "joining"; target: Target; mode: Mode; since: number; before: On | undefined }
  | On;

interface On {
  at: "on";
  target: Target;
  mode: Mode;
  since: number;
}

export interface Notice {
  key: "ended" | "failed" | "unreachable" | "lost" | "mic";
  code: string;
  name: string;
}

export interface SupervisionEnv {
  api: Api;
  clock: Clock;
  random(): number;
  signalUrl: string;
  connect(url: string): Socket;
  peer(config: RTCConfiguration): Peer;
  openMicrophone(): Promise<Opened>;
  /** A track of silence, for whoever only listens. */
  silentTrack(): MediaStreamTrack;
  sound: {
    /** Makes sound possible; called within a press. */
    unlock(): void;
    play(track: MediaStreamTrack): void;
    silence(): void;
    listen(stream: MediaStream | undefined): void;
  };
}

/** Refusals after which the call, or one's place in it, is gone. */
const GONE: readonly number[] = [403, 404, 409, 410];

const speaks = (mode: Mode): boolean => mode !== "monitor";
const path = (callId: string): string => `/api/support/call/${callId}/supervise`;

export class Supervision {
  stage: Stage = { at: "idle" };
  notice: Notice | undefined;
  leg: Leg;
  readonly changed = new Emitter();

  #signal: Signal | undefined;
  #microphone: MediaStream | undefined;
  /** Counts wishes: what an older one is answered is not carried out. */
  #turn = 0;
  /** Settles when no right is asked for. */
  #asking: Promise<void> = Promise.resolve();

  constructor(private readonly env: SupervisionEnv) {
    this.leg = this.#newLeg();
  }

  get target(): Target | undefined {
    return this.stage.at === "idle" ? undefined : this.stage.target;
  }

  /** The mode in force for a call, or asked for. */
  modeOf(callId: string): Mode | undefined {
    return this.stage.at !== "idle" && this.stage.target.callId === callId ? this.stage.mode : undefined;
  }

  /** Takes part in a call, or goes on in another mode; a call before it is left. */
  async supervise(target: Target, mode: Mode): Promise<void> {
    if (this.modeOf(target.callId) === mode) return;
    const turn = ++this.#turn;
    this.notice = undefined;
    this.env.sound.unlock();
    const before = this.#heard();
    const stays = before?.target.callId === target.callId ? before : undefined;
    if (before && !stays) this.#leaveAtServer(before.target.callId);
    const since = stays?.since ?? this.env.clock.now();
    if (!stays) this.#quiet();
    this.#to({ at: "joining", target, mode, since, before: stays });
    const granted = await this.#right(turn, target, mode);
    if (granted === undefined || turn !== this.#turn) return;
    if (!speaks(mode)) this.#closeMicrophone();
    this.#attach(granted);
    this.#to({ at: "on", target, mode, since });
  }

  /** Microphone, line and the server's word, in this order; undefined when one of them fails, which is then told. */
  async #right(turn: number, target: Target, mode: Mode): Promise<LegGrant | undefined> {
    if (speaks(mode) && !this.#microphone) {
      const opened = await this.env.openMicrophone();
      if (turn !== this.#turn) {
        if (opened.ok) stop(opened.stream);
        return undefined;
      }
      if (!opened.ok) return this.#back("mic", opened.code);
      this.#microphone = opened.stream;
      this.env.sound.listen(opened.stream);
    }
    const connected = await this.#line();
    if (turn !== this.#turn) return undefined;
    if (!connected) return this.#back("unreachable", "ws_unreachable");
    const reply = await this.#ask(turn, target.callId, mode);
    if (!reply) return undefined;
    if (turn !== this.#turn) {
      // Left while it was asked: the right that came too late is given back.
      if (reply.ok && this.target?.callId !== target.callId) this.#leaveAtServer(target.callId);
      return undefined;
    }
    if (reply.ok) return reply.value;
    return this.#back(reply.status === 0 ? "unreachable" : "failed", reply.code);
  }

  /** Asks for the right, one after the other: the server's last word is that of the last wish. Undefined when outrun. */
  async #ask(turn: number, callId: string, mode: Mode): Promise<Reply<LegGrant> | undefined> {
    const before = this.#asking;
    let done = (): void => {};
    this.#asking = new Promise((resolve) => (done = resolve));
    await before;
    const reply = turn === this.#turn ? await this.env.api.post<LegGrant>(path(callId), { mode }) : undefined;
    done();
    return reply;
  }

  /** Gives it up and tells the server. */
  leave(): void {
    const { target } = this;
    this.#turn++;
    this.notice = undefined;
    if (target) this.#leaveAtServer(target.callId);
    this.#release();
  }

  /** Becomes the call's agent; true when it is so. The sound is the desk's from then on. */
  async takeOver(callId: string, reason: string): Promise<boolean> {
    this.notice = undefined;
    const reply = await this.env.api.post<LegGrant>(path(callId), { mode: "takeover", reason });
    if (!reply.ok) {
      this.#tell(reply.status === 0 ? "unreachable" : "failed", reply.code);
      return false;
    }
    const { target } = this;
    if (target && target.callId !== callId) this.#leaveAtServer(target.callId);
    this.#turn++;
    this.#release();
    return true;
  }

  /** The calls that go on, as the list shows them: a supervised one that is not among them is over. */
  seen(callIds: ReadonlySet<string>): void {
    if (this.stage.at === "on" && !callIds.has(this.stage.target.callId)) this.#over("ended", "");
  }

  dismiss(): void {
    this.notice = undefined;
    this.changed.emit();
  }

  #heard(): On | undefined {
    if (this.stage.at === "on") return this.stage;
    return this.stage.at === "joining" ? this.stage.before : undefined;
  }

  #leaveAtServer(callId: string): void {
    void this.env.api.request("DELETE", path(callId));
  }

  /** A wish that came to nothing: what was heard before goes on, if anything was. */
  #back(key: Notice["key"], code: string): undefined {
    const before = this.stage.at === "joining" ? this.stage.before : undefined;
    const name = this.target?.customerName ?? "";
    if (before) {
      if (!speaks(before.mode)) this.#closeMicrophone();
      this.stage = before;
    } else this.#release();
    this.#tell(key, code, name);
  }

  #over(key: "ended" | "lost", code: string): void {
    const name = this.target?.customerName ?? "";
    this.#turn++;
    this.#release();
    this.#tell(key, code, name);
  }

  /** Resolves true once the signalling line is open, false when it cannot be had. */
  #line(): Promise<boolean> {
    const signal = (this.#signal ??= this.#connect());
    return new Promise((resolve) => {
      const look = (): void => {
        const { at } = signal.state;
        if (at !== "open" && at !== "closed") return;
        unsubscribe();
        resolve(at === "open");
      };
      const unsubscribe = signal.changed.subscribe(look);
      look();
    });
  }

  #connect(): Signal {
    const { env } = this;
    const signal = new Signal({
      url: () => env.signalUrl,
      connect: (url) => env.connect(url),
      clock: env.clock,
      random: () => env.random(),
      token: () => Promise.resolve(undefined),
    });
    signal.onwelcome = () => this.leg.signalling();
    signal.onmessage = (type) => {
      if (type === "call.rejoin") void this.#renew();
    };
    signal.changed.subscribe(() => this.changed.emit());
    signal.open();
    return signal;
  }

  #attach(grant: LegGrant): void {
    this.leg.close();
    this.leg = this.#newLeg();
    this.leg.setTrack(this.#microphone?.getAudioTracks()[0] ?? this.env.silentTrack());
    this.leg.granted(grant);
  }

  #newLeg(): Leg {
    const leg = new Leg({
      peer: (config) => this.env.peer(config),
      clock: this.env.clock,
      request: (type, data) =>
        this.#signal?.request(type, data) ?? Promise.resolve({ ok: false, code: "ws_unreachable" }),
      // The one thing a leg says unasked is that it needs another right; a supervisor's comes by request.
      send: () => {
        void this.#renew();
        return true;
      },
      sound: this.env.sound,
    });
    leg.changed.subscribe(() => {
      if (leg !== this.leg) return;
      if (leg.state.at === "failed") this.#over("lost", "");
      else this.changed.emit();
    });
    return leg;
  }

  /** A fresh right for the leg there is. */
  async #renew(): Promise<void> {
    if (this.stage.at !== "on") return;
    const turn = this.#turn;
    const { target, mode } = this.stage;
    const reply = await this.env.api.post<LegGrant>(path(target.callId), { mode });
    if (turn !== this.#turn) return;
    if (reply.ok) this.leg.granted(reply.value);
    else if (GONE.includes(reply.status)) this.#over("ended", reply.code);
  }

  #closeMicrophone(): void {
    if (this.#microphone) stop(this.#microphone);
    this.#microphone = undefined;
    this.env.sound.listen(undefined);
  }

  /** Nothing is heard or said any more; the line stays for what comes next. */
  #quiet(): void {
    this.leg.close();
    this.leg = this.#newLeg();
    this.#closeMicrophone();
  }

  #release(): void {
    this.#quiet();
    this.#signal?.close();
    this.#signal = undefined;
    this.#to({ at: "idle" });
  }

  #tell(key: Notice["key"], code: string, name = ""): void {
    this.notice = { key, code, name };
    this.changed.emit();
  }

  #to(stage: Stage): void {
    this.stage = stage;
    this.changed.emit();
  }
}
