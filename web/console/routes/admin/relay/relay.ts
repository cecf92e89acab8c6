// The relay of a node, and what may be done to it. Without DOM.

import type { RelayState } from "../../../../shared/gen/RelayState.ts";
import { Polled, type PolledEnv } from "../polled.ts";

const PATH = "/api/support/relay";

export type Change = { kind: "kill"; id: string } | { kind: "drain" | "serve" | "rotate" };

export class Relay extends Polled<RelayState> {
  /** As it was last read; undefined before the first answer. */
  state: RelayState | undefined;

  constructor(env: PolledEnv) {
    super(env, PATH);
  }

  /** Does it and shows what came of it; false when the server refused. */
  perform(change: Change, reason = ""): Promise<boolean> {
    const { api } = this.env;
    const body: { reason?: string } = reason.trim() ? { reason: reason.trim() } : {};
    if (change.kind === "kill") return this.#kill(change.id, body);
    return this.change(
      change.kind === "serve"
        ? api.request<RelayState>("DELETE", `${PATH}/drain`)
        : api.post<RelayState>(`${PATH}/${change.kind}`, body),
    );
  }

  protected override take(state: RelayState): void {
    this.state = state;
  }

  #kill(id: string, body: { reason?: string }): Promise<boolean> {
    const path = `${PATH}/allocations/${encodeURIComponent(id)}`;
    // Without a reason without a body: some proxies take none with this method.
    const reply = this.env.api.request<undefined>("DELETE", path, body.reason ? body : undefined);
    return this.changeBy(reply, ({ ok, status }) => {
      // What is gone already is what was wanted.
      const gone = ok || status === 404;
      if (gone && this.state) {
        const allocations = this.state.allocations.filter((one) => one.id !== id);
        this.state = { ...this.state, allocations, total: this.state.total - 1 };
      }
      return gone;
    });
  }
}
