// The sound of the desk: microphone, leg, levels, how good the line is. It knows of a call only whether there is one.
//
// Invariant: after `release()` no microphone is open, the leg is a new one, and nothing is measured.

import { stop, type DeviceList } from "../../../shared/devices.ts";
import type { Emitter } from "../../../shared/emitter.ts";
import type { LegQuality } from "../../../shared/gen/LegQuality.ts";
import type { Part } from "../../../shared/gen/Part.ts";
import { Leg } from "../../../shared/leg.ts";
import {
  between,
  isDeadMicrophone,
  Monitor,
  read,
  type Reading,
  type Second,
  type Warning,
} from "../../../shared/quality.ts";
import type { Signal } from "../../../shared/signal.ts";
import { wholeLegs } from "../../whole.ts";
import type { DeskEnv } from "./env.ts";
import { meanOf } from "./mean.ts";

/** Seconds of quality that the row under the lines speaks of. */
export const QUALITY_SECONDS = 60;

export class Voice {
  muted = false;
  devices: DeviceList = { microphones: [], speakers: [] };
  microphoneId = "";
  speakerId = "";
  warnings: ReadonlySet<Warning> = new Set();
  deadMicrophone = false;
  leg: Leg;

  #stream: MediaStream | undefined;
  #quality: LegQuality[][] = [];
  #reading: Reading | undefined;
  #monitor = new Monitor();
  #levels: number[] = [];
  #cancelTick: () => void = () => {};

  constructor(
    private readonly env: DeskEnv,
    private readonly signal: Signal,
    private readonly changed: Emitter,
    /** Takes what this desk heard, every few seconds. */
    private readonly tellHeard: (seconds: Second[]) => void,
  ) {
    this.leg = this.#newLeg();
  }

  /** True while a microphone is open for a call. */
  get open(): boolean {
    return this.#stream !== undefined;
  }

  level = (): number => (this.#stream ? this.env.sound.mine() : 0);

  /** The mean of a leg's last minute, undefined before the first second. */
  lastMinute(part: Part): LegQuality | undefined {
    return meanOf(this.#quality.map((legs) => legs.find((leg) => leg.part === part)).filter((leg) => leg?.up));
  }

  /** Loudness of a leg as the server heard it in its last second, 0 to 1. */
  serverLevel = (part: Part): number => {
    const leg = this.#quality.at(-1)?.find((one) => one.part === part);
    return leg?.up ? leg.level / 127 : 0;
  };

  /** The legs of the last second; empty before the first. */
  get legs(): readonly LegQuality[] {
    return this.#quality.at(-1) ?? [];
  }

  /** The legs of the last second, as the server saw them. */
  heard(legs: LegQuality[]): void {
    this.#quality.push(wholeLegs(legs));
    if (this.#quality.length > QUALITY_SECONDS) this.#quality.shift();
    this.changed.emit();
  }

  mute(muted: boolean): void {
    this.muted = muted;
    for (const track of this.#stream?.getAudioTracks() ?? []) track.enabled = !muted;
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
    if (this.#stream) await this.use(opened.stream);
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

  /** Speaks with this microphone from now on. */
  async use(stream: MediaStream): Promise<void> {
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
      sound: this.env.sound,
    });
    leg.changed.subscribe(() => leg === this.leg && this.changed.emit());
    return leg;
  }

  /** Frees microphone and sound. */
  release(): void {
    this.#cancelTick();
    this.leg.close();
    this.leg = this.#newLeg();
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

  /** Measures once a second from now on, until `release()`. */
  tick(): void {
    this.#cancelTick();
    this.#cancelTick = this.env.clock.after(1000, () => {
      this.tick();
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
    if (this.#reading) {
      const second = between(this.#reading, reading);
      this.warnings = this.#monitor.push(second, now);
      this.leg.flowing(second.flowing);
      const seconds = this.#monitor.heard();
      if (seconds) this.tellHeard(seconds);
    }
    this.#reading = reading;
    this.changed.emit();
  }
}
