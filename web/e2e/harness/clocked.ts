// Voices that follow the wall clock: whatever page speaks and whenever it was loaded, at a given moment a person says the
// same. So a shift of what was heard or recorded shows, over a reload too.

/** Runs in the page: the microphone is a WAV file in a loop, its place that of the wall clock. */
export function installClockedMicrophone(base64: string): void {
  const devices = navigator.mediaDevices as MediaDevices | undefined;
  // A page that is not secure, such as about:blank, has none.
  if (!devices) return;
  devices.getUserMedia = async () => {
    const context = new AudioContext({ sampleRate: 48_000 });
    await context.resume();
    const bytes = Uint8Array.from(atob(base64), (one) => one.charCodeAt(0));
    const buffer = await context.decodeAudioData(bytes.buffer);
    const source = new AudioBufferSourceNode(context, { buffer, loop: true });
    const out = context.createMediaStreamDestination();
    source.connect(out);
    // The context's clock moves in blocks: the moment at which it has just moved is the one where it is furthest ahead.
    const wall = (): number => (performance.timeOrigin + performance.now()) / 1000;
    let ahead = -Infinity;
    for (let n = 0; n < 40; n++) {
      ahead = Math.max(ahead, context.currentTime - wall());
      await new Promise((done) => setTimeout(done, 3));
    }
    const from = wall() + 0.05;
    source.start(from + ahead, from % buffer.duration);
    return out.stream;
  };
}

interface Scope {
  __ear: { peers: RTCPeerConnection[] };
  __first?: number;
}

/** Runs in the page: notes when it first plays sound that it was sent, by the wall clock. */
export function installFirstSound(): void {
  const scope = window as unknown as Scope;
  const look = async (): Promise<void> => {
    for (const peer of scope.__ear.peers) {
      const rows = await peer.getStats();
      rows.forEach((row) => {
        if (row.type === "inbound-rtp" && row.totalAudioEnergy > 1e-4) scope.__first ??= Date.now();
      });
    }
    if (scope.__first === undefined) setTimeout(() => void look(), 20);
  };
  void look();
}

/** When the page first played sound since it was loaded; undefined before that. */
export const firstSound = (): number | undefined => (window as unknown as Scope).__first;
