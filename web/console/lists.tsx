// What the pages with a list share: the question, the filters, an empty list's words, the pages, and one row's details.

import type { ComponentChildren, TargetedEvent } from "preact";
import { useEffect, useState } from "preact/hooks";
import { close, down, left, right, search } from "../shared/design/icons.ts";
import { Icon } from "../shared/design/parts.tsx";
import { api } from "./state.ts";
import { t } from "./words.ts";

export type Answer<T> = { at: "loading" } | { at: "failed" } | { at: "page"; page: T };

/** What the server answers to `request`, asked again when it changes; the page before stands until the next is there. */
export function useAnswer<T>(request: string): Answer<T> {
  const [answer, setAnswer] = useState<Answer<T>>({ at: "loading" });
  useEffect(() => {
    let gone = false;
    void api.get<T>(request).then((reply) => {
      if (!gone) setAnswer(reply.ok ? { at: "page", page: reply.value } : { at: "failed" });
    });
    return () => {
      gone = true;
    };
  }, [request]);
  return answer;
}

/** An empty list: what is so, then what will happen. */
export function Nothing({ d, title, hint }: { d?: string; title: string; hint: string }) {
  return (
    <div class="empty" role="status">
      {d && <Icon d={d} />}
      <b class="strong">{title}</b>
      <span>{hint}</span>
    </div>
  );
}

interface SearchProps {
  testId: string;
  label: string;
  value: string;
  write: (text: string) => void;
}

export function Search({ testId, label, value, write }: SearchProps) {
  return (
    <span class="input-group">
      <Icon d={search} small />
      <input
        class="input"
        type="search"
        data-testid={testId}
        autocomplete="off"
        spellcheck={false}
        placeholder={label}
        aria-label={label}
        value={value}
        onInput={(event: TargetedEvent<HTMLInputElement>) => write(event.currentTarget.value)}
      />
    </span>
  );
}

interface ChoiceProps {
  d: string;
  /** Said to whoever does not see it, and the choice that filters nothing unless `usual` names that. */
  name: string;
  usual?: string;
  /** Empty for the choice that filters nothing. */
  value: string;
  set: (value: string) => void;
  testId?: string;
  children: ComponentChildren;
}

export function Choice({ d, name, usual, value, set, testId, children }: ChoiceProps) {
  return (
    <span class={`filter-select ${value ? "is-set" : ""}`}>
      <Icon d={d} />
      <select
        value={value}
        aria-label={name}
        data-testid={testId}
        onChange={(event: TargetedEvent<HTMLSelectElement>) => set(event.currentTarget.value)}
      >
        <option value="">{usual ?? name}</option>
        {children}
      </select>
      <Icon d={down} />
    </span>
  );
}

/** To the newest page, and to the next older one; undefined where there is none. */
export function Pages({ newer, older }: { newer: (() => void) | undefined; older: (() => void) | undefined }) {
  return (
    <footer class="bar-foot">
      <span class="end">
        <button class="button button-plain" disabled={!newer} onClick={newer}>
          <Icon d={left} small />
          {t("qa.newer")}
        </button>
        <button class="button button-plain" disabled={!older} onClick={older}>
          {t("qa.older")}
          <Icon d={right} small />
        </button>
      </span>
    </footer>
  );
}

interface DetailsProps {
  /** Test ids: `${name}-drawer` and `${name}-close`. */
  name: string;
  label: string;
  /** What stands in its head beside the way out. */
  head: ComponentChildren;
  /** Whether the head has no picture of a person. */
  plain?: boolean;
  shut: () => void;
  children?: ComponentChildren;
}

/** One row's details beside the list; Escape shuts them unless a field or a dialog has it. */
export function Details({ name, label, head, plain, shut, children }: DetailsProps) {
  useEffect(() => {
    const keys = (event: KeyboardEvent): void => {
      const inside = (event.target as HTMLElement | null)?.closest("dialog, input, select, textarea");
      if (event.key === "Escape" && !inside) shut();
    };
    addEventListener("keydown", keys);
    return () => removeEventListener("keydown", keys);
  }, [shut]);
  return (
    <aside class="live-drawer" data-testid={`${name}-drawer`} aria-label={label}>
      <header class={plain ? "live-head live-head-gone" : "live-head"}>
        {head}
        <button
          class="icon-button"
          data-testid={`${name}-close`}
          aria-label={t("live.close")}
          title={t("live.close")}
          onClick={shut}
        >
          <Icon d={close} />
        </button>
      </header>
      {children}
    </aside>
  );
}
