// An admin sets a threshold and whom to mail, on the real server; nobody else gets to the page.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Settings } from "../shared/gen/Settings.ts";
import { person, type Person } from "./harness/chromium.ts";
import { artifacts } from "./harness/paths.ts";
import { keepWhatTheySaw, signIn } from "./harness/people.ts";
import { account, rest, serve, type Server } from "./harness/server.ts";

describe("settings", () => {
  let server: Server;
  let admin: Person;
  let agent: Person;

  beforeAll(async () => {
    server = await serve("settings");
    [admin, agent] = await Promise.all([person({}), person({})]);
  });

  afterAll(async () => {
    for (const one of [admin, agent]) await one?.close();
    await server?.stop();
  });

  keepWhatTheySaw(artifacts("settings"), () => ({ admin, agent }));

  const field = (name: string) => admin.page.getByTestId(`set-${name}`);
  const saved = async (): Promise<Settings> => {
    await admin.page.getByTestId("settings-save").click();
    await admin.page.getByText("Saved", { exact: true }).waitFor();
    return rest<Settings>(server, "GET", "/api/support/settings");
  };

  it("are closed to an agent", async () => {
    await signIn(agent.page, server, account(server, "agent"), "/admin/settings");
    await agent.page.getByText("Settings are for admins.").waitFor();
  });

  it("are a page beside which there is none, and the console says so with the status", async () => {
    const shown = await agent.page.goto(`${server.url}/admin/unheard-of`);
    expect([shown?.status(), shown?.headers()["content-type"]]).toEqual([404, "text/html; charset=utf-8"]);
    await agent.page.getByText("There is no such page").waitFor();
    await agent.page.getByRole("link", { name: "To the desk" }).click();
    await agent.page.getByTestId("online").first().waitFor();
    const asProgram = { accept: "application/json" };
    const asBrowser = { accept: "text/html" };
    for (const [path, headers] of [
      ["/admin/unheard-of", asProgram],
      ["/api/support/unheard-of", asBrowser],
    ] as const) {
      const answer = await fetch(`http://${server.http}${path}`, { headers });
      expect([answer.status, answer.headers.get("content-type")], path).toEqual([404, "application/problem+json"]);
    }
  });

  it("take a threshold within its limits, and keep it", async () => {
    await signIn(admin.page, server, account(server, "admin"), "/admin/settings");
    await field("lowMos").fill("4.5");
    await admin.page.getByText("Must lie between 1.5 and 4.4").waitFor();
    expect(await admin.page.getByTestId("settings-save").isDisabled()).toBe(true);
    await field("lowMos").fill("3,2");
    const { quality } = await saved();
    expect(quality.value).toEqual({ ...quality.usual, lowMos: 3.2 });
    await admin.page.reload();
    await field("lowMos").waitFor();
    expect(await field("lowMos").inputValue()).toBe("3.2");
  });

  it("are not taken from one admin by another unasked", async () => {
    const { quality } = await rest<Settings>(server, "GET", "/api/support/settings");
    await field("highRttMs").fill("300");
    const other = { ...quality.value, deadAirSeconds: 40 };
    const seen = { "if-match": `"${quality.version}"` };
    await rest(server, "PUT", "/api/support/settings/quality", other, seen);
    await admin.page.getByTestId("settings-save").click();
    await admin.page.getByText("Somebody else has changed these settings meanwhile").waitFor();
    expect(await field("highRttMs").inputValue()).toBe("300");
    await admin.page.getByTestId("settings-mine").click();
    await admin.page.getByText("Saved", { exact: true }).waitFor();
    const now = await rest<Settings>(server, "GET", "/api/support/settings");
    expect(now.quality.value).toEqual({ ...other, highRttMs: 300 });
    expect(now.quality.version).toBe(quality.version + 2);
  });

  it("name who is mailed about calls that sound bad, and whether supervisors are announced", async () => {
    await admin.page.getByRole("link", { name: "Mails" }).click();
    await field("role-team_lead").check();
    await field("qualityAlertQuietMinutes").fill("30");
    const { mail } = await saved();
    expect(mail.value).toMatchObject({
      qualityAlertRoles: ["team_lead", "supervisor", "admin", "super_admin"],
      qualityAlertQuietMinutes: 30,
    });
    await admin.page.getByRole("link", { name: "Supervision" }).click();
    await field("announce-tone").check();
    await field("announceTo-all").check();
    const { supervision } = await saved();
    expect(supervision.value).toEqual({ announce: "tone", announceTo: "all" });
    expect(admin.log.filter((line) => line.startsWith("pageerror"))).toEqual([]);
  });
});
