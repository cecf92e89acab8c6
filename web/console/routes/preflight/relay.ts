// The ways to the relay: which of them a server offers, and what is made of the answers. Without DOM.

import type { IceServer } from "../../../shared/gen/IceServer.ts";
import type { PreflightRelay } from "../../../shared/gen/PreflightRelay.ts";
import type { PreflightResult } from "../../../shared/gen/PreflightResult.ts";

/** In the order in which they are shown: the best for sound first. */
export const WAYS = ["udp", "tcp", "tls"] as const;
export type Way = (typeof WAYS)[number];

/** Ports of a URL without one (RFC 7065 §3.1). */
const PORT = 3478;
const PORT_TLS = 5349;

/**
 * The way of a TURN URL; undefined for STUN and for DTLS, which browsers do not speak to a relay.
 *
 * Source: RFC 7065 §3.1 and §3.2: without `transport`, `turn:` is UDP and `turns:` is TLS over TCP.
 */
export function wayOf(url: string): Way | undefined {
  const [, scheme, query] = /^(turns?):[^?]*(?:\?transport=(\w+))?$/i.exec(url) ?? [];
  if (!scheme) return undefined;
  const transport = query?.toLowerCase();
  if (scheme.toLowerCase() === "turns") return transport === "udp" ? undefined : "tls";
  return transport === "tcp" ? "tcp" : transport === undefined || transport === "udp" ? "udp" : undefined;
}

/** Of these servers what is reached by one way; empty where none is. */
export function asked(servers: readonly IceServer[], way: Way): IceServer[] {
  return servers.flatMap((server) => {
    const urls = server.urls.filter((url) => wayOf(url) === way);
    return urls.length > 0 ? [{ ...server, urls }] : [];
  });
}

/** Where one way leads, as a network team writes it: `UDP help.example:3478`. */
export function urlsOf(servers: readonly IceServer[], way: Way): string[] {
  return asked(servers, way).flatMap(({ urls }) =>
    urls.map((url) => {
      const place = url.replace(/^turns?:/i, "").replace(/\?.*$/, "");
      const port = /:\d+$/.test(place) ? "" : `:${way === "tls" ? PORT_TLS : PORT}`;
      // TLS is TCP to a firewall.
      return `${way === "udp" ? "UDP" : "TCP"} ${place}${port}`;
    }),
  );
}

/**
 * What the ways come to. A call takes UDP where it can, so it alone is well; that something else is closed too is seen in
 * the marks. Nothing is failed: whether a call works without the relay is what the next step finds out.
 */
export function judged(ways: PreflightRelay): { result: PreflightResult; code?: string } {
  const tried = WAYS.filter((way) => ways[way] !== "not_offered");
  const works = tried.filter((way) => ways[way] === "ok");
  if (tried.length === 0) return { result: "skipped", code: "no_relay" };
  if (works.length === 0) return { result: "warn", code: "relay_closed" };
  if (ways.udp === "ok" || works.length === tried.length) return { result: "ok" };
  return { result: "warn", code: works.includes("tcp") ? "relay_over_tcp" : "relay_over_tls" };
}
