// An ear in a page: what its peer connections receive, as samples. The same for every browser.

/** A page of whatever driver: it runs a function inside. */
export interface Listener {
  evaluate(run: (ms: number) => Promise<Caught>, ms: number): Promise<Caught>;
}

/** A page that can be asked about its codec. */
export interface Teller {
  evaluate(run: () => Promise<Codec>): Promise<Codec>;
}

/** What the sound arrives in. */
export interface Codec {
  mimeType: string;
  payloadType: number;
}

/** What leaves the page: mono 16-bit samples in base64. */
interface Caught {
  rate: number;
  /** When the first sample came, by the wall clock, milliseconds. */
  at: number;
  base64: string;
}

/** Runs in the page: keeps every peer connection, turns processing off, and hears remote tracks on demand. */
export function installEar(): void {
  const scope = window as unknown as {
    __ear: { peers: RTCPeerConnection[]; samples: number[]; rate: number; stop?: () => void };
  };
  scope.__ear = { peers: [], samples: [], rate: 0 };
  const Native = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Native {
    constructor(configuration?: RTCConfiguration) {
      super(configuration);
      scope.__ear.peers.push(this);
    }
  };
  // Echo cancellation and noise suppression would be measured instead of the line.
  const devices = navigator.mediaDevices as MediaDevices | undefined;
  // A page that is not secure, such as about:blank, has none.
  if (!devices) return;
  const ask = devices.getUserMedia.bind(devices);
  devices.getUserMedia = (constraints) => {
    const plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    const audio = constraints?.audio === true ? plain : { ...(constraints?.audio || {}), ...plain };
    return ask({ ...constraints, audio });
  };
}

/** What was heard: mono, 16 bits. */
export interface Heard {
  samples: Int16Array;
  rate: number;
  /** When the first sample came, by the wall clock, milliseconds. */
  at: number;
}

/** Least share of the time that it listens in which samples must come: of less nothing can be said. */
const CAUGHT_MIN = 0.5;

/** Hears what the page receives for `ms`, as 16-bit samples. */
export async function hear(page: Listener, ms: number): Promise<Heard> {
  const heard = await page.evaluate(async (duration) => {
    const ear = (window as unknown as { __ear: { peers: RTCPeerConnection[] } }).__ear;
    const live = ear.peers.filter((peer) => peer.connectionState === "connected").at(-1);
    // All of them: whoever has left a call leaves a silent track behind.
    const tracks = (live?.getReceivers() ?? [])
      .map((receiver) => receiver.track)
      .filter((candidate) => candidate.kind === "audio" && candidate.readyState === "live" && !candidate.muted);
    if (tracks.length === 0)
      throw new Error(`no live remote track; peers: ${ear.peers.map((p) => p.connectionState).join(",")}`);
    const stream = new MediaStream(tracks);
    // Without an element that plays the same stream Chromium hands the graph pure zeros.
    const element = new Audio();
    element.srcObject = stream;
    element.muted = true;
    await element.play();
    const context = new AudioContext({ sampleRate: 48_000 });
    await context.resume();
    const sources = tracks.map((track) => context.createMediaStreamSource(new MediaStream([track])));
    const tap = context.createScriptProcessor(4096, 1, 1);
    const blocks: Float32Array[] = [];
    let began = 0;
    tap.onaudioprocess = (event) => {
      began ||= Date.now() - event.inputBuffer.duration * 1000;
      blocks.push(event.inputBuffer.getChannelData(0).slice());
    };
    for (const source of sources) source.connect(tap);
    tap.connect(context.destination);
    await new Promise((done) => setTimeout(done, duration));
    tap.disconnect();
    for (const source of sources) source.disconnect();
    const rate = context.sampleRate;
    await context.close();
    const total = blocks.reduce((sum, block) => sum + block.length, 0);
    const bytes = new Uint8Array(total * 2);
    const view = new DataView(bytes.buffer);
    let at = 0;
    for (const block of blocks) {
      for (const value of block) {
        view.setInt16(at, Math.max(-1, Math.min(1, value)) * 32_767, true);
        at += 2;
      }
    }
    let text = "";
    for (let from = 0; from < bytes.length; from += 32_768) {
      text += String.fromCharCode(...bytes.subarray(from, from + 32_768));
    }
    return { rate, at: began, base64: btoa(text) };
  }, ms);
  const bytes = Buffer.from(heard.base64, "base64");
  const caughtMs = (bytes.length / 2 / heard.rate) * 1000;
  if (!(caughtMs >= ms * CAUGHT_MIN)) throw new Error(`of ${ms} ms only ${caughtMs.toFixed()} were caught`);
  return {
    rate: heard.rate,
    at: heard.at,
    samples: new Int16Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length)),
  };
}

/** The codec in which the page receives, by its own statistics. */
export function codecOf(page: Teller): Promise<Codec> {
  return page.evaluate(async () => {
    const ear = (window as unknown as { __ear: { peers: RTCPeerConnection[] } }).__ear;
    const live = ear.peers.filter((peer) => peer.connectionState === "connected").at(-1);
    if (!live) throw new Error(`no connection; peers: ${ear.peers.map((p) => p.connectionState).join(",")}`);
    const rows = await live.getStats();
    let codec: string | undefined;
    rows.forEach((row) => {
      if (row.type === "inbound-rtp" && row.packetsReceived > 0) codec = row.codecId;
    });
    const { mimeType, payloadType } = rows.get(codec ?? "") as Codec;
    return { mimeType, payloadType };
  });
}
