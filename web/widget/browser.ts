// The browser as the session needs it: devices, sound, storage, locks. The only file of the widget besides the views
// that touches globals.

import { Api } from "../shared/api.ts";
import { browserClock } from "../shared/clock.ts";
import { createMeter, listDevices, openMicrophone, type Meter } from "../shared/devices.ts";
import { watchNetwork } from "../shared/network.ts";
import type { Socket } from "../shared/signal.ts";
import { endTone, turnTone } from "../shared/tones.ts";
import { Session, type CallLock, type Customer, type Kept } from "./session.ts";

/** Of what is kept, of the lock and of the channel. */
const NAME = "helpline-call";
/** A tab that has the call answers a take-over within this time, or it is gone; milliseconds. */
const TAKE_OVER_MS = 1500;

/** What the element tells the session; the element that was connected last speaks. */
export interface Host {
  server: string;
  customer: Customer;
  getToken: (() => Promise<string | undefined>) | undefined;
  report: (event: string, detail: Record<string, string>) => void;
}

export const host: Host = {
  server: new URL(import.meta.url).origin,
  customer: { userId: "", email: "", name: "" },
  getToken: undefined,
  report: () => {},
};

let context: AudioContext | undefined;
let meter: Meter | undefined;
/** One for each track: a stream's own source listens to one of its tracks alone, whichever has the lowest id. */
const farMeters: Meter[] = [];

/** One audio context, made at a press so that it may run. */
function audio(): AudioContext {
  context ??= new AudioContext();
  if (context.state === "suspended") void context.resume();
  return context;
}

const output = typeof Audio === "undefined" ? undefined : new Audio();
const heard = typeof MediaStream === "undefined" ? undefined : new MediaStream();
let blocked = false;

function startOutput(): void {
  if (!output || !heard) return;
  output.srcObject = heard;
  output.play().then(
    () => {
      blocked = false;
      session.changed.emit();
    },
    () => {
      blocked = heard.getTracks().length > 0;
      session.changed.emit();
    },
  );
}

export const sound = {
  listen(stream: MediaStream | undefined): void {
    meter?.stop();
    meter = stream ? createMeter(audio(), stream) : undefined;
    // The closing tone may still sound.
    if (!stream) browserClock.after(1000, () => !meter && void context?.suspend());
  },
  play(track: MediaStreamTrack): void {
    heard?.addTrack(track);
    startOutput();
    farMeters.push(createMeter(audio(), new MediaStream([track])));
  },
  silence(): void {
    for (const track of heard?.getTracks() ?? []) heard?.removeTrack(track);
    for (const far of farMeters.splice(0)) far.stop();
    blocked = false;
    if (output) output.srcObject = null;
  },
  blocked: () => blocked,
  unblock: startOutput,
  speaker(id: string): void {
    void (output as (HTMLAudioElement & { setSinkId?: (id: string) => Promise<void> }) | undefined)
      ?.setSinkId?.(id)
      .catch(() => {});
  },
  mine: () => meter?.read() ?? 0,
  tone(kind: "turn" | "end"): void {
    (kind === "turn" ? turnTone : endTone)(audio());
  },
};

/** Loudness of the other side, 0 to 1. */
export const farLevel = (): number => Math.max(0, ...farMeters.map((far) => far.read()));

/** Web Locks keep the call in one tab, a BroadcastChannel moves it. */
function browserLock(): CallLock {
  const channel = typeof BroadcastChannel === "undefined" ? undefined : new BroadcastChannel(NAME);
  let free: (() => void) | undefined;
  let answered: ((kept: Kept) => void) | undefined;
  const lock: CallLock = {
    acquire() {
      if (free || !navigator.locks) return Promise.resolve(true);
      return new Promise((resolve) => {
        void navigator.locks.request(NAME, { ifAvailable: true }, (held) => {
          resolve(held !== null);
          return held ? new Promise<void>((done) => (free = done)) : undefined;
        });
      });
    },
    release() {
      free?.();
      free = undefined;
    },
    takeOver() {
      return new Promise((resolve) => {
        const cancel = browserClock.after(TAKE_OVER_MS, () => resolve(undefined));
        answered = (kept) => {
          cancel();
          // The other tab frees its lock in the turn in which it answers.
          browserClock.after(100, () => resolve(kept));
        };
        channel?.postMessage({ ask: true });
      });
    },
    onask: () => undefined,
  };
  if (channel) {
    channel.onmessage = ({ data }: MessageEvent<{ ask?: true; kept?: Kept }>) => {
      if (data.kept) {
        answered?.(data.kept);
        answered = undefined;
      } else if (data.ask) {
        const kept = lock.onask();
        if (kept) channel.postMessage({ kept });
      }
    };
  }
  return lock;
}

const keep = {
  read(): Kept | undefined {
    try {
      const text = sessionStorage.getItem(NAME);
      return text ? (JSON.parse(text) as Kept) : undefined;
    } catch {
      // Storage is forbidden here: a reload then ends the call after its grace.
      return undefined;
    }
  },
  write(kept: Kept | undefined): void {
    try {
      if (kept) sessionStorage.setItem(NAME, JSON.stringify(kept));
      else sessionStorage.removeItem(NAME);
    } catch {
      // As above.
    }
  },
};

const media = (): MediaDevices | undefined => navigator.mediaDevices as MediaDevices | undefined;

/** The one call of this page. */
export const session: Session = new Session({
  clock: browserClock,
  random: Math.random,
  api: () =>
    new Api({
      base: host.server,
      fetch: (...args) => fetch(...args),
      token: async () => host.getToken?.(),
      online: () => navigator.onLine,
    }),
  customer: () => host.customer,
  connect: (url) => new WebSocket(url) as unknown as Socket,
  peer: (config) => new RTCPeerConnection(config),
  openMicrophone: (id) =>
    typeof RTCPeerConnection === "undefined"
      ? Promise.resolve({ ok: false, code: "unsupported_browser" })
      : openMicrophone(media(), isSecureContext, id),
  listDevices: () => listDevices(media()),
  lock: browserLock(),
  keep,
  sound,
  report: (event, detail) => host.report(event, detail),
});

/** Hooks the page's own events; called once, when the element is defined. */
export function watchPage(): void {
  watchNetwork(() => session.networkChanged());
  addEventListener("offline", () => session.offline());
  addEventListener("beforeunload", (event) => {
    if (session.phase.at === "talking" || session.phase.at === "connecting") event.preventDefault();
  });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) session.online();
  });
  media()?.addEventListener?.("devicechange", () => void session.devicesChanged());
}
