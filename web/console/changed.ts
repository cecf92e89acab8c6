// A view of a machine that changes in place: drawn anew whenever the machine says that it changed.

import { useLayoutEffect, useReducer } from "preact/hooks";
import type { Emitter } from "../shared/emitter.ts";

export function useChanged({ changed }: { changed: Emitter }): void {
  const [, redraw] = useReducer<number, void>((n) => n + 1, 0);
  useLayoutEffect(() => changed.subscribe(() => redraw()), [changed]);
}
