// A list that keeps up with the sound.

import type { RefObject } from "preact";
import { useEffect, useRef } from "preact/hooks";

/** Keeps what belongs to the moment that is heard in sight of its list, without moving the page. */
export function useFollow<T extends HTMLElement>(now: string | number | undefined): RefObject<T | null> {
  const list = useRef<T>(null);
  useEffect(() => {
    const box = list.current?.getBoundingClientRect();
    const row = list.current?.querySelector("[aria-current=true]")?.getBoundingClientRect();
    if (!box || !row || (row.top >= box.top && row.bottom <= box.bottom)) return;
    list.current?.scrollBy(0, row.top - box.top - box.height / 2);
  }, [now]);
  return list;
}
