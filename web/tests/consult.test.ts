// Whom an agent is shown when a colleague is to be asked.

import { describe, expect, test } from "vitest";
import type { AvailableStaff } from "../shared/gen/AvailableStaff.ts";
import { matching } from "../console/routes/agent/colleagues.ts";
import { available } from "./fake/data.ts";

const names = (words: string): string[] => matching(available(), words).map(({ name }: AvailableStaff) => name);

describe("colleagues", () => {
  test("stand free ones first, then by name", () => {
    expect(names("")).toEqual([
      "David Kimani",
      "Esther Nyambura",
      "Peter Mutua",
      "Wambui Ndegwa",
      "Halima Noor",
      "Samuel Koech",
    ]);
  });

  test("are found by name and by role, however it is written", () => {
    expect(names(" PETER")).toEqual(["Peter Mutua"]);
    expect(names("team lead")).toEqual(["Wambui Ndegwa"]);
    expect(names("nobody")).toEqual([]);
  });
});
