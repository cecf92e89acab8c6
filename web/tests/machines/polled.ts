// Something that is read from the server every two seconds, with the time, the server and the tab in a test's hand.

import { afterEach, beforeEach, vi } from "vitest";
import type { Polled, PolledEnv } from "../../console/routes/admin/polled.ts";
import { browserClock } from "../../shared/clock.ts";
import { FakeRest, settle } from "./fakes.ts";

export class Watched<P extends Polled<unknown>> {
  polled!: P;
  rest!: FakeRest;
  visible = true;
  signedOut = 0;

  /** Opens the page and waits for the first answer. */
  async open(): Promise<void> {
    this.polled.open();
    await settle();
  }
}

/** For every test of the group a new one; `read` is its question, and `state` what is answered unless a test says more. */
export function watched<P extends Polled<unknown>>(
  make: (env: PolledEnv) => P,
  read: string,
  state: () => unknown,
): Watched<P> {
  const all = new Watched<P>();
  beforeEach(() => {
    vi.useFakeTimers({ now: Date.parse("2026-11-24T10:00:00Z") });
    all.rest = new FakeRest();
    all.rest.on(read, () => ({ body: state() }));
    all.visible = true;
    all.signedOut = 0;
    all.polled = make({
      api: all.rest.api,
      clock: browserClock,
      visible: () => all.visible,
      signedOut: () => void all.signedOut++,
    });
  });
  afterEach(() => {
    all.polled.close();
    vi.useRealTimers();
  });
  return all;
}
