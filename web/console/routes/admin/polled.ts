// Something of the server that is read again every two seconds while somebody looks, and what may be done to it.
// Without DOM.
//
// Invariant: at most one question is under way, and none is begun while the page is hidden or after `close()`. An answer
// to a question from before a change is not shown: it tells of the past.

import type { Api, Reply } from "../../../shared/api.ts";
import type { Clock } from "../../../shared/clock.ts";
import { Emitter } from "../../../shared/emitter.ts";

/** Time between an answer and the next question, milliseconds. Sooner shows little more: qualities are of a second. */
export const POLL_EVERY_MS = 2000;

export interface PolledEnv {
  api: Api;
  clock: Clock;
  visible(): boolean;
  /** The session is over. */
  signedOut(): void;
}

export abstract class Polled<Answer> {
  /** When the last answer came, by our clock, milliseconds since 1970; undefined before the first one. */
  readAt: number | undefined;
  /** The last question was not answered. */
  stale = false;
  /** The last change was refused. */
  failed = false;
  /** For it comes too soon: seconds after which it may be tried again. */
  wait: number | undefined;
  readonly changed = new Emitter();

  #asking = false;
  #closed = false;
  /** Changes that were answered. */
  #changes = 0;
  #cancel: () => void = () => {};

  /** `path`: where it is read. */
  constructor(
    protected readonly env: PolledEnv,
    private readonly path: string,
  ) {}

  /** Takes over what the server says. */
  protected abstract take(answer: Answer): void;

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

  /** Waits for a change and shows the state that it led to; false when the server refused. */
  protected change(reply: Promise<Reply<Answer>>): Promise<boolean> {
    return this.changeBy(reply, (got) => {
      if (got.ok) this.#read(got.value);
      return got.ok;
    });
  }

  /** The same for a change whose answer is no state: `done` takes it over, and says whether what was wanted is so. */
  protected async changeBy<T>(reply: Promise<Reply<T>>, done: (reply: Reply<T>) => boolean): Promise<boolean> {
    const got = await reply;
    this.#changes += 1;
    const wanted = done(got);
    if (this.#closed) return wanted;
    this.failed = !wanted;
    this.wait = !got.ok && got.code === "too_soon" ? got.retryAfter : undefined;
    if (!got.ok && got.status === 401) this.env.signedOut();
    this.changed.emit();
    return wanted;
  }

  #read(answer: Answer): void {
    this.readAt = this.env.clock.now();
    this.take(answer);
  }

  async #ask(): Promise<void> {
    this.#cancel();
    if (this.#closed || this.#asking || !this.env.visible()) return;
    this.#asking = true;
    const changes = this.#changes;
    const reply = await this.env.api.get<Answer>(this.path);
    this.#asking = false;
    if (this.#closed) return;
    if (!reply.ok && reply.status === 401) return this.env.signedOut();
    if (reply.ok && changes === this.#changes) this.#read(reply.value);
    this.stale = !reply.ok;
    this.#cancel = this.env.clock.after(POLL_EVERY_MS, () => void this.#ask());
    this.changed.emit();
  }
}
