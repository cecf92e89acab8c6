// Who was heard beside customer and agent: a lane each on the axis of the waves, heard together with them, and a file to
// take away. Every file begins and ends with the recording, so its player follows the recording's.

import { useEffect, useMemo, useState } from "preact/hooks";
import { download, speaker } from "../../../shared/design/icons.ts";
import { Icon } from "../../../shared/design/parts.tsx";
import { clock } from "../../../shared/format.ts";
import type { RecordedVoice } from "../../../shared/gen/RecordedVoice.ts";
import type { VoiceWaveform } from "../../../shared/gen/VoiceWaveform.ts";
import { oneDigit, t } from "../../words.ts";
import { fileSize, outline } from "./shape.ts";
import type { VoiceWave } from "./wave.ts";

/** What one player may be before or behind the other, seconds: nobody hears it as an echo, and a jump is audible. */
export const APART_S_MAX = 0.08;
/** Height of a lane, pixels; console.css has the same. */
const LANE = 44;
/** Width of the drawing; it is stretched to the column. */
const WIDTH = 1000;

/** Where a player that follows is to go on, seconds; undefined while it is near enough. */
export function catchUp(leader: number, follower: number): number | undefined {
  return Math.abs(leader - follower) > APART_S_MAX ? leader : undefined;
}

/** Plays the files of the voices with the recording: the same position, speed and state. `silent`: numbers not heard. */
export function useVoices(
  leader: HTMLAudioElement | undefined,
  voices: readonly RecordedVoice[],
  silent: readonly number[],
): void {
  const urls = voices.map((voice) => voice.audioUrl).join(" ");
  const [players, setPlayers] = useState<HTMLAudioElement[]>([]);
  useEffect(() => {
    if (!leader || urls === "") return;
    const made = urls.split(" ").map((url) => {
      const player = new Audio();
      player.preload = "metadata";
      player.src = url;
      return player;
    });
    setPlayers(made);
    const follow = (): void => {
      for (const player of made) {
        const to = catchUp(leader.currentTime, player.currentTime);
        if (to !== undefined) player.currentTime = to;
        player.playbackRate = leader.playbackRate;
        const playing = !leader.paused && !leader.ended;
        // One that cannot be played stays silent; the recording goes on, and its own file says why.
        if (playing && player.paused) player.play().catch(() => undefined);
        else if (!playing && !player.paused) player.pause();
      }
    };
    const events = ["play", "pause", "ended", "seeked", "ratechange", "timeupdate"];
    for (const name of events) leader.addEventListener(name, follow);
    return () => {
      for (const name of events) leader.removeEventListener(name, follow);
      for (const player of made) {
        player.pause();
        player.removeAttribute("src");
        player.load();
      }
    };
  }, [leader, urls]);
  useEffect(() => {
    players.forEach((player, place) => (player.muted = silent.includes(voices[place]?.number ?? 0)));
  }, [players, silent]);
}

/** The outline of a voice on an axis of `durationMs` that is `WIDTH` wide: where its picture begins and ends. */
export function voiceOutline(wave: VoiceWaveform, durationMs: number): string {
  if (durationMs <= 0) return "";
  const x = (ms: number): number => (ms / durationMs) * WIDTH;
  return outline(wave.peaks, x(wave.toMs) - x(wave.fromMs), LANE / 2, LANE - 6, x(wave.fromMs));
}

export function Voices(props: {
  voices: readonly RecordedVoice[];
  /** By the URL under which each was asked for. */
  waves: Record<string, VoiceWave>;
  drawAgain: () => void;
  durationMs: number;
  positionMs: number;
  silent: readonly number[];
  setSilent: (silent: number[]) => void;
  callId: string;
}) {
  const { voices, silent, setSilent } = props;
  if (voices.length === 0) return null;
  const turn = (number: number): void =>
    setSilent(silent.includes(number) ? silent.filter((one) => one !== number) : [...silent, number]);
  return (
    <section class="tracks qa-voices" aria-label={t("qa.voices")} data-testid="qa-voices">
      {voices.map((voice) => (
        <Voice
          key={voice.number}
          voice={voice}
          wave={props.waves[voice.waveformUrl]}
          {...props}
          heard={!silent.includes(voice.number)}
          turn={turn}
        />
      ))}
    </section>
  );
}

/** What somebody beside the two sides is to the call. */
export const partName = (voice: RecordedVoice): string =>
  t(voice.part === "supervisor" ? "role.supervisor" : "colleague");

function Voice(props: {
  voice: RecordedVoice;
  wave: VoiceWave | undefined;
  drawAgain: () => void;
  durationMs: number;
  positionMs: number;
  heard: boolean;
  turn: (number: number) => void;
  callId: string;
}) {
  const { voice, wave, durationMs } = props;
  const drawn = wave?.at === "drawn" ? wave.wave : undefined;
  const shape = useMemo(() => drawn && voiceOutline(drawn, durationMs), [drawn, durationMs]);
  const x = (ms: number): number => (durationMs > 0 ? (Math.min(ms, durationMs) / durationMs) * WIDTH : 0);
  const name = partName(voice);
  const spans = voice.heard.map(({ fromMs, toMs }) => `${clock(fromMs / 1000)}–${clock(toMs / 1000)}`).join(", ");
  const take = t("qa.voice.download", { who: name });
  return (
    <>
      <span class="track-name">
        <b class="medium clip">{name}</b>
        <span class="muted">{oneDigit(Math.round(voice.coverage * 1000) / 10)} %</span>
      </span>
      <div class="qa-voice" data-testid="qa-voice" data-part={voice.part}>
        <svg
          class={shape ? "is-drawn" : ""}
          viewBox={`0 0 ${WIDTH} ${LANE}`}
          preserveAspectRatio="none"
          role="img"
          aria-label={`${name} ${spans}`}
          aria-busy={wave?.at === "drawing"}
        >
          <rect class="voice-away" width={WIDTH} height={LANE} />
          {voice.heard.map(({ fromMs, toMs }) => (
            <rect
              key={fromMs}
              class="voice-heard"
              x={x(fromMs)}
              width={Math.max(2, x(toMs) - x(fromMs))}
              height={LANE}
            />
          ))}
          {shape && <Shape shape={shape} number={voice.number} head={x(props.positionMs)} />}
          <line class="playhead" x1={x(props.positionMs)} x2={x(props.positionMs)} y1="0" y2={LANE} />
        </svg>
        {wave?.at === "failed" && (
          <p class="qa-voice-line small muted" role="status" data-testid="qa-voice-wave-failed">
            {t("qa.wave_failed")}
            <button class="button button-plain" onClick={props.drawAgain}>
              {t("qa.wave_again")}
            </button>
          </p>
        )}
        <p class="qa-voice-line small">
          <button
            class="button button-plain"
            aria-pressed={props.heard}
            data-testid="qa-voice-hear"
            onClick={() => props.turn(voice.number)}
          >
            <Icon d={speaker} />
            {t("qa.voice.hear")}
          </button>
          <span class="muted number">{spans}</span>
          <a
            class="icon-button end"
            href={voice.audioUrl}
            download={`call-${props.callId.slice(0, 8)}-${voice.number}.ogg`}
            aria-label={take}
            title={`${take}, ${fileSize(voice.sizeBytes)}`}
            data-testid="qa-voice-download"
          >
            <Icon d={download} />
          </a>
        </p>
      </div>
    </>
  );
}

/** A voice's wave, cut at the playhead into heard and ahead as those of the two sides are. */
function Shape({ shape, number, head }: { shape: string; number: number; head: number }) {
  const [heard, ahead] = [`voice-heard-${number}`, `voice-ahead-${number}`];
  return (
    <>
      <defs>
        <clipPath id={heard}>
          <rect x="0" y="0" width={head} height={LANE} />
        </clipPath>
        <clipPath id={ahead}>
          <rect x={head} y="0" width={Math.max(0, WIDTH - head)} height={LANE} />
        </clipPath>
      </defs>
      <path class="wave-voice" d={shape} clip-path={`url(#${heard})`} />
      <path class="wave-voice is-ahead" d={shape} clip-path={`url(#${ahead})`} />
    </>
  );
}
