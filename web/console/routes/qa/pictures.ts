// The pictures that a page waits for: asked for as long as somebody looks at it.

import { useEffect, useRef, useState } from "preact/hooks";
import type { WaveformPending } from "../../../shared/gen/WaveformPending.ts";
import { api } from "../../state.ts";
import { oneByOne, type Drawn, type Picture } from "./wave.ts";

/** Points per lane: more than the widest column of pixels. */
const POINTS = 2000;

/** The pictures behind `urls`, which blanks separate, by their URL; and how to ask once more for those that failed. */
export function usePictures<T extends Drawn>(urls: string): [pictures: Record<string, Picture<T>>, again: () => void] {
  const [pictures, setPictures] = useState<Record<string, Picture<T>>>({});
  const [round, setRound] = useState(0);
  const drawn = useRef(new Set<string>());
  useEffect(() => {
    const wanted = urls.split(" ").filter((url) => url !== "" && !drawn.current.has(url));
    if (wanted.length === 0) return;
    let gone = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const tell = (url: string, wave: Picture<T>): void => {
      if (wave.at === "drawn") drawn.current.add(url);
      setPictures((before) => ({ ...before, [url]: wave }));
    };
    for (const url of wanted) tell(url, { at: "drawing", percent: 0 });
    void oneByOne<T>(wanted, {
      ask: (url) => api.get<T | WaveformPending>(`${url}${url.includes("?") ? "&" : "?"}points=${POINTS}`),
      tell,
      wait: (seconds) => new Promise((done) => (timer = setTimeout(done, seconds * 1000))),
      gone: () => gone,
    });
    return () => {
      gone = true;
      clearTimeout(timer);
    };
  }, [urls, round]);
  return [pictures, () => setRound((n) => n + 1)];
}
