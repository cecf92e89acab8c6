// Two browsers that may use nothing but our relay: they hear each other, go on when what they have there is taken away
// after their first credential has run out, and leave nothing behind.
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { person, type Person } from "./harness/chromium.ts";
import { hear } from "./harness/ear.ts";
import { artifacts } from "./harness/paths.ts";
import { udpFirst } from "./harness/relay.ts";
import { account, rest, serve, type Server } from "./harness/server.ts";
import { chirp, compare, writeWav } from "./harness/sound.ts";
import { pause, until } from "./harness/wait.ts";

/** Least correlation, as the median of the windows, that counts as heard. */
const HEARD_MIN = 0.9;
const LISTEN_MS = 8_000;
/** The first seconds of a connection are the browser's own jitter buffer settling. */
const SETTLE_MS = 3_000;
/** Shortest life of a credential that the settings take, seconds. */
const CREDENTIAL_S = 30;

interface Allocation {
  id: string;
  part: string;
  via: string;
  ageSeconds: number;
  packetsUp: number;
}
interface Relay {
  total: number;
  allocations: Allocation[];
}
interface Events {
  events: { kind: string; data: { part?: string; path?: string } }[];
}

describe("a call through the relay alone", () => {
  const folder = artifacts("relayed");
  const up = join(folder, "customer.wav");
  const down = join(folder, "agent.wav");
  let server: Server;
  let customer: Person;
  let agent: Person;
  let callId = "";

  beforeAll(async () => {
    chirp("up", up);
    chirp("down", down);
    server = await serve("relayed", {
      env: {
        HELPLINE_TURN_TRANSPORT_POLICY: "relay",
        HELPLINE_TURN_LIMITS_CREDENTIAL_LIFE_S: String(CREDENTIAL_S),
        ...udpFirst,
      },
    });
    [agent, customer] = await Promise.all([person({ wav: down, ear: true }), person({ wav: up, ear: true })]);
  });

  afterAll(async () => {
    await customer?.close();
    await agent?.close();
    await server?.stop();
  });

  const relay = () => rest<Relay>(server, "GET", "/api/support/relay");
  const of = async (part: string) => (await relay()).allocations.filter((one) => one.part === part);

  async function bothHear(what: string): Promise<void> {
    await pause(SETTLE_MS);
    const [atCustomer, atAgent] = await Promise.all([hear(customer.page, LISTEN_MS), hear(agent.page, LISTEN_MS)]);
    const customerHeard = writeWav(join(folder, `${what}-customer.wav`), atCustomer.samples, atCustomer.rate);
    const agentHeard = writeWav(join(folder, `${what}-agent.wav`), atAgent.samples, atAgent.rate);
    expect(compare(up, agentHeard, 0, 1).median, "the agent hears the customer").toBeGreaterThanOrEqual(HEARD_MIN);
    expect(compare(down, customerHeard, 0, 1).median, "the customer hears the agent").toBeGreaterThanOrEqual(HEARD_MIN);
  }

  it("connects over the relay, and says so", async () => {
    const { email, password } = account(server, "agent");
    await agent.page.goto(`${server.url}/agent`);
    await agent.page.getByTestId("email").fill(email);
    await agent.page.getByTestId("password").fill(password);
    await agent.page.getByTestId("sign-in").click();
    await agent.page.getByTestId("online").click();
    await agent.page.getByTestId("microphone-checked").waitFor();
    await customer.page.goto(`${server.url}/demo`);
    await customer.page.getByTestId("launcher").click();
    await customer.page.getByTestId("call-us").click();
    await customer.page.getByTestId("call-now").click();
    await agent.page.getByTestId("offer-accept").click();
    const [call] = (await rest<{ calls: { callId: string }[] }>(server, "GET", "/api/support/calls")).calls;
    callId = call!.callId;
    await until("the call is answered", async () => {
      const { status } = await rest<{ status: string }>(server, "GET", `/api/support/call/${callId}`);
      return status === "answered";
    });
    const told = await until("both ways are told", async () => {
      const { events } = await rest<Events>(server, "GET", `/api/support/call/${callId}/events`);
      const ways = events.filter(({ kind }) => kind === "leg.path").map(({ data }) => `${data.part} ${data.path}`);
      return ways.length >= 2 && ways;
    });
    expect([...new Set(told)].sort()).toEqual(["agent turn-udp", "customer turn-udp"]);
    for (const part of ["customer", "agent"]) expect((await of(part)).map((one) => one.via)).toContain("udp");
    await bothHear("first");
  });

  it("goes on with a fresh credential when the relay throws it out after the first one has run out", async () => {
    const before = await until(
      "the first credential has run out",
      async () => {
        const mine = await of("customer");
        return mine.length > 0 && mine.every((one) => one.ageSeconds > CREDENTIAL_S) && mine;
      },
      60_000,
    );
    for (const { id } of before) await rest(server, "DELETE", `/api/support/relay/allocations/${id}`);
    await until(
      "another place at the relay carries sound",
      async () => (await of("customer")).some((one) => one.ageSeconds < CREDENTIAL_S && one.packetsUp > 50),
      60_000,
    );
    await bothHear("again");
  });

  it("leaves nothing at the relay when the call is over", async () => {
    await customer.page.getByTestId("hangup").first().click();
    await customer.page.getByTestId("ended").waitFor();
    await until("the relay is empty", async () => (await relay()).total === 0);
  });
});
