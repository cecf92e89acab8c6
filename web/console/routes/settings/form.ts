// What stands in the fields of the settings, whether it may be saved, and how much of it is new. Knows no page.

import type { Announce } from "../../../shared/gen/Announce.ts";
import type { AnnounceTo } from "../../../shared/gen/AnnounceTo.ts";
import type { MailSettings } from "../../../shared/gen/MailSettings.ts";
import type { MailSettingsView } from "../../../shared/gen/MailSettingsView.ts";
import type { QualitySettings } from "../../../shared/gen/QualitySettings.ts";
import type { QualityThresholds } from "../../../shared/gen/QualityThresholds.ts";
import type { StaffRole } from "../../../shared/gen/StaffRole.ts";
import type { SupervisionSettings } from "../../../shared/gen/SupervisionSettings.ts";
import type { SupervisionSettingsView } from "../../../shared/gen/SupervisionSettingsView.ts";

export type Leaf = keyof QualityThresholds;

/** A threshold: its leaf, the flag that it raises, the unit of its number. */
export interface Threshold {
  leaf: Leaf;
  flag: string;
  unit: "score" | "packets" | "ms" | "percent" | "seconds";
}

export const THRESHOLDS: readonly Threshold[] = [
  { leaf: "lowMos", flag: "low_mos", unit: "score" },
  { leaf: "highRttMs", flag: "high_rtt", unit: "ms" },
  { leaf: "highJitterMs", flag: "high_jitter", unit: "ms" },
  { leaf: "highLossPercent", flag: "high_loss", unit: "percent" },
  { leaf: "lossBurstPackets", flag: "loss_burst", unit: "packets" },
  { leaf: "oneWaySeconds", flag: "one_way", unit: "seconds" },
  { leaf: "deadAirSeconds", flag: "dead_air", unit: "seconds" },
  { leaf: "deadMicrophoneSeconds", flag: "dead_microphone", unit: "seconds" },
  { leaf: "clippingPercent", flag: "clipping", unit: "percent" },
];

/** Leaves whose number may have a fraction. */
const FRACTIONS: readonly Leaf[] = ["lowMos", "highLossPercent"];

/** The roles that may be told, least first. */
export const ROLES: readonly StaffRole[] = ["agent", "team_lead", "supervisor", "admin", "super_admin"];

/**
 * What was typed over what somebody else has set meanwhile: leaves that are new here stay, the others are theirs.
 * `before`: what both began with.
 */
export function over<T extends object>(mine: T, before: T, theirs: T): T {
  const isNew = (leaf: keyof T): boolean => JSON.stringify(mine[leaf]) !== JSON.stringify(before[leaf]);
  const leaves = (Object.keys(theirs) as (keyof T)[]).map((leaf) => [leaf, (isNew(leaf) ? mine : theirs)[leaf]]);
  return Object.fromEntries(leaves) as T;
}

/** A number as people write it, with a point or a comma; undefined for everything else. */
export function numberOf(text: string): number | undefined {
  const plain = text.trim().replace(",", ".");
  return /^\d{1,7}(\.\d{1,3})?$/.test(plain) ? Number(plain) : undefined;
}

const within = (value: number | undefined, min: number, max: number, fraction: boolean): boolean =>
  value !== undefined && value >= min && value <= max && (fraction || Number.isInteger(value));

/** The thresholds as texts of fields. */
export class QualityForm {
  #texts: Record<Leaf, string>;

  constructor(readonly settings: QualitySettings) {
    this.#texts = textsOf(settings.value);
  }

  text(leaf: Leaf): string {
    return this.#texts[leaf];
  }

  write(leaf: Leaf, text: string): void {
    this.#texts = { ...this.#texts, [leaf]: text };
  }

  isWrong(leaf: Leaf): boolean {
    const { min, max } = this.settings;
    return !within(numberOf(this.#texts[leaf]), min[leaf], max[leaf], FRACTIONS.includes(leaf));
  }

  isNew(leaf: Leaf): boolean {
    return numberOf(this.#texts[leaf]) !== this.settings.value[leaf];
  }

  get changes(): number {
    return THRESHOLDS.filter(({ leaf }) => this.isNew(leaf)).length;
  }

  /** True when something is new and nothing is wrong. */
  get savable(): boolean {
    return this.changes > 0 && !THRESHOLDS.some(({ leaf }) => this.isWrong(leaf));
  }

  get isUsual(): boolean {
    return THRESHOLDS.every(({ leaf }) => numberOf(this.#texts[leaf]) === this.settings.usual[leaf]);
  }

  undo(): void {
    this.#texts = textsOf(this.settings.value);
  }

  /** Puts the recommended values into the fields; nothing is saved yet. */
  usual(): void {
    this.#texts = textsOf(this.settings.usual);
  }

  /** What is to be saved. */
  get value(): QualityThresholds {
    const entries = THRESHOLDS.map(({ leaf }) => [leaf, numberOf(this.#texts[leaf]) ?? this.settings.value[leaf]]);
    return Object.fromEntries(entries) as QualityThresholds;
  }
}

function textsOf(value: QualityThresholds): Record<Leaf, string> {
  return Object.fromEntries(THRESHOLDS.map(({ leaf }) => [leaf, String(value[leaf])])) as Record<Leaf, string>;
}

/** The numbers of the mails. */
export type MailNumber = "qualityAlertAfterSeconds" | "qualityAlertQuietMinutes";
/** The switches of the mails. */
export type MailSwitch = "notifyStaffOnIncomingCall" | "notifyOnQualityAlert";

/** The mails as fields. */
export class MailForm {
  #value: MailSettings;
  #texts: Record<MailNumber, string>;

  constructor(readonly settings: MailSettingsView) {
    this.#value = settings.value;
    this.#texts = mailTexts(settings.value);
  }

  is(name: MailSwitch): boolean {
    return this.#value[name];
  }

  turn(name: MailSwitch, on: boolean): void {
    this.#value = { ...this.#value, [name]: on };
  }

  tells(role: StaffRole): boolean {
    return this.#value.qualityAlertRoles.includes(role);
  }

  tell(role: StaffRole, on: boolean): void {
    const qualityAlertRoles = ROLES.filter((one) => (one === role ? on : this.tells(one)));
    this.#value = { ...this.#value, qualityAlertRoles };
  }

  text(name: MailNumber): string {
    return this.#texts[name];
  }

  write(name: MailNumber, text: string): void {
    this.#texts = { ...this.#texts, [name]: text };
  }

  limits(name: MailNumber): { min: number; max: number } {
    const { afterSecondsMin, afterSecondsMax, quietMinutesMin, quietMinutesMax } = this.settings;
    return name === "qualityAlertAfterSeconds"
      ? { min: afterSecondsMin, max: afterSecondsMax }
      : { min: quietMinutesMin, max: quietMinutesMax };
  }

  isWrong(name: MailNumber): boolean {
    const { min, max } = this.limits(name);
    return !within(numberOf(this.#texts[name]), min, max, false);
  }

  get changes(): number {
    const { value } = this.settings;
    const flags = (["notifyStaffOnIncomingCall", "notifyOnQualityAlert"] as const).filter(
      (n) => this.is(n) !== value[n],
    );
    const numbers = NUMBERS.filter((name) => numberOf(this.#texts[name]) !== value[name]);
    const roles = ROLES.some((role) => this.tells(role) !== value.qualityAlertRoles.includes(role));
    return flags.length + numbers.length + (roles ? 1 : 0);
  }

  get savable(): boolean {
    return this.changes > 0 && !NUMBERS.some((name) => this.isWrong(name));
  }

  undo(): void {
    this.#value = this.settings.value;
    this.#texts = mailTexts(this.settings.value);
  }

  get value(): MailSettings {
    const numbers = NUMBERS.map((name) => [name, numberOf(this.#texts[name]) ?? this.settings.value[name]]);
    return { ...this.#value, ...(Object.fromEntries(numbers) as Record<MailNumber, number>) };
  }
}

/** What may be said about announcing supervisors, least first. */
export const ANNOUNCED = {
  announce: ["off", "notice", "tone"],
  announceTo: ["agent", "all"],
} as const satisfies { [K in keyof SupervisionSettings]: readonly SupervisionSettings[K][] };

/** How supervisors are announced, as choices. */
export class SupervisionForm {
  #value: SupervisionSettings;

  constructor(readonly settings: SupervisionSettingsView) {
    this.#value = settings.value;
  }

  is(name: keyof SupervisionSettings, word: string): boolean {
    return this.#value[name] === word;
  }

  choose(name: keyof SupervisionSettings, word: Announce | AnnounceTo): void {
    this.#value = { ...this.#value, [name]: word };
  }

  get changes(): number {
    const names = Object.keys(ANNOUNCED) as (keyof SupervisionSettings)[];
    return names.filter((name) => this.#value[name] !== this.settings.value[name]).length;
  }

  get savable(): boolean {
    return this.changes > 0;
  }

  undo(): void {
    this.#value = this.settings.value;
  }

  get value(): SupervisionSettings {
    return this.#value;
  }
}

const NUMBERS: readonly MailNumber[] = ["qualityAlertAfterSeconds", "qualityAlertQuietMinutes"];

const mailTexts = (value: MailSettings): Record<MailNumber, string> => ({
  qualityAlertAfterSeconds: String(value.qualityAlertAfterSeconds),
  qualityAlertQuietMinutes: String(value.qualityAlertQuietMinutes),
});
