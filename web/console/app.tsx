// Which view stands at which path. Routes are chunks of their own and come when they are asked for.

import { signal, useSignalEffect } from "@preact/signals";
import type { ComponentChildren, ComponentType } from "preact";
import { live, watching } from "./live.ts";
import { Rail } from "./rail.tsx";
import { SignIn } from "./signin.tsx";
import { mayMonitor, mayReview, maySeeTests, maySet, me, path } from "./state.ts";
import { t, type Key } from "./words.ts";

type View = ComponentType;

const loaders: Record<string, () => Promise<{ default: View }>> = {
  agent: () => import("./routes/agent/index.tsx"),
  qa: () => import("./routes/qa/index.tsx"),
  call: () => import("./routes/call/index.tsx"),
  admin: () => import("./routes/admin/index.tsx"),
  settings: () => import("./routes/settings/index.tsx"),
  tests: () => import("./routes/tests/index.tsx"),
};

const loaded = signal<Record<string, View>>({});
const failed = signal(false);

/** Paths and the routes that they show; several paths of the desk and of live calls are aliases of hosts. */
const ROUTES: Record<string, string> = {
  "/agent": "agent",
  "/dashboard/support": "agent",
  "/wallboard": "agent",
  "/admin": "admin",
  "/admin/support": "admin",
  "/admin/node": "admin",
  "/admin/relay": "admin",
  "/admin/settings": "settings",
  "/admin/tests": "tests",
  "/call": "call",
  "/qa": "qa",
};

/** The route of a path; the server shows our page at others too, so that we say that there is nothing. */
export const routeOf = (at: string): string => ROUTES[at] ?? (at.startsWith("/qa/") ? "qa" : "missing");

function load(route: string): void {
  if (loaded.value[route]) return;
  loaders[route]?.().then(
    (module) => (loaded.value = { ...loaded.value, [route]: module.default }),
    () => (failed.value = true),
  );
}

/** Why this person may not see what stands at a path; undefined where he may. */
function forbidden(at: string): Key | undefined {
  switch (routeOf(at)) {
    case "qa":
      return mayReview() ? undefined : "forbidden.hint";
    case "settings":
      return maySet() ? undefined : "forbidden.settings";
    case "tests":
      return maySeeTests() ? undefined : "forbidden.tests";
    case "admin":
      // Node and relay are the house's, and everything else there is about calls.
      if (at === "/admin/node" || at === "/admin/relay") return maySet() ? undefined : "forbidden.settings";
      return mayMonitor() ? undefined : "forbidden.live";
    default:
      return undefined;
  }
}

export function App() {
  const route = routeOf(path.value);
  useSignalEffect(() => {
    if (me.value || routeOf(path.value) === "call") load(routeOf(path.value));
  });
  const View = loaded.value[route];
  if (route === "call") return View ? <View /> : null;
  const Bar = live.value?.Bar;
  const Watching = watching.value?.Bar;
  if (me.value === undefined) return null;
  if (route === "missing" && me.value === null) return <Missing />;
  if (me.value === null) return <SignIn />;
  const hint = forbidden(path.value);
  return (
    <div class="console is-dense">
      <Rail />
      {route === "missing" ? (
        <Missing />
      ) : hint ? (
        <Empty title={t("forbidden")} text={t(hint)} />
      ) : View ? (
        <View />
      ) : (
        failed.value && <Empty title={t("stale")} text={t("stale.hint")} />
      )}
      {route !== "agent" && Bar && <Bar />}
      {Watching && <Watching />}
    </div>
  );
}

const Missing = () => (
  <Empty title={t("missing")} text={t("missing.hint")}>
    <p>
      <a href="/agent">{t("missing.desk")}</a>
    </p>
  </Empty>
);

function Empty({ title, text, children }: { title: string; text: string; children?: ComponentChildren }) {
  return (
    <main class="page">
      <div class="idle" role="alert">
        <div>
          <h1 class="title-page">{title}</h1>
          <p class="muted">{text}</p>
          {children}
        </div>
      </div>
    </main>
  );
}
