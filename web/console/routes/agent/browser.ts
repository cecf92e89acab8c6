// The browser as the desk needs it: devices, sound, ring, notification, title.

import { browserClock } from "../../../shared/clock.ts";
import { createMeter, listDevices, openMicrophone, type Meter } from "../../../shared/devices.ts";
import type { Me } from "../../../shared/gen/Me.ts";
import type { Offer } from "../../../shared/gen/Offer.ts";
import { watchNetwork } from "../../../shared/network.ts";
import type { Socket } from "../../../shared/signal.ts";
import { endTone, ring } from "../../../shared/tones.ts";
import { Output } from "../../output.ts";
import { api } from "../../state.ts";
import { Desk } from "./desk.ts";
import { offerTitle } from "./offer.tsx";

const media = (): MediaDevices | undefined => navigator.mediaDevices as MediaDevices | undefined;

let context: AudioContext | undefined;
let mine: Meter | undefined;
let stopRing: (() => void) | undefined;
const output = new Output(audio);

function audio(): AudioContext {
  context ??= new AudioContext();
  if (context.state === "suspended") void context.resume();
  return context;
}

const sound = {
  unlock(): void {
    audio();
    // Asked at the same press; a refusal only means that the page rings alone.
    if ("Notification" in window && Notification.permission === "default") void Notification.requestPermission();
  },
  listen(stream: MediaStream | undefined): void {
    mine?.stop();
    mine = stream ? createMeter(audio(), stream) : undefined;
  },
  play: (track: MediaStreamTrack) => output.play(track),
  silence: () => output.silence(),
  mine: () => mine?.read() ?? 0,
  ring(on: boolean): void {
    stopRing?.();
    stopRing = on ? ring(audio()) : undefined;
  },
  end: () => endTone(audio()),
  speaker: (id: string) => output.device(id),
};

/** Loudness of the customer, 0 to 1. */
export const farLevel = (): number => output.level();

let notification: Notification | undefined;
const title = document.title;

function announce(offer: Offer | undefined): void {
  notification?.close();
  notification = undefined;
  document.title = offer ? `☎ ${offerTitle(offer)}` : title;
  if (!offer || !document.hidden || !("Notification" in window) || Notification.permission !== "granted") return;
  notification = new Notification(offerTitle(offer), {
    body: offer.queue,
    tag: offer.offerId,
    requireInteraction: true,
  });
  notification.onclick = () => {
    focus();
    notification?.close();
  };
}

export function createDesk(me: Me): Desk {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  return new Desk({
    clock: browserClock,
    random: Math.random,
    api,
    me,
    signalUrl: `${scheme}://${location.host}/ws`,
    connect: (url) => new WebSocket(url) as unknown as Socket,
    peer: (config) => new RTCPeerConnection(config),
    openMicrophone: (id) => openMicrophone(media(), isSecureContext, id),
    listDevices: () => listDevices(media()),
    visible: () => !document.hidden,
    sound,
    announce,
  });
}

/** Connects the page's events with the desk; the result takes them away again. */
export function watchPage(desk: Desk): () => void {
  const abort = new AbortController();
  const { signal } = abort;
  watchNetwork(() => desk.networkChanged(), { signal });
  addEventListener("offline", () => desk.offline(), { signal });
  document.addEventListener("visibilitychange", () => !document.hidden && desk.online(), { signal });
  media()?.addEventListener?.("devicechange", () => void desk.voice.devicesChanged(), { signal });
  addEventListener(
    "beforeunload",
    (event) => {
      if (desk.stage.at === "talking" || desk.stage.at === "connecting") event.preventDefault();
    },
    { signal },
  );
  return () => abort.abort();
}

/** The desk of a browser stands in one tab; others look on. Resolves false when another tab has it. */
export function takeDesk(): Promise<{ taken: boolean; release: () => void }> {
  if (!navigator.locks) return Promise.resolve({ taken: true, release: () => {} });
  return new Promise((resolve) => {
    void navigator.locks.request("helpline-agent", { ifAvailable: true }, (lock) => {
      if (!lock) {
        resolve({ taken: false, release: () => {} });
        return undefined;
      }
      return new Promise<void>((release) => resolve({ taken: true, release }));
    });
  });
}
