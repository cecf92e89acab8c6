// The frame of a page about the server itself: the way back, the name, what may be done, and what is to be said first.

import type { ComponentChildren } from "preact";
import { useLayoutEffect, useState } from "preact/hooks";
import { browserClock } from "../../../shared/clock.ts";
import { left } from "../../../shared/design/icons.ts";
import { Icon, Notice } from "../../../shared/design/parts.tsx";
import { useChanged } from "../../changed.ts";
import { h } from "../../house.ts";
import { api, leave } from "../../state.ts";
import { t, timeOfDay } from "../../words.ts";
import type { Polled, PolledEnv } from "./polled.ts";

/** What `make` makes of the server, read as long as the page is shown. */
export function usePolled<P extends Polled<unknown>>(make: (env: PolledEnv) => P): P {
  const [polled] = useState(() =>
    make({ api, clock: browserClock, visible: () => !document.hidden, signedOut: leave }),
  );
  useChanged(polled);
  useLayoutEffect(() => {
    const seen = (): void => void (!document.hidden && polled.seen());
    document.addEventListener("visibilitychange", seen);
    polled.open();
    return () => {
      document.removeEventListener("visibilitychange", seen);
      polled.close();
    };
  }, []);
  return polled;
}

/** Why what is shown is not of now. */
export function Stale({ polled: { stale, readAt }, unread }: { polled: Polled<unknown>; unread: string }) {
  if (!stale) return null;
  return (
    <Notice kind="notice-warn" shape="lost" role="status">
      {readAt === undefined ? unread : t("live.stale", { time: timeOfDay(new Date(readAt).toISOString()) })}
    </Notice>
  );
}

interface FrameProps {
  /** Class and test id. */
  name: string;
  polled: Polled<unknown>;
  title: string;
  /** Beside the title. */
  about?: ComponentChildren;
  actions?: ComponentChildren;
  hint?: string | false;
  /** What is said while nothing could be read. */
  unread: string;
  /** Why the last change was refused, where more is known than that it was. */
  refused?: string | undefined;
  /** More to be said. */
  notices?: ComponentChildren;
  children: ComponentChildren;
}

export function Frame({ name, polled, title, about, actions, hint, unread, refused, notices, children }: FrameProps) {
  return (
    <main class={`page admin ${name}`} data-testid={name} aria-busy={polled.readAt === undefined && !polled.stale}>
      <header class="page-head">
        <a class="icon-button" href="/admin" aria-label={h("admin.back")} title={h("admin.back")}>
          <Icon d={left} />
        </a>
        <h1 class="title-page">{title}</h1>
        {about}
        {actions && <span class="end">{actions}</span>}
      </header>
      <div class="admin-notices">
        {hint && <p class="small muted admin-hint">{hint}</p>}
        <Stale polled={polled} unread={unread} />
        {polled.failed && (
          <Notice kind="notice-warn" role="alert">
            {refused ?? h("admin.failed")}
          </Notice>
        )}
        {notices}
      </div>
      {children}
    </main>
  );
}
