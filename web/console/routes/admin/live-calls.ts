// The calls that go on. Without DOM.

import type { LiveCall } from "../../../shared/gen/LiveCall.ts";
import type { LiveCalls as Answer } from "../../../shared/gen/LiveCalls.ts";
import { wholeLegs } from "../../whole.ts";
import { Polled, type PolledEnv } from "./polled.ts";

export class LiveCalls extends Polled<Answer> {
  calls: LiveCall[] = [];
  /** When the calls were as shown, by the server's clock; undefined before the first answer. */
  asOf: number | undefined;

  #offset = 0;

  constructor(env: PolledEnv) {
    super(env, "/api/support/calls/live");
  }

  /** The server's clock. */
  get now(): number {
    return this.env.clock.now() + this.#offset;
  }

  find(callId: string | null): LiveCall | undefined {
    return this.calls.find((call) => call.callId === callId);
  }

  protected override take({ calls, serverTime }: Answer): void {
    this.calls = calls.map((call) => ({ ...call, legs: wholeLegs(call.legs) }));
    this.asOf = Date.parse(serverTime);
    this.#offset = this.asOf - this.env.clock.now();
  }
}
