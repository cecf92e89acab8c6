// What lost packets of the uplink sound like at the far ear and in the recording, with every way of repair alone and with
// all of them: the table of docs/LOSS.md. Slow, and its figures follow the machine's load, so part of `--long` only; it
// fails where an order is turned round that no load can turn, and prints the rest.
import { writeFileSync } from "node:fs";
import { join as path } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { person, type Person } from "./harness/chromium.ts";
import { hear } from "./harness/ear.ts";
import { netlab, type Netlab } from "./harness/netlab.ts";
import { artifacts, long } from "./harness/paths.ts";
import { rest, serve, type Server } from "./harness/server.ts";
import { decode, writeWav } from "./harness/sound.ts";
import { median, missing, score, speech, type Speech } from "./harness/speech.ts";
import { join, leave, ring, sent, type Page, type Terms } from "./harness/talk.ts";
import { pause, until } from "./harness/wait.ts";

/** What the answer is changed to, and what the link does beside losing packets. */
const MODES: { name: string; terms: Terms; link: string }[] = [
  { name: "nothing", terms: { fec: false }, link: "" },
  { name: "FEC", terms: {}, link: "" },
  { name: "RED", terms: { fec: false, red: true }, link: "" },
  { name: "NACK", terms: { fec: false, nack: "answer" }, link: "" },
  { name: "FEC + RED + NACK", terms: { red: true, nack: "answer" }, link: "" },
  { name: "FEC + NACK", terms: { nack: "answer" }, link: "" },
  { name: "FEC + NACK, 80 ms round trip", terms: { nack: "answer" }, link: "delay 40" },
];
const LINES = [
  { name: "0 %", loss: "" },
  { name: "5 % random", loss: "loss 0.05" },
  { name: "10 %, bursts of 2", loss: "bursts 0.1 2" },
];
/** How long FEC takes to follow our reports, and a jitter buffer to settle, milliseconds. */
const SETTLE_MS = 8_000;
/** How long each line is listened to: each clip is whole in it twice at least, milliseconds. */
const LISTEN_MS = 40_000;
/** A recording's times and ours differ by the first packets at most, seconds. */
const EDGE_S = 0.5;
/** Runs; each has a seed of its own. */
const RUNS = Number(process.env["HELPLINE_LOSS_RUNS"] ?? 1);

if (!long) console.log("loss: left out, it runs with --long (or --only loss)");

/** Scores of one mode over one line. */
interface Cell {
  far: number[];
  recording: number[];
  /** Share of the packets that the link dropped, first tries and later ones together. */
  lost: number[];
}

describe.skipIf(!long)("loss: the sound of a bad uplink", () => {
  const folder = artifacts("loss");
  const cells = new Map<string, Cell>();
  let server: Server;
  let customer: Person;
  let agent: Person;
  let said: Speech;

  const cell = (mode: string, line: string): Cell => {
    const name = `${mode} | ${line}`;
    const found = cells.get(name) ?? { far: [], recording: [], lost: [] };
    cells.set(name, found);
    return found;
  };

  beforeAll(async () => {
    const lacks = missing();
    if (lacks) throw new Error(`missing: ${lacks}`);
    said = speech(folder);
    server = await serve("loss");
    [customer, agent] = await Promise.all([
      person({ wav: said.loop, ear: true }),
      person({ wav: said.loop, ear: true }),
    ]);
    for (const one of [customer, agent]) await one.page.goto(`${server.url}/demo`);
    console.log(`Chromium ${customer.context.browser()?.version() ?? "of unknown version"}, ${RUNS} run(s)`);
  });

  afterAll(async () => {
    await customer?.close();
    await agent?.close();
    await server?.stop();
  });

  /** One call over all lines; the agent joins directly. */
  async function call(mode: (typeof MODES)[number], run: number, link: Netlab): Promise<void> {
    const ours = customer.page as unknown as Page;
    const theirs = agent.page as unknown as Page;
    const joined = await ring(server);
    const view = () =>
      rest<{ status: string; answeredAt?: string }>(server, "GET", `/api/support/call/${joined.callId}`);
    await Promise.all([
      join(ours, joined.customer, { ...mode.terms, via: link.listen }),
      join(theirs, joined.agent, {}),
    ]);
    const answered = await until("the call is answered", async () => (await view()).answeredAt);
    const spans: { line: string; from: number; to: number }[] = [];
    for (const [number, line] of LINES.entries()) {
      await link.say(`up seed ${100 * run + number} ${line.loss} ${mode.link}`);
      await link.say(`down ${mode.link}`);
      await pause(SETTLE_MS);
      const since = (): number => (Date.now() - Date.parse(answered)) / 1_000;
      const from = since();
      const heard = await hear(agent.page, LISTEN_MS);
      spans.push({ line: line.name, from, to: since() });
      const { up } = await link.counts();
      const file = writeWav(path(folder, `far-${number}.wav`), heard.samples, heard.rate);
      const scores = score(file, 1, said).map((one) => one.pesq);
      const place = cell(mode.name, line.name);
      place.far.push(...scores);
      place.lost.push(up.lost / up.rtp);
      const own = await sent(ours);
      expect(scores.length, `${mode.name}, ${line.name}: clips were heard`).toBeGreaterThan(0);
      expect(up.lost > 0, `${mode.name}, ${line.name}: of ${up.rtp} packets ${up.lost} were lost`).toBe(
        line.loss !== "",
      );
      const told = `${scores.map((one) => one.toFixed(2)).join(" ")}; ${own.codec}, fraction lost ${own.fractionLost}`;
      console.log(`run ${run}, ${mode.name}, ${line.name}: far ${told}, link ${JSON.stringify(up)}`);
    }
    await Promise.all([leave(ours), leave(theirs)]);
    await rest(server, "POST", `/api/support/call/${joined.callId}/hangup`, {});
    const stored = await until(
      "the recording is stored",
      async () => {
        const where = `/api/support/call/${joined.callId}/recordings`;
        const { recordings } = await rest<{ recordings: { recordingId: string; state: string }[] }>(
          server,
          "GET",
          where,
        );
        return recordings.find((one) => one.state === "stored");
      },
      60_000,
    );
    const audio = await fetch(`http://${server.http}/api/support/recordings/${stored.recordingId}/audio`, {
      headers: { authorization: `Bearer ${server.serviceKey}` },
    });
    const file = path(folder, "call.opus");
    writeFileSync(file, Buffer.from(await audio.arrayBuffer()));
    const wav = decode(file, path(folder, "call.wav"));
    for (const { line, from, to } of spans) {
      const scores = score(wav, 1, said, from + EDGE_S, to - EDGE_S).map((one) => one.pesq);
      expect(scores.length, `${mode.name}, ${line}: clips were recorded`).toBeGreaterThan(0);
      cell(mode.name, line).recording.push(...scores);
      console.log(`run ${run}, ${mode.name}, ${line}: recording ${scores.map((one) => one.toFixed(2)).join(" ")}`);
    }
  }

  for (let run = 1; run <= RUNS; run++) {
    for (const mode of MODES) {
      it(`run ${run}: ${mode.name}`, { timeout: 400_000 }, async () => {
        const link = await netlab(server.media[0]!, run);
        try {
          await call(mode, run, link);
        } finally {
          link.stop();
        }
      });
    }
  }

  it("repairs what can be repaired", () => {
    const rows = MODES.map(({ name }) => {
      const figures = LINES.map((line) => {
        const { far, recording } = cell(name, line.name);
        return `${median(far).toFixed(2)} / ${median(recording).toFixed(2)}`;
      });
      return `| ${name} | ${figures.join(" | ")} |`;
    });
    const head = `| repair | ${LINES.map((line) => line.name).join(" | ")} |`;
    const table = [head, `|---|${LINES.map(() => "---|").join("")}`, ...rows].join("\n");
    writeFileSync(path(folder, "table.md"), `${table}\n`);
    writeFileSync(path(folder, "cells.json"), JSON.stringify([...cells], undefined, 1));
    console.log(`PESQ, median; far ear / recording\n${table}`);
    for (const line of LINES.slice(1)) {
      const of = (mode: string) => median(cell(mode, line.name).recording);
      // The packets themselves came again: no other load explains half a point.
      expect(of("NACK"), line.name).toBeGreaterThan(of("nothing") + 0.5);
      expect(of("RED"), line.name).toBeGreaterThan(of("nothing"));
    }
  });
});
