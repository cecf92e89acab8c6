// Who is signed in and where in the console we are.

import { signal } from "@preact/signals";
import { Api } from "../shared/api.ts";
import { live, watching } from "./live.ts";
import type { Me } from "../shared/gen/Me.ts";

export const api = new Api({ base: "", fetch: (...args) => fetch(...args), online: () => navigator.onLine });

/** `undefined` until we know, `null` when nobody is signed in. */
export const me = signal<Me | null | undefined>(undefined);
export const path = signal(location.pathname);
export const query = signal(new URLSearchParams(location.search));

function read(): void {
  path.value = location.pathname.replace(/\/$/, "") || "/";
  query.value = new URLSearchParams(location.search);
}

export function go(to: string, replace = false): void {
  history[replace ? "replaceState" : "pushState"](null, "", to);
  read();
}

/** Links within the console change the route without a new page. */
export function watchLinks(): void {
  read();
  addEventListener("popstate", read);
  document.addEventListener("click", (event) => {
    const link = (event.target as Element | null)?.closest("a");
    const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
    if (!link || !plain || link.target || link.origin !== location.origin || link.hasAttribute("download")) return;
    event.preventDefault();
    go(link.pathname + link.search);
  });
}

export async function loadMe(): Promise<void> {
  const reply = await api.get<Me>("/api/support/staff/me");
  if (reply.ok) me.value = reply.value;
  else if (reply.status === 401 || me.value === undefined) leave();
}

/** Nobody is signed in any more: the desk closes with its sound. */
export function leave(): void {
  watching.value?.close();
  live.value?.close();
  me.value = null;
}

export const may = (permission: string): boolean => me.value?.permissions.includes(permission) ?? false;

/** True for whoever may see and hear calls of others while they go on. */
export const mayMonitor = (): boolean => may("call.monitor");

/** True for whoever may listen to recordings. */
export const mayReview = (): boolean => may("recording.play") || may("qa.review");

/** True for whoever may change how the house works. */
export const maySet = (): boolean => may("settings.write");

/** True for whoever may look at line tests; whose they are is decided by the server. */
export const maySeeTests = (): boolean => may("preflight.view");
