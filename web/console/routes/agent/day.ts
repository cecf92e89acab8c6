// What the desk reads beside the call: who waits, and what this agent has done today.

import type { Emitter } from "../../../shared/emitter.ts";
import type { CallPage } from "../../../shared/gen/CallPage.ts";
import type { CallRow } from "../../../shared/gen/CallRow.ts";
import type { QueueSnapshot } from "../../../shared/gen/QueueSnapshot.ts";
import type { DeskEnv } from "./env.ts";

/** How often the waiting calls are read again while the page is seen, milliseconds. */
const QUEUE_EVERY_MS = 3000;

export class Day {
  queue: QueueSnapshot | undefined;
  today: CallRow[] = [];

  #cancelQueue: () => void = () => {};
  #closed = false;

  constructor(
    private readonly env: DeskEnv,
    private readonly changed: Emitter,
  ) {}

  close(): void {
    this.#closed = true;
    this.#cancelQueue();
  }

  /** Reads the waiting calls now, and from then on every few seconds. */
  refresh(): void {
    this.#cancelQueue();
    if (this.#closed) return;
    this.#cancelQueue = this.env.clock.after(QUEUE_EVERY_MS, () => this.refresh());
    if (this.env.visible()) void this.#readQueue();
  }

  async #readQueue(): Promise<void> {
    const reply = await this.env.api.get<QueueSnapshot>("/api/support/queue/calls");
    if (!reply.ok) return;
    this.queue = reply.value;
    this.changed.emit();
  }

  /** Reads this agent's calls since midnight of the server's clock, `now`. */
  async readToday(now: number): Promise<void> {
    const midnight = new Date(now);
    midnight.setHours(0, 0, 0, 0);
    const query = new URLSearchParams({ agent: this.env.me.staffId, from: midnight.toISOString(), limit: "100" });
    const reply = await this.env.api.get<CallPage>(`/api/support/calls?${query.toString()}`);
    if (!reply.ok) return;
    this.today = reply.value.calls;
    this.changed.emit();
  }
}
