// Microphones and speakers: opening, choosing, naming what went wrong.
//
// `navigator.mediaDevices` is handed in, so that tests can deny it. The choice is remembered by the caller.

/** Why there is no microphone; each has a sentence in the translations. */
export type MicrophoneFailure = "mic_denied" | "mic_missing" | "mic_busy" | "insecure_context" | "unsupported_browser";

export type Opened = { ok: true; stream: MediaStream } | { ok: false; code: MicrophoneFailure };

export interface Device {
  id: string;
  label: string;
}

/** Opens a microphone; falls back to any other when the wished one is gone. */
export async function openMicrophone(
  media: MediaDevices | undefined,
  secure: boolean,
  deviceId?: string,
): Promise<Opened> {
  if (!media?.getUserMedia) return { ok: false, code: secure ? "unsupported_browser" : "insecure_context" };
  const processing = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };
  try {
    const audio = deviceId ? { ...processing, deviceId: { exact: deviceId } } : processing;
    return { ok: true, stream: await media.getUserMedia({ audio }) };
  } catch (error) {
    const code = microphoneFailure(error);
    if (deviceId && code === "mic_missing") return openMicrophone(media, secure);
    return { ok: false, code };
  }
}

/** Maps the names of `getUserMedia`'s errors to ours. */
export function microphoneFailure(error: unknown): MicrophoneFailure {
  switch ((error as { name?: string } | undefined)?.name) {
    case "NotAllowedError":
    case "SecurityError":
      return "mic_denied";
    case "NotFoundError":
    case "OverconstrainedError":
      return "mic_missing";
    case "NotReadableError":
    case "AbortError":
      return "mic_busy";
    default:
      return "unsupported_browser";
  }
}

/** Closes a microphone for good; nobody is told that it ended. */
export function stop(stream: MediaStream): void {
  for (const track of stream.getTracks()) {
    track.onended = null;
    track.stop();
  }
}

export interface DeviceList {
  microphones: Device[];
  speakers: Device[];
}

/** The devices by name; only complete once the microphone was allowed. */
export async function listDevices(media: MediaDevices | undefined): Promise<DeviceList> {
  const all = (await media?.enumerateDevices().catch(() => [])) ?? [];
  const pick = (kind: MediaDeviceKind): Device[] =>
    all
      .filter((device) => device.kind === kind && device.deviceId !== "" && device.label !== "")
      .map((device) => ({ id: device.deviceId, label: device.label }));
  return { microphones: pick("audioinput"), speakers: pick("audiooutput") };
}

/** Steps of a level meter. */
export const LEVEL_STEPS = 10;
/** Loudness that shows nothing, dBFS: a quiet room. */
const FLOOR_DB = -60;
/** Loudness that fills the meter, dBFS: a near, loud voice. */
const CEILING_DB = -12;

/** 0 to 1 for the mean square of samples, on a scale of loudness. */
export function loudness(samples: Float32Array): number {
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  const db = 10 * Math.log10(sum / Math.max(1, samples.length) + 1e-12);
  return Math.min(1, Math.max(0, (db - FLOOR_DB) / (CEILING_DB - FLOOR_DB)));
}

/** Reads the loudness of a stream now; `stop` frees it. */
export interface Meter {
  read(): number;
  stop(): void;
}

export function createMeter(context: AudioContext, stream: MediaStream): Meter {
  const source = context.createMediaStreamSource(stream);
  const analyser = context.createAnalyser();
  analyser.fftSize = 1024;
  source.connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  return {
    read: () => {
      analyser.getFloatTimeDomainData(samples);
      return loudness(samples);
    },
    stop: () => source.disconnect(),
  };
}
