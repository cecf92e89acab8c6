// The signalling connection: one WebSocket after another, made to look like one session.
//
// It has no DOM: sockets, time and chance are handed in. The sound of a call does not depend on it: while it is away,
// `Leg` keeps its packets flowing.
//
// Invariant: after `close()` nothing is sent and no listener is called.

import type { Clock } from "./clock.ts";
import { Emitter } from "./emitter.ts";
import type { Resume } from "./gen/Resume.ts";
import type { ServerMessage } from "./gen/ServerMessage.ts";
import type { SignalError } from "./gen/SignalError.ts";
import type { Welcome } from "./gen/Welcome.ts";

export type State =
  | { at: "idle" }
  | { at: "connecting"; attempt: number }
  | { at: "open" }
  | { at: "waiting"; attempt: number; until: number }
  | { at: "closed"; code: string };

export interface Socket {
  send(text: string): void;
  close(code?: number): void;
  onopen: (() => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: ((event: { code: number }) => void) | null;
}

export interface SignalEnv {
  url(): string;
  connect(url: string): Socket;
  clock: Clock;
  /** 0 to 1. */
  random(): number;
  /** What to say `hello` with when there is no session to resume; `undefined` lets the cookie speak. */
  token(): Promise<string | undefined>;
  /** Called when the place to resume from has changed, so that it can outlive a reload. */
  remember?(resume: Resume | undefined): void;
}

/** Tries before giving up; the last wait is about 19 s, together about 90 s. */
export const TRIES_MAX = 10;
/** A request without an answer fails after this time, milliseconds. */
export const REQUEST_TIMEOUT_MS = 10_000;
/** A line on which nothing came for this time is dead, milliseconds: three heartbeats of the server. */
export const SILENCE_MS = 15_000;
/** Our own close code: this side wants a fresh connection. */
const CLOSE_AGAIN = 4000;

/** Refusals after which another try would only be refused again. */
const FINAL: Record<number, string> = {
  4400: "bad_message",
  4401: "unauthenticated",
  4403: "forbidden",
  4409: "replaced",
};

type Outcome = { ok: true; data: unknown; type: string } | { ok: false; code: string };
type Pending = { settle: (outcome: Outcome) => void; cancel: () => void };

/** Milliseconds to wait before try number `attempt`, counted from 1. */
export function backoff(attempt: number, random: number): number {
  if (attempt <= 1) return random * 1000;
  return (2 * attempt - 1) * 1000 * (0.5 + random);
}

export class Signal {
  state: State = { at: "idle" };
  /** Server's clock minus ours, milliseconds. */
  clockOffset = 0;
  readonly changed = new Emitter();
  onwelcome: (welcome: Welcome) => void = () => {};
  onmessage: (type: string, data: unknown, message: ServerMessage) => void = () => {};

  #socket: Socket | undefined;
  #resume: Resume | undefined;
  #pending = new Map<string, Pending>();
  #nextId = 1;
  #cancelTimer: () => void = () => {};

  constructor(private readonly env: SignalEnv) {}

  get resume(): Resume | undefined {
    return this.#resume;
  }

  /** Connects; `resume` continues a session of an earlier page. */
  open(resume?: Resume): void {
    if (resume) this.#resume = resume;
    this.#connect(1);
  }

  /** Tries at once instead of waiting, for example when the network came back. */
  retryNow(): void {
    if (this.state.at === "waiting" || (this.state.at === "closed" && this.state.code === "ws_unreachable")) {
      this.#connect(1);
    }
  }

  /** Gives the connection up for a new one; used when the page hears that the network is gone. */
  drop(attempt = 1): void {
    const socket = this.#socket;
    if (!socket) return;
    this.#forgetSocket();
    socket.close(CLOSE_AGAIN);
    this.#lost(attempt);
  }

  close(): void {
    this.#finish("left");
    this.#setResume(undefined);
  }

  /** Sends without waiting for an answer; false when there is no connection. */
  send(type: string, data: unknown): boolean {
    return this.#write(String(this.#nextId++), type, data);
  }

  /** Sends and waits for the message that answers it. */
  request(type: string, data: unknown): Promise<Outcome> {
    const id = String(this.#nextId++);
    return new Promise((resolve) => {
      if (!this.#write(id, type, data)) {
        resolve({ ok: false, code: "ws_unreachable" });
        return;
      }
      const cancel = this.env.clock.after(REQUEST_TIMEOUT_MS, () => this.#settle(id, { ok: false, code: "timeout" }));
      this.#pending.set(id, { settle: resolve, cancel });
    });
  }

  #write(id: string, type: string, data: unknown): boolean {
    if (this.state.at !== "open" || !this.#socket) return false;
    this.#socket.send(JSON.stringify({ v: 1, id, type, data }));
    return true;
  }

  #connect(attempt: number): void {
    this.#cancelTimer();
    const old = this.#socket;
    this.#forgetSocket();
    old?.close();
    this.#set({ at: "connecting", attempt });
    let socket: Socket;
    try {
      socket = this.env.connect(this.env.url());
    } catch {
      this.#lost(attempt + 1);
      return;
    }
    this.#socket = socket;
    this.#cancelTimer = this.env.clock.after(REQUEST_TIMEOUT_MS, () => this.drop(attempt + 1));
    socket.onopen = () => void this.#hello(socket);
    socket.onmessage = (event) => this.#receive(event.data);
    socket.onclose = (event) => {
      this.#forgetSocket();
      this.#closed(event.code, attempt);
    };
  }

  async #hello(socket: Socket): Promise<void> {
    const token = this.#resume ? undefined : await this.env.token();
    if (this.#socket !== socket) return;
    // What is undefined is not sent.
    const data = { token, resume: this.#resume };
    socket.send(JSON.stringify({ v: 1, id: "hello", type: "hello", data }));
  }

  #receive(raw: unknown): void {
    let message: ServerMessage;
    try {
      message = JSON.parse(String(raw)) as ServerMessage;
    } catch {
      return;
    }
    if (this.state.at === "open" || message.type === "welcome") {
      this.#cancelTimer();
      this.#cancelTimer = this.env.clock.after(SILENCE_MS, () => this.drop());
    }
    if (message.type === "welcome") this.#welcome(message.data as Welcome, message.seq);
    else if (message.seq > 0 && this.#resume) {
      if (message.seq <= this.#resume.lastSeq) return;
      this.#setResume({ session: this.#resume.session, lastSeq: message.seq });
    }
    if (message.type === "probe.ping") {
      this.send("probe.pong", message.data);
      return;
    }
    if (message.ref) {
      const failed = message.type === "error";
      this.#settle(
        message.ref,
        failed
          ? { ok: false, code: (message.data as SignalError).code }
          : { ok: true, data: message.data, type: message.type },
      );
    }
    if (message.type !== "welcome") this.onmessage(message.type, message.data, message);
  }

  #welcome(welcome: Welcome, seq: number): void {
    this.clockOffset = Date.parse(welcome.serverTime) - this.env.clock.now();
    const lastSeq = welcome.resumed && this.#resume ? this.#resume.lastSeq : seq;
    this.#setResume({ session: welcome.session, lastSeq });
    this.#set({ at: "open" });
    this.onwelcome(welcome);
  }

  #closed(code: number, attempt: number): void {
    if (code === 4401 && this.#resume) {
      // The session is over, but the person may still have the right to a new one.
      this.#setResume(undefined);
      this.#connect(1);
      return;
    }
    const final = FINAL[code];
    if (final) this.#finish(final);
    else this.#lost(this.state.at === "open" ? 1 : attempt + 1);
  }

  #lost(attempt: number): void {
    this.#cancelTimer();
    this.#failPending();
    if (attempt > TRIES_MAX) {
      this.#set({ at: "closed", code: "ws_unreachable" });
      return;
    }
    const wait = backoff(attempt, this.env.random());
    this.#set({ at: "waiting", attempt, until: this.env.clock.now() + wait });
    this.#cancelTimer = this.env.clock.after(wait, () => this.#connect(attempt));
  }

  #finish(code: string): void {
    this.#cancelTimer();
    const socket = this.#socket;
    this.#forgetSocket();
    socket?.close();
    this.#failPending();
    this.#set({ at: "closed", code });
  }

  #forgetSocket(): void {
    if (!this.#socket) return;
    this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket = undefined;
  }

  #settle(id: string, outcome: Outcome): void {
    const pending = this.#pending.get(id);
    if (!pending) return;
    this.#pending.delete(id);
    pending.cancel();
    pending.settle(outcome);
  }

  #failPending(): void {
    for (const id of [...this.#pending.keys()]) this.#settle(id, { ok: false, code: "ws_unreachable" });
  }

  #setResume(resume: Resume | undefined): void {
    this.#resume = resume;
    this.env.remember?.(resume);
  }

  #set(state: State): void {
    this.state = state;
    this.changed.emit();
  }
}
