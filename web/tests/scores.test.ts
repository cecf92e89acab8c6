// How well each was heard, as QA reads it.

import { beforeAll, describe, expect, test, vi } from "vitest";
import { scoreRows } from "../console/routes/qa/scores.tsx";
import { worst } from "../console/routes/qa/shape.ts";
import { setLanguage } from "../console/words.ts";
import type { Quality } from "../shared/gen/Quality.ts";
import { endToEnd, rows, track, trackTo } from "./fake/data.ts";

const names = { customer: "Amina Wanjiru", agent: "Joyce Atieno" };

describe("the scores of a call", () => {
  beforeAll(async () => {
    vi.stubGlobal("document", { documentElement: { lang: "" } });
    await setLanguage("en");
  });

  const quality: Quality = {
    tracks: [track("customer"), trackTo("customer"), track("agent"), trackTo("agent")],
    endToEnd: endToEnd(),
    heard: [],
  };

  test("begin with who heard whom, then say it of each line in both directions", () => {
    expect(scoreRows(quality, names).map(({ text, mos, worst, low }) => [text, mos, worst, low])).toEqual([
      ["Joyce Atieno heard Amina Wanjiru", 3.6, 2.2, undefined],
      ["Amina Wanjiru heard Joyce Atieno", 4.2, 4, undefined],
      ["Line from Amina Wanjiru", 4.1, 3.3, 3.5],
      ["Line to Amina Wanjiru", 4.3, 4.2, 4.2],
      ["Line from Joyce Atieno", 4.3, 4.2, 4.2],
      ["Line to Joyce Atieno", 3.9, 2.9, 2.6],
    ]);
  });

  test("number the agents of a call that was given on, and leave supervisors out", () => {
    const second = { ...track("agent"), legId: "second", startMs: 60_000 };
    const watcher = { ...track("agent"), part: "supervisor" as const, legId: "third" };
    const helper = { ...track("agent"), part: "partner" as const, legId: "fourth" };
    const tracks = [second, watcher, track("agent"), helper];
    expect(scoreRows({ tracks, heard: [] }, names).map((row) => row.text)).toEqual([
      "Line from Agent 2",
      "Line from Agent 1",
      "Line from Colleague",
    ]);
  });

  test("are what the list shows: the least of all, of an older server the least of what was sent", () => {
    const row = rows()[0]!;
    expect(worst({ ...row, mosWorst: 2, mosCustomer: 4, mosAgent: 4 })).toBe(2);
    expect(worst({ ...row, mosWorst: null, mosCustomer: 4, mosAgent: 3 })).toBe(3);
  });
});
