// The relay of a node, read again every two seconds while somebody looks, and what may be done to it. Without DOM.
//
// Invariant: at most one question is under way, and none is begun while the page is hidden or after `close()`.

import type { Api } from "../../../../shared/api.ts";
import type { Clock } from "../../../../shared/clock.ts";
import { Emitter } from "../../../../shared/emitter.ts";
import type { RelayState } from "../../../../shared/gen/RelayState.ts";

/** Time between an answer and the next question, milliseconds: a relay frees within a second. */
export const RELAY_EVERY_MS = 2000;

const PATH = "/api/support/relay";

export interface RelayEnv {
  api: Api;
  clock: Clock;
  visible(): boolean;
  /** The session is over. */
  signedOut(): void;
}

export type Change = { kind: "kill"; id: string } | { kind: "drain" | "serve" | "rotate" };

export class Relay {
  /** As it was last read; undefined before the first answer. */
  state: RelayState | undefined;
  /** The last question was not answered. */
  stale = false;
  /** The last change was refused. */
  failed = false;
  readonly changed = new Emitter();

  #asking = false;
  #closed = false;
  #cancel: () => void = () => {};

  constructor(private readonly env: RelayEnv) {}

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

  /** Does it and shows what came of it; false when the server refused. */
  async change(change: Change, reason = ""): Promise<boolean> {
    const { api } = this.env;
    const body: { reason?: string } = reason.trim() ? { reason: reason.trim() } : {};
    const reply =
      change.kind === "kill"
        ? // Without a reason without a body: some proxies take none with this method.
          await api.request<undefined>(
            "DELETE",
            `${PATH}/allocations/${encodeURIComponent(change.id)}`,
            body.reason ? body : undefined,
          )
        : change.kind === "serve"
          ? await api.request<RelayState>("DELETE", `${PATH}/drain`)
          : await api.post<RelayState>(`${PATH}/${change.kind}`, body);
    if (this.#closed) return reply.ok;
    // What is gone already is what was wanted.
    const done = reply.ok || (change.kind === "kill" && reply.status === 404);
    this.failed = !done;
    if (change.kind === "kill" && done && this.state) {
      const allocations = this.state.allocations.filter((one) => one.id !== change.id);
      this.state = { ...this.state, allocations, total: this.state.total - 1 };
    } else if (reply.ok && reply.value) this.state = reply.value;
    this.changed.emit();
    return done;
  }

  async #ask(): Promise<void> {
    this.#cancel();
    if (this.#closed || this.#asking || !this.env.visible()) return;
    this.#asking = true;
    const reply = await this.env.api.get<RelayState>(PATH);
    this.#asking = false;
    if (this.#closed) return;
    if (reply.ok) this.state = reply.value;
    else if (reply.status === 401) return this.env.signedOut();
    this.stale = !reply.ok;
    this.#cancel = this.env.clock.after(RELAY_EVERY_MS, () => void this.#ask());
    this.changed.emit();
  }
}
