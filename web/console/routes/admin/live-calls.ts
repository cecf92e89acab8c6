// The calls that go on, read again every two seconds while somebody looks. Without DOM.
//
// Invariant: at most one request is under way, and none is begun while the page is hidden or after `close()`.

import type { Api } from "../../../shared/api.ts";
import type { Clock } from "../../../shared/clock.ts";
import { Emitter } from "../../../shared/emitter.ts";
import type { LiveCall } from "../../../shared/gen/LiveCall.ts";
import type { LiveCalls as Answer } from "../../../shared/gen/LiveCalls.ts";
import { wholeLegs } from "../../whole.ts";

/** Time between an answer and the next question, milliseconds. Sooner shows nothing more: qualities are of a second. */
export const LIVE_EVERY_MS = 2000;

export interface LiveEnv {
  api: Api;
  clock: Clock;
  visible(): boolean;
  /** The session is over. */
  signedOut(): void;
}

export class LiveCalls {
  calls: LiveCall[] = [];
  /** When the calls were as shown, by the server's clock; undefined before the first answer. */
  asOf: number | undefined;
  /** The last question was not answered. */
  stale = false;
  readonly changed = new Emitter();

  #offset = 0;
  #asking = false;
  #closed = false;
  #cancel: () => void = () => {};

  constructor(private readonly env: LiveEnv) {}

  open(): void {
    void this.#ask();
  }

  close(): void {
    this.#closed = true;
    this.#cancel();
  }

  /** The page is seen again. */
  seen(): void {
    void this.#ask();
  }

  /** The server's clock. */
  get now(): number {
    return this.env.clock.now() + this.#offset;
  }

  find(callId: string | null): LiveCall | undefined {
    return this.calls.find((call) => call.callId === callId);
  }

  async #ask(): Promise<void> {
    this.#cancel();
    if (this.#closed || this.#asking || !this.env.visible()) return;
    this.#asking = true;
    const reply = await this.env.api.get<Answer>("/api/support/calls/live");
    this.#asking = false;
    if (this.#closed) return;
    if (reply.ok) {
      this.calls = reply.value.calls.map((call) => ({ ...call, legs: wholeLegs(call.legs) }));
      this.asOf = Date.parse(reply.value.serverTime);
      this.#offset = this.asOf - this.env.clock.now();
    } else if (reply.status === 401) return this.env.signedOut();
    this.stale = !reply.ok;
    this.#cancel = this.env.clock.after(LIVE_EVERY_MS, () => void this.#ask());
    this.changed.emit();
  }
}
