// The browser as a supervisor needs it: sound of a call, a microphone while he speaks, silence while he does not.

import { browserClock } from "../../../shared/clock.ts";
import { createMeter, openMicrophone, type Meter } from "../../../shared/devices.ts";
import type { Socket } from "../../../shared/signal.ts";
import { Output } from "../../output.ts";
import { api } from "../../state.ts";
import { Supervision } from "./supervision.ts";

let context: AudioContext | undefined;
let mine: Meter | undefined;

function audio(): AudioContext {
  context ??= new AudioContext();
  if (context.state === "suspended") void context.resume();
  return context;
}

const output = new Output(audio);

/** Loudness of the call as it is heard here, 0 to 1. */
export const callLevel = (): number => output.level();
/** Loudness of one's own microphone, 0 while it is closed. */
export const ownLevel = (): number => mine?.read() ?? 0;

export function createSupervision(): Supervision {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  return new Supervision({
    api,
    clock: browserClock,
    random: Math.random,
    signalUrl: `${scheme}://${location.host}/ws`,
    connect: (url) => new WebSocket(url) as unknown as Socket,
    peer: (config) => new RTCPeerConnection(config),
    openMicrophone: () => openMicrophone(navigator.mediaDevices as MediaDevices | undefined, isSecureContext),
    silentTrack: () => audio().createMediaStreamDestination().stream.getAudioTracks()[0]!,
    sound: {
      unlock: () => void audio(),
      play: (track) => output.play(track),
      silence: () => output.silence(),
      listen(stream) {
        mine?.stop();
        mine = stream ? createMeter(audio(), stream) : undefined;
      },
    },
  });
}
