// The controls under the waves. The sound itself is one HTMLAudioElement that fetches ranges as it needs them.

import type { TargetedEvent } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { back5, download, forward5, pause, play } from "../../../shared/design/icons.ts";
import { Icon } from "../../../shared/design/parts.tsx";
import { clock } from "../../../shared/format.ts";
import { t } from "../../words.ts";

/** How often the position is read while the sound plays, milliseconds. */
const READ_EVERY_MS = 66;
/** Seconds of one step back or forward. */
export const STEP_S = 5;
const SPEEDS = [1, 1.5, 2] as const;

/** What went wrong with the sound, as `MediaError.code` counts. */
const MEDIA_ERRORS: Record<number, string> = { 1: "aborted", 2: "network", 3: "decode", 4: "not_supported" };

export interface Playback {
  audio: HTMLAudioElement | undefined;
  positionMs: number;
  playing: boolean;
  fault: string | undefined;
  /** What the element says, once it knows. */
  durationMs: number | undefined;
  seek: (ms: number) => void;
  toggle: () => void;
}

/** One sound file with its position; silent until `toggle`. */
export function usePlayback(url: string | undefined): Playback {
  const audio = useRef<HTMLAudioElement | undefined>(undefined);
  const [positionMs, setPosition] = useState(0);
  const [playing, setPlaying] = useState(false);
  const [fault, setFault] = useState<string>();
  const [durationMs, setDuration] = useState<number>();
  useEffect(() => {
    if (!url) return;
    const element = new Audio();
    audio.current = element;
    const read = (): void => setPosition(element.currentTime * 1000);
    const state = (): void => {
      setPlaying(!element.paused && !element.ended);
      read();
    };
    for (const name of ["play", "pause", "ended"]) element.addEventListener(name, state);
    for (const name of ["timeupdate", "seeked"]) element.addEventListener(name, read);
    element.addEventListener("durationchange", () => {
      if (Number.isFinite(element.duration)) setDuration(element.duration * 1000);
    });
    element.addEventListener("error", () => setFault(MEDIA_ERRORS[element.error?.code ?? 0] ?? "unknown"));
    element.preload = "metadata";
    element.src = url;
    return () => {
      audio.current = undefined;
      element.pause();
      element.removeAttribute("src");
      element.load();
    };
  }, [url]);
  useEffect(() => {
    if (!playing) return;
    const id = setInterval(() => audio.current && setPosition(audio.current.currentTime * 1000), READ_EVERY_MS);
    return () => clearInterval(id);
  }, [playing]);
  return {
    audio: audio.current,
    positionMs,
    playing,
    fault,
    durationMs,
    seek: (ms) => {
      const element = audio.current;
      if (!element) return;
      element.currentTime = Math.max(0, ms) / 1000;
      setPosition(Math.max(0, ms));
    },
    toggle: () => {
      const element = audio.current;
      if (!element) return;
      if (element.paused) element.play().catch(() => setPlaying(false));
      else element.pause();
    },
  };
}

export function Player(props: { playback: Playback; durationMs: number; url: string; name: string }) {
  const { playback, durationMs } = props;
  const [speed, setSpeed] = useState(1);
  const step = (seconds: number): void =>
    playback.seek(Math.min(durationMs, Math.max(0, playback.positionMs + seconds * 1000)));
  const keys = (event: KeyboardEvent): void => {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    event.preventDefault();
    step(event.key === "ArrowLeft" ? -STEP_S : STEP_S);
  };
  const choose = (next: number): void => {
    setSpeed(next);
    if (playback.audio) playback.audio.playbackRate = next;
  };
  return (
    <div
      class="player"
      role="group"
      aria-label={t("sound")}
      data-testid="qa-player"
      data-state={playback.playing ? "playing" : "paused"}
    >
      <button class="icon-button" aria-label={t("qa.seek_back")} onClick={() => step(-STEP_S)}>
        <Icon d={back5} />
      </button>
      <button
        class="icon-button player-play"
        data-testid="qa-play"
        aria-label={t(playback.playing ? "qa.pause" : "qa.play")}
        onClick={playback.toggle}
      >
        <Icon d={playback.playing ? pause : play} />
      </button>
      <button class="icon-button" aria-label={t("qa.seek_forward")} onClick={() => step(STEP_S)}>
        <Icon d={forward5} />
      </button>
      <span class="number nowrap" data-testid="qa-position">
        <b class="strong">{clock(playback.positionMs / 1000)}</b>{" "}
        <span class="muted">{t("qa.of", { time: clock(durationMs / 1000) })}</span>
      </span>
      <input
        class="range"
        type="range"
        data-testid="qa-seek"
        aria-label={t("qa.seek")}
        aria-valuetext={t("qa.of", { time: clock(durationMs / 1000) })}
        min={0}
        max={Math.ceil(durationMs)}
        step={100}
        value={Math.round(playback.positionMs)}
        onKeyDown={keys}
        onInput={(event: TargetedEvent<HTMLInputElement>) => playback.seek(Number(event.currentTarget.value))}
      />
      <div class="segments" role="group" aria-label={t("qa.speed")}>
        {SPEEDS.map((one) => (
          <button key={one} class="segment" aria-pressed={speed === one} onClick={() => choose(one)}>
            {one}×
          </button>
        ))}
      </div>
      <a
        class="icon-button"
        href={props.url}
        download={props.name}
        aria-label={t("qa.download")}
        title={t("qa.download")}
      >
        <Icon d={download} />
      </a>
    </div>
  );
}
