// What an agent may do with a running call: hold, mute, shield keys, ask a colleague. The machine behind the buttons, without DOM.
//
// Every command is asked of the server once and shown when the server says so; only one's own microphone is closed at
// once, because the agent must be sure of that before anybody answers.
//
// Invariant: nothing is sent without a call in talk.

import type { Api } from "../../../shared/api.ts";
import type { CallView } from "../../../shared/gen/CallView.ts";
import type { AvailableStaff } from "../../../shared/gen/AvailableStaff.ts";
import type { StaffAvailable } from "../../../shared/gen/StaffAvailable.ts";
import type { Part } from "../../../shared/gen/Part.ts";

export type Command = "hold" | "mute" | "shield" | "consult" | "merge" | "complete" | "cancel";

/** The desk, as far as a command needs it. */
export interface Host {
  api: Api;
  /** The call in talk. */
  talking(): CallView | undefined;
  /** What this desk is to the call. */
  part(): "agent" | "partner";
  /** The microphone's own switch. */
  voice: { readonly muted: boolean; mute(muted: boolean): void };
  /** What the server says of the call. */
  show(call: CallView): void;
  tell(key: "command_failed" | "consult_failed" | "mute_kept", code: string): void;
  changed(): void;
}

/** Statuses with which the server says that a colleague cannot be asked now. */
const NOT_FREE: readonly number[] = [404, 409];
/** Status with which the server says that somebody with more right has muted the party. */
const KEPT = 403;

export class Control {
  /** What has been asked for and is not yet answered. */
  pending: Command | undefined;
  /** Whom one may ask; undefined before they were read. */
  colleagues: AvailableStaff[] | undefined;
  /** Reading the colleagues did not work. */
  unread = false;
  #telling = false;

  constructor(private readonly host: Host) {}

  /** True when nobody hears this desk, by its own switch or by the server's. */
  get mutedSelf(): boolean {
    return this.host.voice.muted || this.#mutedThere(this.host.part());
  }

  /** True when somebody else has muted this desk, and it alone has not; whether it may end that is the server's word. */
  get mutedByOther(): boolean {
    const part = this.host.part();
    return !this.host.voice.muted && this.#mutedThere(part) && !this.host.talking()?.mutedSelf?.includes(part);
  }

  #mutedThere(part: Part): boolean {
    return this.host.talking()?.muted.includes(part) ?? false;
  }

  /** Whether the server knows of this desk's own switch; one of the version before does not say whose a mute is. */
  #knownThere(part: Part): boolean {
    return this.host.talking()?.mutedSelf?.includes(part) ?? this.#mutedThere(part);
  }

  /** Puts the customer on hold, or takes him back. */
  async hold(on: boolean): Promise<void> {
    await this.#ask("hold", on ? "hold" : "resume", {});
  }

  /** Closes one's own microphone, and has the server keep it out of the recording; or opens it, and asks the server to end
   * what keeps it silent there, one's own mute first. */
  async muteSelf(muted: boolean): Promise<void> {
    this.host.voice.mute(muted);
    if (this.#telling) return;
    this.#telling = true;
    // The wish may change while the server is asked: the last one counts.
    for (let told: boolean | undefined; told !== this.host.voice.muted;) {
      told = this.host.voice.muted;
      const call = this.host.talking();
      const part = this.host.part();
      const there = told ? this.#knownThere(part) : this.#mutedThere(part);
      if (!call || there === told) break;
      const reply = await this.#post(call, told ? "mute" : "unmute", { part });
      if (reply.ok) this.#shown(call, reply.value);
      else {
        // A microphone that is closed here is closed, whether the server knows it or not.
        if (!told) this.host.tell(reply.status === KEPT ? "mute_kept" : "command_failed", reply.code);
        break;
      }
    }
    this.#telling = false;
  }

  /** Takes another one's voice off the call, or gives it back. */
  async mute(part: Part, muted: boolean): Promise<void> {
    await this.#ask("mute", muted ? "mute" : "unmute", { part });
  }

  /** Keeps the keys that are pressed from everybody, or lets them be heard; not where the house shields every call. */
  async shield(on: boolean): Promise<void> {
    if (this.host.talking()?.shielded === "always") return;
    await this.#ask("shield", on ? "shield" : "unshield", {});
  }

  async readColleagues(): Promise<void> {
    const reply = await this.host.api.get<StaffAvailable>("/api/support/staff/available");
    this.unread = !reply.ok;
    if (reply.ok) this.colleagues = reply.value.staff;
    this.host.changed();
  }

  /** Rings a colleague; the customer hears music meanwhile. */
  async consult(staffId: string): Promise<void> {
    const failed = await this.#ask("consult", "consult", { staffId });
    if (failed !== undefined) void this.readColleagues();
  }

  /** All three talk. */
  async merge(): Promise<void> {
    await this.#ask("merge", "consult/merge", {});
  }

  /** The colleague keeps the call, this desk leaves it. */
  async complete(): Promise<void> {
    await this.#ask("complete", "consult/complete", {});
  }

  /** The colleague leaves, or rings no more; back to the customer. */
  async cancel(): Promise<void> {
    await this.#ask("cancel", "consult/cancel", {});
  }

  /** Asks once; the refusal's code when it was refused. */
  async #ask(command: Command, path: string, body: unknown): Promise<string | undefined> {
    const call = this.host.talking();
    if (!call || this.pending) return undefined;
    this.pending = command;
    this.host.changed();
    const reply = await this.#post(call, path, body);
    this.pending = undefined;
    if (reply.ok) this.#shown(call, reply.value);
    else {
      const busy = command === "consult" && NOT_FREE.includes(reply.status);
      const kept = path === "unmute" && reply.status === KEPT;
      this.host.tell(busy ? "consult_failed" : kept ? "mute_kept" : "command_failed", reply.code);
    }
    this.host.changed();
    return reply.ok ? undefined : reply.code;
  }

  #post(call: CallView, path: string, body: unknown) {
    return this.host.api.post<CallView>(`/api/support/call/${call.callId}/${path}`, body);
  }

  /** The reply of a command, unless the desk has gone on to something else meanwhile. */
  #shown(asked: CallView, call: CallView): void {
    if (this.host.talking()?.callId === asked.callId) this.host.show(call);
  }
}
