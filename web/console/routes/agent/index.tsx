// /agent: the desk of one agent. Queue at the left, the call in the middle, the customer at the right.

import { useEffect, useReducer, useState } from "preact/hooks";
import { list, phone, user } from "../../../shared/design/icons.ts";
import { Icon } from "../../../shared/design/parts.tsx";
import { me } from "../../state.ts";
import { t } from "../../words.ts";
import { createDesk, takeDesk, watchPage } from "./browser.ts";
import { ActiveCall } from "./call.tsx";
import { Context } from "./context.tsx";
import type { Desk } from "./desk.ts";
import { Idle } from "./idle.tsx";
import { OfferCard } from "./offer.tsx";
import { Queue } from "./queue.tsx";
import { Toast } from "./toast.tsx";
import { Wrap } from "./wrap.tsx";

type Pane = "queue" | "main" | "context";

export default function AgentPage() {
  const [desk, setDesk] = useState<Desk>();
  const [elsewhere, setElsewhere] = useState(false);
  useEffect(() => {
    if (!me.value) return;
    const mine = createDesk(me.value);
    let gone = false;
    let release = (): void => {};
    const unwatch = watchPage(mine);
    void takeDesk().then((desk) => {
      release = desk.release;
      if (gone) return release();
      if (!desk.taken) return setElsewhere(true);
      mine.open();
      setDesk(mine);
    });
    return () => {
      gone = true;
      unwatch();
      mine.close();
      release();
    };
  }, []);
  if (elsewhere) {
    return (
      <main class="page">
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
  return desk ? <DeskView desk={desk} /> : null;
}

export function DeskView({ desk }: { desk: Desk }) {
  const [, redraw] = useReducer<number, void>((n) => n + 1, 0);
  const [pane, setPane] = useState<Pane>("main");
  useEffect(() => desk.changed.subscribe(() => redraw()), [desk]);
  useEffect(() => {
    const keys = (event: KeyboardEvent): void => pressed(desk, event);
    addEventListener("keydown", keys);
    return () => removeEventListener("keydown", keys);
  }, [desk]);
  const waiting = desk.queue?.waiting.length ?? 0;
  return (
    <div class={`agent ${pane === "queue" ? "shows-queue" : pane === "context" ? "shows-context" : ""}`}>
      <Queue desk={desk} />
      <Main desk={desk} />
      <Context desk={desk} />
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

function Main({ desk }: { desk: Desk }) {
  const { stage } = desk;
  switch (stage.at) {
    case "idle":
    case "offered":
    case "accepting":
      return <Idle desk={desk} />;
    case "connecting":
    case "talking":
      return <ActiveCall key={stage.call.callId} desk={desk} call={stage.call} />;
    case "wrapping":
      return <Wrap desk={desk} wrapUp={stage.wrapUp} call={stage.call} />;
  }
}

/** Enter answers, M mutes; Escape does nothing on purpose. */
function pressed(desk: Desk, event: KeyboardEvent): void {
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
  const target = event.target as HTMLElement | null;
  if (target?.closest("input, textarea, select")) return;
  const { at } = desk.stage;
  if (event.key === "Enter" && at === "offered" && !target?.closest("button, a")) {
    event.preventDefault();
    void desk.accept();
  } else if (event.key.toLowerCase() === "m" && at === "talking") {
    desk.mute(!desk.muted);
  }
}
