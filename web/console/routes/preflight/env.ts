// The browser as a line test needs it: microphone, peer connection, requests. The only file of the page besides its view
// that touches globals.

import { Api } from "../../../shared/api.ts";
import { browserClock } from "../../../shared/clock.ts";
import { createMeter, listDevices, openMicrophone, stop, type Meter } from "../../../shared/devices.ts";
import type { CandidateKind } from "../../../shared/gen/CandidateKind.ts";
import type { IceServer } from "../../../shared/gen/IceServer.ts";
import type { PreflightCandidates } from "../../../shared/gen/PreflightCandidates.ts";
import type { PreflightPath } from "../../../shared/gen/PreflightPath.ts";
import type { PreflightStarted } from "../../../shared/gen/PreflightStarted.ts";
import { read } from "../../../shared/quality.ts";
import { browserName } from "./browser.ts";
import type { Connected, Echo, Env } from "./test.ts";

/** Longest wait for a WebSocket to open, milliseconds. */
const SOCKET_TIMEOUT_MS = 6_000;
/** Longest wait for candidates, milliseconds: a STUN server that does not answer by then is not reached. */
const GATHER_TIMEOUT_MS = 4_000;
/** Longest wait for an answer to the offer, milliseconds. */
const OFFER_TIMEOUT_MS = 10_000;
/** Loudness of one's own voice in one's ears: to be heard, and not to come back through the microphone. */
const ECHO_VOLUME = 0.7;

/** `link`: the token of a visitor; staff and customers have a cookie. */
export function browserEnv(link: string | undefined): Env {
  let context: AudioContext | undefined;
  let stream: MediaStream | undefined;
  let mine: Meter | undefined;
  let back: Meter | undefined;
  let peer: RTCPeerConnection | undefined;
  let resource: { path: string; grant: string } | undefined;
  const output = new Audio();
  output.volume = ECHO_VOLUME;

  const audio = (): AudioContext => {
    context ??= new AudioContext();
    if (context.state === "suspended") void context.resume();
    return context;
  };
  const api = new Api({ base: "", fetch: (...args) => fetch(...args), online: () => navigator.onLine });

  const hear = (track: MediaStreamTrack): void => {
    const heard = new MediaStream([track]);
    // Without an element that plays the same stream Chromium gives the meter nothing.
    output.srcObject = heard;
    void output.play().catch(() => {});
    back?.stop();
    back = createMeter(audio(), heard);
  };

  const attach = async (started: PreflightStarted, sdp: string): Promise<{ sdp: string } | { code: string }> => {
    try {
      const reply = await fetch("/api/rtc", {
        method: "POST",
        headers: { "Content-Type": "application/sdp", Authorization: `Bearer ${started.leg.grant}` },
        body: sdp,
        signal: AbortSignal.timeout(OFFER_TIMEOUT_MS),
      });
      if (!reply.ok) return { code: (await codeOf(reply)) ?? "offer_refused" };
      const path = reply.headers.get("Location");
      if (path) resource = { path, grant: started.leg.grant };
      return { sdp: await reply.text() };
    } catch {
      return { code: navigator.onLine ? "unreachable" : "offline" };
    }
  };

  const connect = async (started: PreflightStarted, timeoutMs: number): Promise<Connected> => {
    const track = stream?.getAudioTracks()[0];
    if (!track) return { ok: false, code: "mic_missing" };
    const made = new RTCPeerConnection({
      iceServers: servers(started.leg.iceServers),
      // A deployment whose media ports nobody reaches tests its relay.
      iceTransportPolicy: started.leg.iceTransportPolicy ?? "all",
      bundlePolicy: "max-bundle",
    });
    peer = made;
    made.ontrack = (event) => hear(event.track);
    made.addTransceiver(track, { direction: "sendrecv" });
    await made.setLocalDescription(await made.createOffer());
    const began = performance.now();
    const answer = await attach(started, made.localDescription?.sdp ?? "");
    if ("code" in answer) return { ok: false, code: answer.code };
    const answered = performance.now();
    const up = reaches(made, timeoutMs);
    await made.setRemoteDescription({ type: "answer", sdp: answer.sdp });
    const reached = await up;
    if ("code" in reached) return { ok: false, code: reached.code };
    const echo: Echo = {
      iceMs: reached.path - answered,
      dtlsMs: reached.keys - reached.path,
      ...(await chosen(made)),
      read: async () => {
        const rows = await made.getStats().catch(() => undefined);
        return rows ? read(rows.values() as Iterable<Record<string, unknown>>, performance.now()) : undefined;
      },
      level: () => back?.read() ?? 0,
    };
    return { ok: true, signallingMs: answered - began, echo };
  };

  return {
    clock: browserClock,
    secure: () => isSecureContext,
    async openMicrophone(id) {
      if (typeof RTCPeerConnection === "undefined") return { ok: false, code: "unsupported_browser" };
      const opened = await openMicrophone(
        navigator.mediaDevices as MediaDevices | undefined,
        isSecureContext,
        id || undefined,
      );
      if (opened.ok) {
        mine?.stop();
        if (stream) stop(stream);
        stream = opened.stream;
        mine = createMeter(audio(), opened.stream);
      }
      return opened;
    },
    microphones: async () => (await listDevices(navigator.mediaDevices)).microphones,
    level: () => mine?.read() ?? 0,
    start: () => api.post<PreflightStarted>("/api/support/preflight", link ? { link } : {}),
    socket: () => opens(new URL("/ws", location.href.replace(/^http/, "ws")).href),
    candidates: (list) => gather(servers(list)),
    relay: (list, timeoutMs) => relays(servers(list), timeoutMs),
    connect,
    report: (started, report) =>
      new Api({ base: "", fetch: (...args) => fetch(...args), token: async () => started.leg.grant }).post(
        `/api/support/preflight/${started.preflightId}/report`,
        report,
      ),
    close() {
      if (resource) {
        const { path, grant } = resource;
        const headers = { Authorization: `Bearer ${grant}` };
        void fetch(path, { method: "DELETE", headers, keepalive: true }).catch(() => {});
      }
      peer?.close();
      mine?.stop();
      back?.stop();
      if (stream) stop(stream);
      output.srcObject = null;
      void context?.suspend();
      resource = peer = mine = back = stream = undefined;
    },
    browser: () => browserName(navigator.userAgent),
  };
}

const servers = (list: readonly IceServer[]): RTCIceServer[] =>
  list.map((server) => ({
    urls: server.urls,
    ...(server.username ? { username: server.username } : {}),
    ...(server.credential ? { credential: server.credential } : {}),
  }));

async function codeOf(reply: Response): Promise<string | undefined> {
  const problem = (await reply.json().catch(() => undefined)) as { code?: string } | undefined;
  return problem?.code;
}

/** True once a WebSocket is open; nothing is said on it. */
function opens(url: string): Promise<boolean> {
  return new Promise((done) => {
    const socket = new WebSocket(url);
    const end = (open: boolean): void => {
      cancel();
      socket.onopen = socket.onerror = socket.onclose = null;
      socket.close();
      done(open);
    };
    const cancel = browserClock.after(SOCKET_TIMEOUT_MS, () => end(false));
    socket.onopen = () => end(true);
    socket.onerror = socket.onclose = () => end(false);
  });
}

/** Counts the candidates that this browser finds, by type. */
async function gather(iceServers: RTCIceServer[]): Promise<PreflightCandidates> {
  const found: PreflightCandidates = { host: 0, mdns: 0, srflx: 0, relay: 0 };
  const probe = new RTCPeerConnection({ iceServers });
  const over = new Promise<void>((done) => {
    const cancel = browserClock.after(GATHER_TIMEOUT_MS, done);
    probe.onicecandidate = ({ candidate }) => {
      if (!candidate) {
        cancel();
        return done();
      }
      if (candidate.type === "srflx" || candidate.type === "relay") found[candidate.type]++;
      else if (candidate.type === "host") found[candidate.address?.endsWith(".local") ? "mdns" : "host"]++;
    };
  });
  probe.addTransceiver("audio", { direction: "recvonly" });
  await probe.setLocalDescription(await probe.createOffer());
  await over;
  probe.close();
  return found;
}

/** True once one of these relays has given an address; closing the connection gives it back. */
async function relays(iceServers: RTCIceServer[], timeoutMs: number): Promise<boolean> {
  const probe = new RTCPeerConnection({ iceServers, iceTransportPolicy: "relay" });
  try {
    const found = new Promise<boolean>((done) => {
      const end = (given: boolean): void => {
        cancel();
        probe.onicecandidate = probe.onicegatheringstatechange = null;
        done(given);
      };
      const cancel = browserClock.after(timeoutMs, () => end(false));
      probe.onicecandidate = ({ candidate }) => {
        if (candidate?.type === "relay") end(true);
      };
      // Every server has refused or was found dead: no reason to wait on.
      probe.onicegatheringstatechange = () => {
        if (probe.iceGatheringState === "complete") end(false);
      };
    });
    probe.addTransceiver("audio", { direction: "recvonly" });
    await probe.setLocalDescription(await probe.createOffer());
    return await found;
  } finally {
    probe.close();
  }
}

/** When the path and the keys were there, or which of them never came. */
function reaches(
  peer: RTCPeerConnection,
  timeoutMs: number,
): Promise<{ path: number; keys: number } | { code: string }> {
  return new Promise((done) => {
    let path: number | undefined;
    const end = (reached: { path: number; keys: number } | { code: string }): void => {
      cancel();
      peer.oniceconnectionstatechange = peer.onconnectionstatechange = null;
      done(reached);
    };
    const failed = (): void => end({ code: path === undefined ? "ice_failed" : "dtls_failed" });
    const cancel = browserClock.after(timeoutMs, failed);
    const look = (): void => {
      const ice = peer.iceConnectionState;
      if (path === undefined && (ice === "connected" || ice === "completed")) path = performance.now();
      if (peer.connectionState === "connected") end({ path: path ?? performance.now(), keys: performance.now() });
      else if (peer.connectionState === "failed") failed();
    };
    peer.oniceconnectionstatechange = peer.onconnectionstatechange = look;
    look();
  });
}

/** How our end of the path is reached, and what packets travel over. */
async function chosen(
  peer: RTCPeerConnection,
): Promise<{ local: CandidateKind | undefined; path: PreflightPath | undefined }> {
  const rows = [...((await peer.getStats()).values() as Iterable<Record<string, unknown>>)];
  // A pair is in use a moment before it is called nominated; Chromium's transport knows it, Firefox marks the pair.
  const used = rows.find((row) => row["type"] === "transport")?.["selectedCandidatePairId"];
  const pairs = rows.filter((row) => row["type"] === "candidate-pair");
  const pair =
    pairs.find((row) => used !== undefined && row["id"] === used) ??
    pairs.find((row) => row["selected"] === true || row["nominated"] === true) ??
    pairs.find((row) => row["state"] === "succeeded");
  const local = rows.find((row) => row["type"] === "local-candidate" && row["id"] === pair?.["localCandidateId"]);
  const kinds: readonly CandidateKind[] = ["host", "srflx", "prflx", "relay"];
  const paths: readonly PreflightPath[] = ["udp", "tcp", "tls"];
  return {
    local: kinds.find((kind) => kind === local?.["candidateType"]),
    path: paths.find((path) => path === (local?.["relayProtocol"] || local?.["protocol"])),
  };
}
