// How late this process is woken. What a starved machine does to the harness it does to the browsers beside it, and no
// fault of the product is in it.
import { monitorEventLoopDelay } from "node:perf_hooks";
import { pause } from "./wait.ts";

/** How often this process wants to be woken meanwhile, milliseconds. */
const TICK_MS = 5;
/**
 * From here on the machine may have spoilt what was heard: the length of a packet, milliseconds. On two cores that are
 * just busy it is less than ten.
 */
export const LATE_MS_MAX = 20;

/** By how much this process was woken too late at most in the next `ms`, milliseconds. */
export async function lateness(ms: number): Promise<number> {
  const ticks = monitorEventLoopDelay({ resolution: TICK_MS });
  ticks.enable();
  await pause(ms);
  ticks.disable();
  // From one tick to the next, in nanoseconds.
  return ticks.max / 1e6 - TICK_MS;
}
