// A link to the line test, made for one visitor and copied. Without DOM.
//
// Invariant: at most one link is being made; a link that could not be made leaves the one before it alone.

import type { Api } from "../../../shared/api.ts";
import { Emitter } from "../../../shared/emitter.ts";
import type { PreflightLink } from "../../../shared/gen/PreflightLink.ts";
import type { PreflightLinkRequest } from "../../../shared/gen/PreflightLinkRequest.ts";

/** Characters of a note: what the server keeps of it. */
export const NOTE_MAX = 64;

export interface LinkEnv {
  api: Api;
  /** Where the pages are, without a slash at the end: a link is told to people and starts with it. */
  origin: string;
  /** Puts a text into the clipboard; rejects where the browser permits none. */
  write(text: string): Promise<void>;
  /** The session is over. */
  signedOut(): void;
}

export class LineLink {
  /** The whole address, and until when it is good. */
  made: { address: string; expiresAt: string } | undefined;
  making = false;
  /** The last wish for a link was refused or not answered. */
  failed = false;
  /** Whether the link is in the clipboard; undefined until somebody asked for it. */
  copied: boolean | undefined;
  readonly changed = new Emitter();

  constructor(private readonly env: LinkEnv) {}

  /** Makes a link; `note` says for whom it is and may be empty. */
  async make(note: string): Promise<void> {
    if (this.making) return;
    this.making = true;
    this.changed.emit();
    const body: PreflightLinkRequest = note.trim() ? { note: note.trim() } : {};
    const reply = await this.env.api.post<PreflightLink>("/api/support/preflight/link", body);
    this.making = false;
    this.failed = !reply.ok;
    if (reply.ok) {
      this.made = { address: this.env.origin + reply.value.path, expiresAt: reply.value.expiresAt };
      this.copied = undefined;
    } else if (reply.status === 401) this.env.signedOut();
    this.changed.emit();
  }

  async copy(): Promise<void> {
    const made = this.made;
    if (!made) return;
    const copied = await this.env.write(made.address).then(
      () => true,
      () => false,
    );
    if (this.made !== made) return;
    this.copied = copied;
    this.changed.emit();
  }

  /** The next one is for somebody else. */
  again(): void {
    this.made = this.copied = undefined;
    this.failed = false;
    this.changed.emit();
  }
}
