// /qa: the list of calls, and one call to listen to.

import { path } from "../../state.ts";
import { Review } from "./call.tsx";
import { CallList } from "./list.tsx";
import "./call.css";

/** The call of a path `/qa/calls/<id>`; undefined for the list. */
export function callOf(at: string): string | undefined {
  const id = /^\/qa\/(?:calls\/)?([0-9a-f-]{36})$/i.exec(at)?.[1];
  return id?.toLowerCase();
}

export default function QaPage() {
  const id = callOf(path.value);
  return id ? <Review key={id} callId={id} /> : <CallList />;
}
