// The line test as a machine: what is tried, what is skipped, what is made of the figures.

import { describe, expect, test, vi } from "vitest";
import { browserName } from "../../console/routes/preflight/browser.ts";
import { urlsOf, wayOf } from "../../console/routes/preflight/relay.ts";
import {
  ECHO_SECONDS,
  LEVEL_EVERY_MS,
  LEVEL_WAIT_MS,
  LineTest,
  RELAY_TIMEOUT_MS,
  STEPS,
  type Connected,
  type Echo,
  type Env,
} from "../../console/routes/preflight/test.ts";
import type { PreflightReport } from "../../shared/gen/PreflightReport.ts";
import type { PreflightStarted } from "../../shared/gen/PreflightStarted.ts";
import type { Reading } from "../../shared/quality.ts";
import en from "../../shared/i18n/preflight/en.json";
import sw from "../../shared/i18n/preflight/sw.json";

const STARTED = {
  preflightId: "p",
  code: "K7M2QX",
  leg: {
    grant: "secret",
    iceServers: [
      { urls: ["stun:help.example:3478"] },
      { urls: ["turn:help.example:3478?transport=udp", "turn:help.example?transport=tcp"], username: "u", credential: "c" }, // prettier-ignore
      { urls: ["turns:help.example:443?transport=tcp"], username: "u", credential: "c" },
    ],
  },
} as unknown as PreflightStarted;
const SILENT = { ok: false, status: 0, code: "unreachable" } as const;

/** A line on which time passes as fast as it is waited for. */
function bench(
  change: Partial<Env> & {
    loss?: number;
    rttMs?: number;
    path?: Echo["path"];
    local?: Echo["local"];
    back?: number;
  } = {},
) {
  // prettier-ignore
  let now = 0;
  let packets = 0;
  let lost = 0;
  let bytes = 0;
  const echo: Echo = {
    iceMs: 40.4,
    dtlsMs: 30,
    local: change.local ?? "srflx",
    path: change.path ?? "udp",
    level: () => change.back ?? 0.5,
    read: (): Promise<Reading> => {
      const gone = Math.round(50 * (change.loss ?? 0));
      packets += 50 - gone;
      lost += gone;
      bytes += (50 - gone) * 80;
      return Promise.resolve({ at: now, packets, lost, bytes, jitterMs: 4, rttMs: change.rttMs ?? 30, bufferMs: 40 });
    },
  };
  const sent: PreflightReport[] = [];
  const env: Env = {
    clock: {
      now: () => now,
      after: (ms, run) => {
        now += ms;
        queueMicrotask(run);
        return () => {};
      },
    },
    secure: () => true,
    openMicrophone: () => Promise.resolve({ ok: true, stream: {} as MediaStream }),
    microphones: () => Promise.resolve([]),
    level: () => 0.8,
    start: () => Promise.resolve({ ok: true, status: 201, value: STARTED }),
    socket: () => Promise.resolve(true),
    candidates: () => Promise.resolve({ host: 1, mdns: 0, srflx: 1, relay: 0 }),
    relay: () => Promise.resolve(true),
    connect: (): Promise<Connected> => Promise.resolve({ ok: true, signallingMs: 12, echo }),
    report: (_, report) => {
      sent.push(report);
      return Promise.resolve({ ok: true, status: 204, value: undefined });
    },
    close: vi.fn(),
    browser: () => "Firefox 153 (Linux)",
    ...change,
  };
  return { test: new LineTest(env), env, sent, time: () => now };
}

const results = (test: LineTest): string => test.steps.map(({ step, result, code }) => `${step}:${result}${code ? `(${code})` : ""}`).join(" "); // prettier-ignore
const step = (test: LineTest, name: string) => test.steps.find((one) => one.step === name)!;

describe("a line test", () => {
  test("goes through every step on a good line and measures it", async () => {
    const { test, env, time } = bench();
    await test.run();
    expect(test.steps.map(({ result }) => result)).toEqual(STEPS.map(() => "ok"));
    expect(test.verdict).toBe("ok");
    expect(test.figures).toMatchObject({
      signallingMs: 12,
      iceMs: 40,
      dtlsMs: 30,
      totalMs: 82,
      rttMs: 30,
      jitterMs: 4,
      loss: 0,
      level: 0.8,
      local: "srflx",
      path: "udp",
      candidates: { host: 1, srflx: 1 },
      relay: { udp: "ok", tcp: "ok", tls: "ok" },
    });
    expect(test.figures.mos).toBeGreaterThan(4);
    expect(time()).toBeGreaterThanOrEqual(ECHO_SECONDS * 1000);
    expect(step(test, "echo").ms).toBe(ECHO_SECONDS * 1000);
    expect(env.close).toHaveBeenCalledTimes(1);
  });

  test("skips what a missing microphone makes pointless and tries all else", async () => {
    const { test } = bench({ openMicrophone: () => Promise.resolve({ ok: false, code: "mic_denied" }) });
    await test.run();
    expect(results(test)).toBe(
      "secure_context:ok microphone:failed(mic_denied) level:skipped server:ok socket:ok network:ok relay:ok connection:skipped echo:skipped",
    );
    expect(test.verdict).toBe("failed");
  });

  test("goes on without a server as far as it can, and has then nothing to send", async () => {
    const { test, sent } = bench({ start: () => Promise.resolve(SILENT), socket: () => Promise.resolve(false) });
    await test.run();
    expect(results(test)).toContain("server:failed(unreachable) socket:failed(ws_unreachable) network:ok relay:skipped connection:skipped"); // prettier-ignore
    await test.send();
    expect([sent.length, test.sending, test.code]).toEqual([0, "no", undefined]);
  });

  test("takes another microphone at once while it listens, and with the next test otherwise", async () => {
    const opened: string[] = [];
    let loud = 0;
    const { test } = bench({
      openMicrophone: (id) => {
        opened.push(id);
        loud = id === "headset" ? 0.7 : 0;
        return Promise.resolve({ ok: true, stream: {} as MediaStream });
      },
      microphones: () => Promise.resolve([{ id: "built-in", label: "Built-in" }, { id: "headset", label: "Headset" }]), // prettier-ignore
      level: () => loud,
    });
    const stop = test.changed.subscribe(() => {
      if (step(test, "level").result === "running" && test.microphone === "") void test.choose("headset");
    });
    await test.run();
    stop();
    expect([opened, step(test, "level").result]).toEqual([["", "headset"], "ok"]);
    expect(test.microphones).toHaveLength(2);
    await test.choose("built-in");
    expect(opened).toHaveLength(2);
    await test.run();
    expect([opened, step(test, "level").code]).toEqual([["", "headset", "built-in"], "silent_microphone"]);
  });

  test("waits for a word, and a silent microphone is a warning", async () => {
    const { test } = bench({ level: () => 0.1 });
    await test.run();
    expect(step(test, "level")).toMatchObject({ result: "warn", code: "silent_microphone", ms: LEVEL_WAIT_MS });
    let calls = 0;
    const late = bench({ level: () => (++calls > 10 ? 0.6 : 0.1) });
    await late.test.run();
    expect(step(late.test, "level")).toMatchObject({ result: "ok", ms: 10 * LEVEL_EVERY_MS });
  });

  test.each([
    [{ loss: 0.04 }, "warn", "weak_line"],
    [{ loss: 0.2 }, "failed", "bad_line"],
    [{ loss: 1 }, "failed", "no_echo"],
    [{ back: 0 }, "warn", "silent_echo"],
  ] as const)("judges an echo %j", async (change, result, code) => {
    const { test } = bench(change);
    await test.run();
    expect(step(test, "echo")).toMatchObject({ result, code });
  });

  test.each([
    [{ path: "tls", local: "relay" }, "warn", "over_tcp"],
    [{ path: "udp", local: "relay" }, "warn", "over_relay"],
    [{ path: "udp", local: "prflx" }, "ok", undefined],
  ] as const)("names the way %j", async (change, result, code) => {
    const { test } = bench(change);
    await test.run();
    expect([step(test, "connection").result, step(test, "connection").code]).toEqual([result, code]);
  });

  test.each([
    [{ host: 0, mdns: 0, srflx: 0, relay: 0 }, "failed", "no_candidates"],
    [{ host: 0, mdns: 0, srflx: 0, relay: 2 }, "warn", "relay_only"],
    [{ host: 0, mdns: 1, srflx: 0, relay: 0 }, "ok", undefined],
  ] as const)("reads the network %j", async (found, result, code) => {
    const { test } = bench({ candidates: () => Promise.resolve(found) });
    await test.run();
    expect([step(test, "network").result, step(test, "network").code]).toEqual([result, code]);
  });

  test.each([
    [["udp", "tcp", "tls"], [], "ok", undefined],
    // Sound takes UDP where it can; what else is closed stands in the marks.
    [["udp"], ["TCP help.example:3478", "TCP help.example:443"], "ok", undefined],
    [["tcp", "tls"], ["UDP help.example:3478"], "warn", "relay_over_tcp"],
    [["tls"], ["UDP help.example:3478", "TCP help.example:3478"], "warn", "relay_over_tls"],
    [[], ["UDP help.example:3478", "TCP help.example:3478", "TCP help.example:443"], "warn", "relay_closed"],
  ] as const)("tries each way to the relay for itself: %j open", async (open, closed, result, code) => {
    const asked: string[] = [];
    const { test } = bench({
      relay: (servers, timeoutMs) => {
        expect(timeoutMs).toBe(RELAY_TIMEOUT_MS);
        const urls = servers.flatMap((server) => server.urls);
        asked.push(...urls);
        expect(urls.map(wayOf), "one way at a time").toEqual([wayOf(urls[0]!)]);
        expect(servers[0]).toMatchObject({ username: "u", credential: "c" });
        return Promise.resolve((open as readonly string[]).includes(wayOf(urls[0]!)!));
      },
    });
    await test.run();
    expect(asked).toHaveLength(3);
    const mark = (way: string) => ((open as readonly string[]).includes(way) ? "ok" : "failed");
    expect(test.figures.relay).toEqual({ udp: mark("udp"), tcp: mark("tcp"), tls: mark("tls") });
    expect([step(test, "relay").result, step(test, "relay").code]).toEqual([result, code]);
    expect(test.closed).toEqual(closed);
    expect(test.report().figures.relay).toEqual(test.figures.relay);
  });

  test("names a way that is not offered as that, and fails nobody for it", async () => {
    const offering = (...urls: string[]) => {
      const leg = { ...STARTED.leg, iceServers: [{ urls }] };
      return bench({ start: () => Promise.resolve({ ok: true, status: 201, value: { ...STARTED, leg } }) });
    };
    const { test } = offering("turn:help.example:3478?transport=udp", "turn:help.example:3478?transport=tcp");
    await test.run();
    expect(test.figures.relay).toEqual({ udp: "ok", tcp: "ok", tls: "not_offered" });
    expect([step(test, "relay").result, test.verdict]).toEqual(["ok", "ok"]);
    const tcpOnly = offering("turn:help.example:3478?transport=tcp");
    await tcpOnly.test.run();
    expect(step(tcpOnly.test, "relay").result, "nobody can open what is not there").toBe("ok");
    const none = offering("stun:help.example:3478");
    await none.test.run();
    expect([step(none.test, "relay").result, none.test.verdict]).toEqual(["skipped", "ok"]);
    expect(none.test.figures.relay).toEqual({ udp: "not_offered", tcp: "not_offered", tls: "not_offered" });
  });

  test("lets go of the microphone whatever happens, and can be run again", async () => {
    let broken = true;
    const { test, env } = bench({
      connect: () => (broken ? Promise.reject(new Error("no")) : Promise.resolve({ ok: false, code: "ice_failed" })),
    });
    await test.run();
    expect(step(test, "connection")).toMatchObject({ result: "failed", code: "unexpected" });
    expect(step(test, "echo").result).toBe("skipped");
    broken = false;
    await test.run();
    expect(step(test, "connection")).toMatchObject({ result: "failed", code: "ice_failed" });
    expect(env.close).toHaveBeenCalledTimes(2);
  });

  test("sends its report once, and again after a failure", async () => {
    let up = false;
    const taken: PreflightReport[] = [];
    const { test } = bench({
      report: (started, report) => {
        expect(started.leg.grant).toBe("secret");
        taken.push(report);
        return Promise.resolve(up ? { ok: true, status: 204, value: undefined } : SILENT);
      },
    });
    await test.send();
    expect(taken).toEqual([]);
    await test.run();
    await test.send();
    expect(test.sending).toBe("failed");
    up = true;
    await test.send();
    await test.send();
    expect([test.sending, taken.length]).toEqual(["sent", 2]);
    expect(taken[1]).toMatchObject({ browser: "Firefox 153 (Linux)", figures: { totalMs: 82 } });
    expect(taken[1]!.steps.map((one) => one.step)).toEqual(STEPS);
  });
});

test("every code that a test can find has advice, in both languages", () => {
  const codes = ["insecure_context", "mic_denied", "mic_missing", "mic_busy", "unsupported_browser", "silent_microphone"]; // prettier-ignore
  codes.push("unauthenticated", "rate_limited", "media_full", "draining", "offline", "unreachable", "ws_unreachable");
  codes.push("no_candidates", "relay_only", "ice_failed", "dtls_failed", "over_tcp", "over_relay", "no_echo");
  codes.push("relay_closed", "relay_over_tcp", "relay_over_tls");
  codes.push("bad_line", "weak_line", "slow_line", "silent_echo", "unexpected");
  for (const words of [en, sw] as Record<string, string>[]) {
    expect(codes.filter((code) => !words[`advice.${code}`])).toEqual([]);
  }
  expect(Object.keys(sw).sort()).toEqual(Object.keys(en).sort());
});

test("a URL says by which way a relay is reached", () => {
  const ways = {
    "turn:a": "udp",
    "turn:a:3478": "udp",
    "turn:[2001:db8::1]:3478?transport=udp": "udp",
    "TURN:a?transport=TCP": "tcp",
    "turns:a": "tls",
    "turns:a:443?transport=tcp": "tls",
    "turns:a:5349?transport=udp": undefined,
    "turn:a?transport=sctp": undefined,
    "stun:a:3478": undefined,
    "https://a": undefined,
  };
  for (const [url, way] of Object.entries(ways)) expect(wayOf(url), url).toBe(way);
  const servers = [{ urls: ["turn:[2001:db8::1]", "turns:a", "turns:a:443?transport=tcp"] }];
  expect(urlsOf(servers, "udp")).toEqual(["UDP [2001:db8::1]:3478"]);
  expect(urlsOf(servers, "tls")).toEqual(["TCP a:5349", "TCP a:443"]);
});

test("a browser is named by family, version and system", () => {
  const chrome = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"; // prettier-ignore
  expect(browserName(chrome)).toBe("Chromium 156 (Linux)");
  expect(browserName(`${chrome} Edg/156.0.1.1`)).toBe("Edge 156 (Linux)");
  const phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.4 Mobile/15E148 Safari/604.1"; // prettier-ignore
  expect(browserName(phone)).toBe("Safari 18 (iOS)");
  expect(browserName("Mozilla/5.0 (Android 15; Mobile; rv:153.0) Gecko/153.0 Firefox/153.0")).toBe("Firefox 153 (Android)"); // prettier-ignore
  expect(browserName("curl/8")).toBe("another browser (another system)");
});
