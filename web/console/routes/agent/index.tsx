// /agent: the desk of one agent. Queue at the left, the call in the middle, the customer at the right.

import { useEffect, useState } from "preact/hooks";
import { list, phone, user } from "../../../shared/design/icons.ts";
import { Icon } from "../../../shared/design/parts.tsx";
import { useChanged } from "../../changed.ts";
import { live, watching } from "../../live.ts";
import { loadMe, me } from "../../state.ts";
import { t } from "../../words.ts";
import { DeskBar } from "./bar.tsx";
import { createDesk, takeDesk, watchPage } from "./browser.ts";
import { ActiveCall, type Drawer } from "./call.tsx";
import { Context } from "./context.tsx";
import type { Desk } from "./desk.ts";
import { Idle } from "./idle.tsx";
import { pressed } from "./keys.ts";
import { OfferCard } from "./offer.tsx";
import { Queue } from "./queue.tsx";
import { Toast } from "./toast.tsx";
import { Wrap } from "./wrap.tsx";

type Pane = "queue" | "main" | "context";

/** Stages in which the agent speaks or is about to. */
const BUSY: ReadonlySet<Desk["stage"]["at"]> = new Set(["accepting", "connecting", "talking"]);

/** The one desk of this page; it stays open while the agent looks at another page of the console. */
let open: Desk | undefined;

/** Opens the desk; false when another tab has it. */
async function openDesk(): Promise<boolean> {
  if (open) return true;
  const who = me.value;
  const { taken, release } = await takeDesk();
  if (!taken || !who || open) {
    release();
    return open !== undefined;
  }
  const desk = createDesk(who);
  const unwatch = watchPage(desk);
  open = desk;
  const busy = (): boolean => BUSY.has(desk.stage.at);
  // Whoever answers a call hears no other one.
  const unheed = desk.changed.subscribe(() => busy() && watching.value?.close());
  live.value = {
    Bar: () => <DeskBar desk={desk} />,
    busy,
    adopt: (call) => desk.adopt(call),
    close: () => {
      open = live.value = undefined;
      unwatch();
      unheed();
      desk.close();
      release();
    },
  };
  desk.open();
  return true;
}

export default function AgentPage() {
  const [shown, setShown] = useState<"waiting" | "mine" | "elsewhere">(open ? "mine" : "waiting");
  useEffect(() => {
    void openDesk().then((mine) => setShown(mine ? "mine" : "elsewhere"));
  }, []);
  if (shown === "elsewhere") return <Elsewhere />;
  return open ? <DeskView desk={open} /> : null;
}

/** Another tab has the desk, or took it over. */
function Elsewhere() {
  return (
    <main class="page" data-testid="desk-elsewhere">
      <div class="idle" role="status">
        <div class="stage-text">
          <h1 class="title-page">{t("elsewhere")}</h1>
          <p class="muted">{t("elsewhere.hint")}</p>
        </div>
        <button class="button" onClick={() => location.reload()}>
          {t("elsewhere.here")}
        </button>
      </div>
    </main>
  );
}

export function DeskView({ desk }: { desk: Desk }) {
  const [pane, setPane] = useState<Pane>("main");
  const [drawer, setDrawer] = useState<Drawer>("none");
  useChanged(desk);
  useEffect(() => {
    const ask = (): void => setDrawer((now) => (now === "ask" ? "none" : "ask"));
    const keys = (event: KeyboardEvent): void => {
      const target = event.target as HTMLElement | null;
      // In a field a letter is a letter, and Enter on a button is its own press.
      if (target?.closest("input, textarea, select")) return;
      if (event.key === "Enter" && target?.closest("button, a")) return;
      if (pressed(desk, { ask }, event)) event.preventDefault();
    };
    addEventListener("keydown", keys);
    return () => removeEventListener("keydown", keys);
  }, [desk]);
  const line = desk.signal.state;
  const signedOut = line.at === "closed" && line.code === "unauthenticated";
  useEffect(() => {
    if (signedOut) void loadMe();
  }, [signedOut]);
  if (line.at === "closed" && line.code === "replaced") return <Elsewhere />;
  const waiting = desk.day.queue?.waiting.length ?? 0;
  return (
    <div
      class={`agent ${pane === "queue" ? "shows-queue" : pane === "context" ? "shows-context" : ""}`}
      data-testid="call-state"
      data-state={desk.stage.at}
      data-presence={desk.presence}
      data-line={desk.signal.state.at}
      data-sound={desk.leg.state.at}
      data-call-id={desk.call?.callId}
    >
      <Queue desk={desk} />
      <Main desk={desk} drawer={drawer} setDrawer={setDrawer} />
      <Context desk={desk} alone={pane === "context"} />
      {(desk.stage.at === "offered" || desk.stage.at === "accepting") && (
        <OfferCard key={desk.stage.offer.offerId} desk={desk} offer={desk.stage.offer} />
      )}
      <Toast desk={desk} />
      <nav class="bottom-tabs" aria-label={t("panes")}>
        <PaneTab pane="queue" now={pane} set={setPane} label={`${t("pane.queue")} ${waiting || ""}`} d={list} />
        <PaneTab pane="main" now={pane} set={setPane} label={t("pane.call")} d={phone} />
        <PaneTab pane="context" now={pane} set={setPane} label={t("pane.customer")} d={user} />
      </nav>
    </div>
  );
}

function PaneTab(props: { pane: Pane; now: Pane; set: (pane: Pane) => void; label: string; d: string }) {
  return (
    <button
      class="bottom-tab"
      aria-current={props.now === props.pane ? "page" : undefined}
      onClick={() => props.set(props.pane)}
    >
      <Icon d={props.d} />
      {props.label}
    </button>
  );
}

function Main({ desk, drawer, setDrawer }: { desk: Desk; drawer: Drawer; setDrawer: (drawer: Drawer) => void }) {
  const { stage } = desk;
  switch (stage.at) {
    case "idle":
    case "offered":
    case "accepting":
      return <Idle desk={desk} />;
    case "connecting":
    case "talking":
      return <ActiveCall key={stage.call.callId} desk={desk} call={stage.call} drawer={drawer} setDrawer={setDrawer} />;
    case "wrapping":
      return <Wrap desk={desk} wrapUp={stage.wrapUp} call={stage.call} />;
  }
}
