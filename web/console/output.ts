// What is heard of a call: every track of the other sides in one element, and how loud they are together.

import { createMeter, type Meter } from "../shared/devices.ts";

export class Output {
  readonly #element = new Audio();
  readonly #heard = new MediaStream();
  /** One for each track: a stream's own source listens to its first track alone. */
  #meters: Meter[] = [];

  constructor(private readonly context: () => AudioContext) {}

  play(track: MediaStreamTrack): void {
    this.#heard.addTrack(track);
    this.#element.srcObject = this.#heard;
    void this.#element.play().catch(() => {});
    this.#meters.push(createMeter(this.context(), new MediaStream([track])));
  }

  silence(): void {
    for (const track of this.#heard.getTracks()) this.#heard.removeTrack(track);
    for (const meter of this.#meters) meter.stop();
    this.#meters = [];
    this.#element.srcObject = null;
  }

  /** The loudest of them now, 0 to 1. */
  level(): number {
    return this.#meters.reduce((most, meter) => Math.max(most, meter.read()), 0);
  }

  /** Chooses the loudspeaker, where the browser can. */
  device(id: string): void {
    type Sink = HTMLAudioElement & { setSinkId?: (id: string) => Promise<void> };
    void (this.#element as Sink).setSinkId?.(id).catch(() => {});
  }
}
