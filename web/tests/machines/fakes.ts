// The browser's edge, made by hand: sockets, peer connections, microphones and the REST API as the machines see them.
//
// Time is vitest's: call `vi.useFakeTimers()` before anything here is used. The machines under test are the real ones.

import { vi } from "vitest";
import { Api } from "../../shared/api.ts";
import type { Opened } from "../../shared/devices.ts";
import type { ServerMessage } from "../../shared/gen/ServerMessage.ts";
import type { Snapshot } from "../../shared/gen/Snapshot.ts";
import type { Peer } from "../../shared/leg.ts";
import type { Socket } from "../../shared/signal.ts";

export interface Said {
  id: string;
  type: string;
  data: Record<string, unknown>;
}

/** One WebSocket; the test speaks for the server. */
export class FakeSocket implements Socket {
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number }) => void) | null = null;
  readonly said: Said[] = [];
  closed: number | true | undefined;

  constructor(readonly url: string) {}

  send(text: string): void {
    if (this.closed !== undefined) throw new Error("sent over a closed socket");
    this.said.push(JSON.parse(text) as Said);
  }

  close(code?: number): void {
    this.closed ??= code ?? true;
  }

  say(type: string, data: unknown = {}, more: Partial<ServerMessage> = {}): void {
    this.onmessage?.({ data: JSON.stringify({ v: 1, seq: 0, ts: "", type, data, ...more }) });
  }

  /** The server or the network ends it. */
  fail(code = 1006): void {
    this.closed = code;
    this.onclose?.({ code });
  }

  /** Opens it and lets `hello` be said. */
  async open(): Promise<void> {
    this.onopen?.();
    await settle();
  }

  async welcome(more: { resumed?: boolean; snapshot?: Snapshot; session?: string; seq?: number } = {}): Promise<void> {
    const { resumed = false, snapshot, session = "secret", seq = 0 } = more;
    const data = {
      session,
      resumed,
      serverTime: new Date(Date.now()).toISOString(),
      ...(snapshot ? { snapshot } : {}),
    };
    this.say("welcome", data, { seq, ref: "hello" });
    await settle();
  }

  all(type: string): Said[] {
    return this.said.filter((one) => one.type === type);
  }

  last(type: string): Said {
    const found = this.all(type).at(-1);
    if (!found) throw new Error(`${type} was not sent`);
    return found;
  }
}

/** Every socket that was asked for, the newest last. */
export class Network {
  readonly sockets: FakeSocket[] = [];
  /** Makes the constructor throw, as a browser does for an address that is none. */
  broken = false;

  connect = (url: string): FakeSocket => {
    if (this.broken) throw new SyntaxError("bad address");
    const socket = new FakeSocket(url);
    this.sockets.push(socket);
    return socket;
  };

  get now(): FakeSocket {
    const socket = this.sockets.at(-1);
    if (!socket) throw new Error("nothing was connected");
    return socket;
  }
}

export class FakeTrack {
  kind = "audio";
  enabled = true;
  readyState: "live" | "ended" = "live";
  onended: (() => void) | null = null;

  constructor(readonly deviceId: string) {}

  getSettings(): { deviceId: string } {
    return { deviceId: this.deviceId };
  }

  stop(): void {
    this.readyState = "ended";
  }

  /** The device is pulled out. */
  lose(): void {
    this.readyState = "ended";
    this.onended?.();
  }
}

export class FakeMicrophones {
  readonly tracks: FakeTrack[] = [];
  /** What the next requests fail with. */
  refusal: Extract<Opened, { ok: false }>["code"] | undefined;
  #held: (() => void)[] | undefined;

  /** The browser's question stays open until `answer`. */
  ask(): void {
    this.#held = [];
  }

  async answer(): Promise<void> {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const one of held) one();
    await settle();
  }

  open = async (deviceId?: string): Promise<Opened> => {
    if (this.#held) await new Promise<void>((resolve) => this.#held?.push(resolve));
    if (this.refusal) return { ok: false, code: this.refusal };
    const track = new FakeTrack(deviceId ?? "default");
    this.tracks.push(track);
    return { ok: true, stream: { getTracks: () => [track], getAudioTracks: () => [track] } as unknown as MediaStream };
  };

  /** Tracks that still listen. */
  get live(): FakeTrack[] {
    return this.tracks.filter((track) => track.readyState === "live");
  }
}

export class FakePeer implements Peer {
  connectionState: RTCPeerConnectionState = "new";
  onconnectionstatechange: ((event: Event) => unknown) | null = null;
  ontrack: ((event: RTCTrackEvent) => unknown) | null = null;
  /** What happened to it, in order. */
  readonly log: string[] = [];
  sending: unknown;
  rows: Record<string, unknown>[] = [];
  refusesAnswers = false;

  constructor(
    public config: RTCConfiguration,
    readonly number: number,
  ) {}

  addTransceiver(track: MediaStreamTrack | string, init?: RTCRtpTransceiverInit): { sender: RTCRtpSender } {
    this.log.push(`transceiver ${init?.direction}`);
    if (typeof track !== "string") this.sending = track;
    const replaceTrack = async (next: unknown): Promise<void> => void (this.sending = next);
    return { sender: { replaceTrack } as unknown as RTCRtpSender };
  }

  createOffer = async (options?: RTCOfferOptions): Promise<RTCSessionDescriptionInit> => {
    this.log.push(options?.iceRestart ? "restart offer" : "offer");
    return { type: "offer", sdp: `offer ${this.number}` };
  };

  setConfiguration(config: RTCConfiguration): void {
    // The browser refuses a change of this one.
    if (config.bundlePolicy !== this.config.bundlePolicy) throw new Error("another bundle policy");
    this.config = config;
    this.log.push("configured");
  }

  setLocalDescription = async (): Promise<void> => void this.log.push("local");

  async setRemoteDescription(description: RTCSessionDescriptionInit): Promise<void> {
    if (this.connectionState === "closed" || this.refusesAnswers) throw new Error("wrong state");
    this.log.push(`remote ${description.sdp}`);
  }

  async getStats(): Promise<RTCStatsReport> {
    return new Map(this.rows.map((row, n) => [String(n), row])) as unknown as RTCStatsReport;
  }

  close(): void {
    this.connectionState = "closed";
    this.log.push("closed");
  }

  go(state: RTCPeerConnectionState): void {
    this.connectionState = state;
    this.onconnectionstatechange?.(new Event("connectionstatechange"));
  }

  answers(): string[] {
    return this.log.filter((line) => line.startsWith("remote"));
  }
}

/** Every peer connection that was made, the newest last. */
export class Peers {
  readonly all: FakePeer[] = [];

  make = (config: RTCConfiguration): FakePeer => {
    const peer = new FakePeer(config, this.all.length + 1);
    this.all.push(peer);
    return peer;
  };

  get now(): FakePeer {
    const peer = this.all.at(-1);
    if (!peer) throw new Error("no connection was made");
    return peer;
  }
}

type Answer = { status?: number; body?: unknown; headers?: Record<string, string> };

/** The REST API: the real `Api` over a `fetch` that a test answers. */
export class FakeRest {
  readonly asked: { route: string; body: unknown }[] = [];
  online = true;
  #routes = new Map<string, () => Answer | Promise<Answer>>();
  readonly api = new Api({
    base: "https://help.example",
    fetch: (url, init) => this.#fetch(String(url), init),
    token: async () => "customer token",
    online: () => this.online,
  });

  on(route: string, answer: Answer | (() => Answer | Promise<Answer>)): void {
    this.#routes.set(route, typeof answer === "function" ? answer : () => answer);
  }

  routes(): string[] {
    return this.asked.map((one) => one.route);
  }

  async #fetch(url: string, init?: RequestInit): Promise<Response> {
    if (!this.online) throw new TypeError("Failed to fetch");
    const route = `${init?.method} ${new URL(url).pathname}`;
    this.asked.push({ route, body: init?.body ? JSON.parse(String(init.body)) : undefined });
    const { status = 200, body = {}, headers = {} } = (await this.#routes.get(route)?.()) ?? { status: 404 };
    return new Response(JSON.stringify(body), { status, headers });
  }
}

export const problem = (status: number, code: string, headers: Record<string, string> = {}): Answer => ({
  status,
  body: { type: "about:blank", title: code, status, code, requestId: "r" },
  headers,
});

/** A promise that a test settles when it likes. */
export function later<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve!: (value: T) => void;
  const promise = new Promise<T>((done) => (resolve = done));
  return { promise, resolve };
}

/** Lets everything run that waits for no timer. */
export const settle = (): Promise<unknown> => vi.advanceTimersByTimeAsync(0);

export const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);
