// The forms of the settings: what is wrong, what is new, what is sent; and line tests in short.

import { describe, expect, test } from "vitest";
import {
  ANNOUNCED,
  MailForm,
  numberOf,
  over,
  QualityForm,
  SupervisionForm,
  THRESHOLDS,
} from "../../console/routes/settings/form.ts";
import { codeOf, rttOf, scoreOf, spoken, troublesOf } from "../../console/routes/tests/shape.ts";
import en from "../../shared/i18n/house/en.json";
import sw from "../../shared/i18n/house/sw.json";
import { houseSettings, lineTests } from "../fake/house-states.ts";

test("both languages have the same words with the same values", () => {
  expect(Object.keys(sw).sort()).toEqual(Object.keys(en).sort());
  const values = (text: string): string[] => [...text.matchAll(/\{\w+\}/g)].map(([name]) => name).sort();
  for (const [key, text] of Object.entries(en)) expect(values(sw[key as keyof typeof sw]), key).toEqual(values(text));
  for (const { flag } of THRESHOLDS) expect(en).toHaveProperty([`settings.hint.${flag}`]);
  for (const word of Object.values(ANNOUNCED).flat()) expect(en).toHaveProperty([`settings.supervision.${word}`]);
});

test("a number is what people write, with a point or a comma", () => {
  expect(["3.5", " 3,5 ", "400", "0"].map(numberOf)).toEqual([3.5, 3.5, 400, 0]);
  expect(["", "3.", ".5", "-1", "1e3", "3.5 ms", "12345678"].map(numberOf)).toEqual(Array(7).fill(undefined));
});

describe("thresholds", () => {
  test("are fields for every leaf, and none is new or wrong at first", () => {
    const form = new QualityForm(houseSettings().quality);
    expect(THRESHOLDS.map(({ leaf }) => leaf).sort()).toEqual(Object.keys(form.settings.value).sort());
    expect([form.changes, form.savable, form.isUsual]).toEqual([0, false, false]);
    expect(form.value).toEqual(form.settings.value);
  });

  test("are wrong beyond their limits only, and whole where they count", () => {
    const form = new QualityForm(houseSettings().quality);
    const wrong = (text: string): boolean => {
      form.write("lowMos", text);
      return form.isWrong("lowMos");
    };
    expect(["1.5", "4.4", "1,5"].map(wrong)).toEqual([false, false, false]);
    expect(["1.49", "4.41", "", "low"].map(wrong)).toEqual([true, true, true, true]);
    form.undo();
    form.write("deadAirSeconds", "20.5");
    expect([form.isWrong("deadAirSeconds"), form.savable]).toEqual([true, false]);
  });

  test("are saved when something is new, and undone or made usual before that", () => {
    const form = new QualityForm(houseSettings().quality);
    form.write("highRttMs", "300");
    expect([form.changes, form.savable, form.value.highRttMs]).toEqual([1, true, 300]);
    form.write("highRttMs", "400");
    expect([form.changes, form.savable]).toEqual([0, false]);
    form.usual();
    expect([form.changes, form.isUsual]).toEqual([2, true]);
    expect(form.value).toEqual(form.settings.usual);
    form.undo();
    expect(form.value).toEqual(form.settings.value);
  });
});

test("mails count a change of the roles once, whichever they are", () => {
  const form = new MailForm(houseSettings().mail);
  form.tell("team_lead", true);
  form.tell("agent", true);
  expect([form.changes, form.value.qualityAlertRoles]).toEqual([
    1,
    ["agent", "team_lead", "supervisor", "admin", "super_admin"],
  ]);
  form.write("qualityAlertQuietMinutes", "1441");
  expect([form.changes, form.savable]).toEqual([2, false]);
  form.write("qualityAlertQuietMinutes", "1440");
  form.turn("notifyOnQualityAlert", false);
  expect([form.changes, form.savable, form.value.qualityAlertQuietMinutes]).toEqual([3, true, 1440]);
  form.undo();
  expect([form.changes, form.value]).toEqual([0, form.settings.value]);
});

test("supervisors are announced as chosen, and undone before it is saved", () => {
  const form = new SupervisionForm(houseSettings().supervision);
  expect([form.changes, form.savable, form.is("announce", "notice")]).toEqual([0, false, true]);
  form.choose("announce", "tone");
  form.choose("announceTo", "all");
  expect([form.changes, form.savable, form.value]).toEqual([2, true, { announce: "tone", announceTo: "all" }]);
  form.undo();
  expect([form.changes, form.value]).toEqual([0, form.settings.value]);
});

test("what was typed goes over what somebody else has set, leaf by leaf", () => {
  const { value: before } = houseSettings().quality;
  const mine = { ...before, highRttMs: 300, lowMos: 3.4 };
  const theirs = { ...before, highRttMs: 500, deadAirSeconds: 40 };
  expect(over(mine, before, theirs)).toEqual({ ...before, highRttMs: 300, lowMos: 3.4, deadAirSeconds: 40 });
  expect(over(before, before, theirs)).toEqual(theirs);
  const { value: mail } = houseSettings().mail;
  const roles = { ...mail, qualityAlertRoles: ["admin"] } as typeof mail;
  const quiet = { ...mail, qualityAlertQuietMinutes: 30 };
  expect(over(roles, mail, quiet)).toEqual({ ...quiet, qualityAlertRoles: ["admin"] });
});

describe("a line test in short", () => {
  const [failed, weak, good, unsent] = lineTests();

  test("has the lower score of both sides, and the browser's round trip before the server's", () => {
    expect([failed, weak, good, unsent].map((one) => scoreOf(one!))).toEqual([undefined, 3.3, 4.3, 4.3]);
    expect([failed, weak, good, unsent].map((one) => rttOf(one!))).toEqual([undefined, 182, 41, 38]);
  });

  test("names what failed before what could be better", () => {
    expect(troublesOf(failed!).map(({ code }) => code)).toEqual(["ice_failed", "relay_only", "relay_over_tls"]);
    expect(troublesOf(unsent!)).toEqual([]);
  });

  test("is found by its code as people say and write it", () => {
    expect(["K7M 3QX", "k7m-3qx", "k7m3qx"].map(codeOf)).toEqual(Array(3).fill("K7M3QX"));
    expect(["K7M 3Q", "K7M 3QX9", "K0M 3QX", "O7M3QX"].map(codeOf)).toEqual(Array(4).fill(undefined));
    expect(spoken("K7M3QX")).toBe("K7M 3QX");
  });
});
