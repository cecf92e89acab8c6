// The TURN relay of a server under test: how it is reached, what it holds, and pages that may use nothing else.
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { isIP } from "node:net";
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

/**
 * Settings for a relay with TLS that browsers of this machine reach; its certificate is signed by `authority`, a file, and
 * `spki` is the key in it, for a browser that is told of keys. `host`: its name or address.
 */
export function relaySettings(
  folder: string,
  host = reachable(),
): { env: Record<string, string>; spki: string; authority: string } {
  const file = (name: string): string => join(folder, name);
  const openssl = (...words: string[]): void => void execFileSync("openssl", words, { stdio: "ignore" });
  const fresh = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  const [authority, certificate, key] = [file("authority.crt"), file("turn.crt"), file("turn.key")];
  const signer = file("authority.key");
  openssl("req", "-x509", ...fresh, "-days", "2", "-subj", "/CN=Relay test", "-keyout", signer, "-out", authority);
  openssl("req", "-new", ...fresh, "-subj", `/CN=${host}`, "-keyout", key, "-out", file("turn.csr"));
  writeFileSync(
    file("turn.ext"),
    `subjectAltName=${isIP(host) ? "IP" : "DNS"}:${host}\nbasicConstraints=critical,CA:FALSE\n`,
  );
  const by = ["-CA", authority, "-CAkey", signer, "-set_serial", "2", "-days", "2", "-extfile", file("turn.ext")];
  openssl("x509", "-req", "-in", file("turn.csr"), ...by, "-out", certificate);
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
    authority,
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
