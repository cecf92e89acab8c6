// The emptying of a node, and how it is begun and undone. Without DOM.

import type { DrainStart } from "../../../../shared/gen/DrainStart.ts";
import type { DrainState } from "../../../../shared/gen/DrainState.ts";
import { Polled, type PolledEnv } from "../polled.ts";

/** Minutes that an emptying may last: the server takes a day at most, and no slip of the hand means "now". */
export const MINUTES_MIN = 1;
export const MINUTES_MAX = 24 * 60;
/** What the server takes when nobody says otherwise: longer than nearly every call. */
export const MINUTES_USUAL = 15;
const SECONDS_PER_MINUTE = 60;

const PATH = "/api/support/node/drain";

/** Serving, being emptied, or empty. */
export const stageOf = ({ draining, calls, rooms }: DrainState): "serving" | "draining" | "drained" =>
  !draining ? "serving" : calls === 0 && rooms === 0 ? "drained" : "draining";

/** The minutes that somebody typed; undefined when they are none that the server takes. */
export function minutesOf(text: string): number | undefined {
  const minutes = /^\d+$/.test(text.trim()) ? Number(text) : NaN;
  return minutes >= MINUTES_MIN && minutes <= MINUTES_MAX ? minutes : undefined;
}

export class NodeDrain extends Polled<DrainState> {
  /** As it was last read; undefined before the first answer. */
  state: DrainState | undefined;
  /** Another node than the one that was looked at has answered; a balancer may have moved us. */
  moved = false;

  constructor(env: PolledEnv) {
    super(env, PATH);
  }

  /** Seconds until what still lives is ended, as of now; undefined while the node serves. */
  get secondsLeft(): number | undefined {
    const left = this.state?.closesInSeconds;
    if (left == null || this.readAt === undefined) return undefined;
    return Math.max(0, left - (this.env.clock.now() - this.readAt) / 1000);
  }

  /** Begins, or sets another deadline; false when the server refused. */
  drain(minutes: number, reason: string): Promise<boolean> {
    const body: DrainStart = { seconds: minutes * SECONDS_PER_MINUTE };
    return this.change(this.env.api.post(PATH, reason.trim() ? { ...body, reason: reason.trim() } : body));
  }

  /** The node serves again; false when the server refused. */
  serve(): Promise<boolean> {
    return this.change(this.env.api.request("DELETE", PATH));
  }

  protected override take(state: DrainState): void {
    this.moved ||= this.state !== undefined && this.state.nodeId !== state.nodeId;
    this.state = state;
  }
}
