// The emptying of a node, read again every two seconds while somebody looks, and how it is begun and undone. Without DOM.
//
// Invariant: at most one question is under way, and none is begun while the page is hidden or after `close()`.

import type { Api } from "../../../../shared/api.ts";
import type { Clock } from "../../../../shared/clock.ts";
import { Emitter } from "../../../../shared/emitter.ts";
import type { DrainStart } from "../../../../shared/gen/DrainStart.ts";
import type { DrainState } from "../../../../shared/gen/DrainState.ts";

/** Time between an answer and the next question, milliseconds: a person sees calls end one by one. */
export const NODE_EVERY_MS = 2000;
/** Minutes that an emptying may last: the server takes a day at most, and no slip of the hand means "now". */
export const MINUTES_MIN = 1;
export const MINUTES_MAX = 24 * 60;
/** What the server takes when nobody says otherwise: longer than nearly every call. */
export const MINUTES_USUAL = 15;
const SECONDS_PER_MINUTE = 60;

const PATH = "/api/support/node/drain";

export interface NodeEnv {
  api: Api;
  clock: Clock;
  visible(): boolean;
  /** The session is over. */
  signedOut(): void;
}

/** Serving, being emptied, or empty. */
export const stageOf = ({ draining, calls, rooms }: DrainState): "serving" | "draining" | "drained" =>
  !draining ? "serving" : calls === 0 && rooms === 0 ? "drained" : "draining";

/** The minutes that somebody typed; undefined when they are none that the server takes. */
export function minutesOf(text: string): number | undefined {
  const minutes = /^\d+$/.test(text.trim()) ? Number(text) : NaN;
  return minutes >= MINUTES_MIN && minutes <= MINUTES_MAX ? minutes : undefined;
}

export class NodeDrain {
  /** As it was last read; undefined before the first answer. */
  state: DrainState | undefined;
  /** When that was, by our clock, milliseconds since 1970. */
  readAt = 0;
  /** The last question was not answered. */
  stale = false;
  /** The last change was refused. */
  failed = false;
  /** Another node than the one that was looked at has answered; a balancer may have moved us. */
  moved = false;
  readonly changed = new Emitter();

  #asking = false;
  #closed = false;
  /** Changes that were answered; a question from before one tells of the past. */
  #changes = 0;
  #cancel: () => void = () => {};

  constructor(private readonly env: NodeEnv) {}

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

  /** Seconds until what still lives is ended, as of now; undefined while the node serves. */
  get secondsLeft(): number | undefined {
    const left = this.state?.closesInSeconds;
    if (left == null) return undefined;
    return Math.max(0, left - (this.env.clock.now() - this.readAt) / 1000);
  }

  /** Begins, or sets another deadline. */
  drain(minutes: number, reason: string): Promise<boolean> {
    const body: DrainStart = { seconds: minutes * SECONDS_PER_MINUTE };
    return this.#change("POST", reason.trim() ? { ...body, reason: reason.trim() } : body);
  }

  /** The node serves again. */
  serve(): Promise<boolean> {
    return this.#change("DELETE");
  }

  async #change(method: string, body?: DrainStart): Promise<boolean> {
    const reply = await this.env.api.request<DrainState>(method, PATH, body);
    this.#changes += 1;
    if (this.#closed) return reply.ok;
    this.failed = !reply.ok;
    if (reply.ok) this.#read(reply.value);
    else if (reply.status === 401) this.env.signedOut();
    this.changed.emit();
    return reply.ok;
  }

  #read(state: DrainState): void {
    this.moved ||= this.state !== undefined && this.state.nodeId !== state.nodeId;
    this.state = state;
    this.readAt = this.env.clock.now();
  }

  async #ask(): Promise<void> {
    this.#cancel();
    if (this.#closed || this.#asking || !this.env.visible()) return;
    this.#asking = true;
    const changes = this.#changes;
    const reply = await this.env.api.get<DrainState>(PATH);
    this.#asking = false;
    if (this.#closed) return;
    if (!reply.ok && reply.status === 401) return this.env.signedOut();
    if (reply.ok && changes === this.#changes) this.#read(reply.value);
    this.stale = !reply.ok;
    this.#cancel = this.env.clock.after(NODE_EVERY_MS, () => void this.#ask());
    this.changed.emit();
  }
}
