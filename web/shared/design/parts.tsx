// The small parts that widget and consoles share, on the classes of components.css.
// No inline style: a changing value is an attribute or SVG geometry.

import { Component, createRef, type ComponentChildren, type TargetedEvent } from "preact";
import { initials } from "../format.ts";
import { alert, check, down, info, micOff, offline, phone } from "./icons.ts";

export function Icon({ d, small, turned }: { d: string; small?: boolean; turned?: boolean }) {
  return (
    <svg class={small ? "icon icon-small" : "icon"} viewBox="0 0 20 20" aria-hidden="true">
      <path d={d} transform={turned ? "rotate(135 10 10)" : undefined} />
    </svg>
  );
}

export const HangUpIcon = () => <Icon d={phone} turned />;

export function Avatar({ name, size = "", customer }: { name: string; size?: string; customer?: boolean }) {
  return (
    <span class={`avatar ${size} ${customer ? "avatar-customer" : ""}`} aria-hidden="true">
      {initials(name)}
    </span>
  );
}

const NOTICE_ICONS = { "": info, "notice-warn": alert, "notice-ok": check, "notice-danger": alert };

/** A quiet box with an icon; `muted` and `lost` have shapes of their own. */
export function Notice(props: {
  kind?: "" | "notice-warn" | "notice-ok" | "notice-danger";
  shape?: "muted" | "lost";
  role?: "status" | "alert";
  children: ComponentChildren;
}) {
  const kind = props.kind ?? "";
  const d = props.shape === "muted" ? micOff : props.shape === "lost" ? offline : NOTICE_ICONS[kind];
  return (
    <div class={`notice ${kind}`} role={props.role}>
      <Icon d={d} />
      <span>{props.children}</span>
    </div>
  );
}

/** A choice by name. Nothing chosen means the first, which browsers give to the system's own device. */
export function Select(props: {
  label: string;
  value: string;
  options: readonly { id: string; label: string }[];
  onChange: (id: string) => void;
}) {
  return (
    <label class="field">
      <span class="field-label">{props.label}</span>
      <span class="select-wrap">
        <select
          class="select"
          value={(props.options.find(({ id }) => id === props.value) ?? props.options[0])?.id}
          onChange={(event: TargetedEvent<HTMLSelectElement>) => props.onChange(event.currentTarget.value)}
        >
          {props.options.map((option) => (
            <option key={option.id} value={option.id}>
              {option.label}
            </option>
          ))}
        </select>
        <Icon d={down} />
      </span>
    </label>
  );
}

export function Bars({ bars, word }: { bars: number; word: string }) {
  return (
    <span class="quality" data-bars={bars}>
      <span class="quality-bars" aria-hidden="true">
        <i />
        <i />
        <i />
        <i />
      </span>
      {word}
    </span>
  );
}

/** Updates of a moving level or line per second; more is not seen. */
const FRAMES_PER_SECOND = 15;
/** The same for people who asked for less motion: a level that steps. */
const CALM_FRAMES_PER_SECOND = 2;

/** Something that moves: redraws its own element, without the framework, about 15 times a second. */
abstract class Moving<P> extends Component<P> {
  #timer: ReturnType<typeof setInterval> | undefined;

  override componentDidMount(): void {
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.#timer = setInterval(() => this.frame(), 1000 / (calm ? CALM_FRAMES_PER_SECOND : FRAMES_PER_SECOND));
  }

  override componentWillUnmount(): void {
    clearInterval(this.#timer);
  }

  protected abstract frame(): void;
}

const TEN = Array.from({ length: 10 });

/** A ten-step level; an image with a name, not a live region. */
export class Level extends Moving<{ read: () => number; name: string; customer?: boolean }> {
  readonly #element = createRef<HTMLSpanElement>();

  protected override frame(): void {
    this.#element.current?.setAttribute("data-level", String(Math.round(this.props.read() * 10)));
  }

  override render() {
    const { name, customer } = this.props;
    return (
      <span class={customer ? "level level-customer" : "level"} ref={this.#element} role="img" aria-label={name}>
        {TEN.map((_, n) => (
          <i key={n} />
        ))}
      </span>
    );
  }
}

/** Distance between two strokes of a line, in units of its view box. */
const STROKE_STEP = 6;

export interface LineProps {
  /** Loudness now, 0 to 1. */
  read: () => number;
  className: string;
  strokeClass?: string;
  width: number;
  height: number;
}

/** The line: flat in silence, open when someone speaks; the newest sound is at its right end. */
export class Line extends Moving<LineProps> {
  readonly #path = createRef<SVGPathElement>();
  readonly #past: number[] = [];

  #shape(): string {
    const { width, height } = this.props;
    return strokes(this.#past, Math.floor(width / STROKE_STEP), height);
  }

  protected override frame(): void {
    this.#past.push(this.props.read());
    if (this.#past.length > this.props.width / STROKE_STEP) this.#past.shift();
    this.#path.current?.setAttribute("d", this.#shape());
  }

  override render() {
    const { className, strokeClass, width, height } = this.props;
    return (
      <svg class={className} viewBox={`0 0 ${width} ${height}`} preserveAspectRatio="none" aria-hidden="true">
        <path
          ref={this.#path}
          class={strokeClass}
          d={this.#shape()}
          fill="none"
          stroke-width="2.5"
          stroke-linecap="round"
        />
      </svg>
    );
  }
}

/** Vertical strokes around the middle for levels of 0 to 1, right-aligned. */
export function strokes(levels: readonly number[], count: number, height: number): string {
  let d = "";
  for (let n = 0; n < count; n++) {
    const level = levels[n - (count - levels.length)] ?? 0;
    const half = 1 + level * (height / 2 - 2);
    d += `M${1 + n * STROKE_STEP} ${(height / 2 - half).toFixed(1)}V${(height / 2 + half).toFixed(1)}`;
  }
  return d;
}

/** Draws its child anew every second, for timers. */
export class EverySecond extends Component<{ children: () => ComponentChildren }> {
  #timer: ReturnType<typeof setInterval> | undefined;

  override componentDidMount(): void {
    this.#timer = setInterval(() => this.forceUpdate(), 1000);
  }

  override componentWillUnmount(): void {
    clearInterval(this.#timer);
  }

  override render() {
    return this.props.children();
  }
}
