// A desk on which a call is in talk, as the tests of what one may do with a call begin.
//
// Call `vi.useFakeTimers()` before.

import { Desk } from "../../console/routes/agent/desk.ts";
import { browserClock } from "../../shared/clock.ts";
import type { CallView } from "../../shared/gen/CallView.ts";
import type { LegGrant } from "../../shared/gen/LegGrant.ts";
import type { Offer } from "../../shared/gen/Offer.ts";
import { answered, grant, LEG, me, OFFER, offer, queue } from "../fake/data.ts";
import { FakeMicrophones, FakeRest, Network, Peers, settle } from "./fakes.ts";

export class Scene {
  readonly network = new Network();
  readonly microphones = new FakeMicrophones();
  readonly peers = new Peers();
  readonly rest = new FakeRest();
  readonly desk: Desk;
  #seq = 0;

  private constructor() {
    this.rest.on("GET /api/support/queue/calls", () => ({ body: queue() }));
    this.rest.on("GET /api/support/calls", { body: { calls: [] } });
    this.desk = new Desk({
      clock: browserClock,
      random: () => 0.5,
      api: this.rest.api,
      me: me("online"),
      signalUrl: "wss://help.example/ws",
      connect: this.network.connect,
      peer: this.peers.make,
      openMicrophone: this.microphones.open,
      listDevices: async () => ({ microphones: [], speakers: [] }),
      visible: () => true,
      sound: {
        unlock: () => {},
        listen: () => {},
        play: () => {},
        silence: () => {},
        mine: () => 0.5,
        ring: () => {},
        end: () => {},
        speaker: () => {},
      },
      announce: () => {},
    });
  }

  /** A desk that is connected and free. */
  static async idle(): Promise<Scene> {
    const scene = new Scene();
    scene.desk.open();
    await scene.network.now.open();
    await scene.network.now.welcome({ snapshot: { me: me("online"), queue: queue() } });
    return scene;
  }

  /** A desk that has accepted `what` and talks in `call`. */
  static async talking(what: Offer = offer(), call: CallView = answered(), part: LegGrant["part"] = "agent") {
    const scene = await Scene.idle();
    scene.rest.on(`POST /api/support/offers/${OFFER}/accept`, () => ({ body: { call, leg: grant(part) } }));
    scene.say("call.offered", what);
    await scene.desk.accept();
    await settle();
    scene.network.now.say("leg.answer", { legId: LEG, sdp: "answer" }, { ref: scene.network.now.last("leg.offer").id });
    await settle();
    scene.peers.now.go("connected");
    scene.say("call.answered", { call });
    return scene;
  }

  say(type: string, data: unknown): void {
    this.network.now.say(type, data, { seq: ++this.#seq });
  }

  get call(): CallView | undefined {
    return this.desk.call;
  }

  /** Requests to a path that ends so, with their bodies. */
  asked(end: string): unknown[] {
    return this.rest.asked.filter(({ route }) => route.endsWith(end)).map(({ body }) => body);
  }
}
