// The TURN relay of a server under test: how it is reached, what it holds, and pages that may use nothing else.
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { reachable } from "./netlab.ts";
import { rest, type Server } from "./server.ts";

/** How a client reaches the relay. */
export type Way = "udp" | "tcp" | "tls";

/** What the call's record says of each side's way. */
export interface Line {
  part: string;
  path: "direct" | `turn-${Way}`;
}

interface Allocation {
  id: string;
  callId?: string;
  part?: string;
  via: Way;
  packetsUp: number;
  packetsDown: number;
}

/** Settings for a relay with TLS that browsers of this machine reach, and the key that they must be told to trust. */
export function relaySettings(folder: string): { env: Record<string, string>; spki: string } {
  const host = reachable();
  const [certificate, key] = [join(folder, "turn.crt"), join(folder, "turn.key")];
  const request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  const names = ["-subj", `/CN=${host}`, "-addext", `subjectAltName=IP:${host}`];
  execFileSync("openssl", [...request, ...names, "-keyout", key, "-out", certificate], { stdio: "ignore" });
  const public_ = execFileSync("openssl", ["x509", "-in", certificate, "-pubkey", "-noout"]);
  const der = execFileSync("openssl", ["pkey", "-pubin", "-outform", "der"], { input: public_ });
  const hash = execFileSync("openssl", ["dgst", "-sha256", "-binary"], { input: der });
  return {
    env: {
      HELPLINE_TURN_PUBLIC_HOST: host,
      HELPLINE_TURN_TLS_CERTIFICATE: certificate,
      HELPLINE_TURN_TLS_KEY: key,
    },
    spki: hash.toString("base64"),
  };
}

/**
 * The longest start of UDP over TCP that can be set. A browser keeps to what it is connected by first, so on a busy machine
 * the ordinary one leaves it to chance which way a call takes.
 */
export const udpFirst = { HELPLINE_TURN_LIMITS_HEAD_START_MS: "3000" };

/** The relay's allocations, as an admin sees them. */
export async function allocations(server: Server): Promise<Allocation[]> {
  const state = await rest<{ on: boolean; allocations: Allocation[] }>(server, "GET", "/api/support/relay");
  if (!state.on) throw new Error("the server has no relay");
  return state.allocations;
}

/** Runs in the page: nothing but the relay may be used, and over UDP it is reached by another port of this machine. */
export function installRelayDetour(port: number): void {
  const detour = (url: string): string =>
    url.replace(/^turn:.*transport=udp$/, `turn:127.0.0.1:${String(port)}?transport=udp`);
  const narrow = (configuration?: RTCConfiguration): RTCConfiguration => ({
    ...configuration,
    iceTransportPolicy: "relay",
    iceServers: (configuration?.iceServers ?? []).map((server) => ({
      ...server,
      urls: [server.urls].flat().map(detour),
    })),
  });
  const Native = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Native {
    constructor(configuration?: RTCConfiguration) {
      super(narrow(configuration));
    }
    override setConfiguration(configuration?: RTCConfiguration): void {
      super.setConfiguration(narrow(configuration));
    }
  };
}

/** Runs in the page: of the servers that it is told one way through the relay is left, and nothing else may be used. */
export function installOnlyRelay(way: Way): void {
  const [scheme, transport] = way === "tls" ? ["turns:", "tcp"] : ["turn:", way];
  const wanted = (url: string): boolean => url.startsWith(scheme) && url.endsWith(`transport=${transport}`);
  const narrow = (configuration?: RTCConfiguration): RTCConfiguration => ({
    ...configuration,
    iceTransportPolicy: "relay",
    iceServers: (configuration?.iceServers ?? []).flatMap((server) => {
      const urls = [server.urls].flat().filter(wanted);
      return urls.length > 0 ? [{ ...server, urls }] : [];
    }),
  });
  const Native = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Native {
    constructor(configuration?: RTCConfiguration) {
      super(narrow(configuration));
    }
    override setConfiguration(configuration?: RTCConfiguration): void {
      super.setConfiguration(narrow(configuration));
    }
  };
}
