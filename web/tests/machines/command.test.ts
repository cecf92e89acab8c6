// Who may do what to a call of others, and what is asked of the server.

import { expect, test } from "vitest";
import { commandsFor, give } from "../../console/routes/admin/command.ts";
import type { CallStatus } from "../../shared/gen/CallStatus.ts";
import type { Consult } from "../../shared/gen/Consult.ts";
import { FakeRest, problem } from "./fakes.ts";

const [ME, AGENT] = ["me", "agent"];
const lead = (permission: string): boolean => permission === "contact.reassign";
const supervisor = (permission: string): boolean => lead(permission) || permission === "call.takeover";
const call = (status: CallStatus, more: { heldSince?: string; agentId?: string; consult?: Consult } = {}) => ({
  status,
  agentId: AGENT,
  ...more,
});
const consult = (state: Consult["state"], staffId = "colleague"): Consult => ({
  staffId,
  staffName: "David Kimani",
  state,
  since: "2026-11-24T10:00:00Z",
});

test("a team lead holds and takes back, a supervisor ends as well, an agent does neither", () => {
  expect(commandsFor(call("answered"), ME, lead)).toEqual(["hold"]);
  expect(commandsFor(call("answered", { heldSince: "2026-11-24T10:00:00Z" }), ME, lead)).toEqual(["resume"]);
  expect(commandsFor(call("answered"), ME, supervisor)).toEqual(["hold", "hangup"]);
  expect(commandsFor(call("answered"), ME, () => false)).toEqual([]);
});

test("only a call with sound is held; one that waits can be ended", () => {
  for (const status of ["queued", "ringing", "connecting"] as const)
    expect(commandsFor(call(status), ME, supervisor), status).toEqual(["hangup"]);
});

test("one's own call is the desk's, also as a colleague", () => {
  expect(commandsFor(call("answered", { agentId: ME }), ME, supervisor)).toEqual([]);
  expect(commandsFor(call("answered", { consult: consult("conference", ME) }), ME, supervisor)).toEqual([]);
});

test("while colleagues talk apart there is nothing to hold", () => {
  expect(commandsFor(call("answered", { consult: consult("talking") }), ME, supervisor)).toEqual(["hangup"]);
  expect(commandsFor(call("answered", { consult: consult("conference") }), ME, supervisor)).toEqual(["hold", "hangup"]);
});

test("a command goes to the call, with a reason when there is one; a refusal is told", async () => {
  const rest = new FakeRest();
  rest.on("POST /api/support/call/c-1/hold", {});
  rest.on("POST /api/support/call/c-1/hangup", {});
  rest.on("POST /api/support/call/c-1/resume", problem(403, "forbidden"));
  expect(await give(rest.api, "c-1", "hold")).toBe(true);
  expect(await give(rest.api, "c-1", "hangup", " abusive ")).toBe(true);
  expect(await give(rest.api, "c-1", "resume", "  ")).toBe(false);
  expect(rest.asked.map(({ body }) => body)).toEqual([{}, { reason: "abusive" }, {}]);
});
