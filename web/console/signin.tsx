import { useSignal } from "@preact/signals";
import type { TargetedEvent } from "preact";
import { Icon } from "../shared/design/parts.tsx";
import { alert } from "../shared/design/icons.ts";
import type { Me } from "../shared/gen/Me.ts";
import { Logo } from "./rail.tsx";
import { api, me } from "./state.ts";
import { t, type Key } from "./words.ts";

/** Refusals that have words of their own. */
const KNOWN: Record<string, Key> = {
  unauthenticated: "signin.wrong",
  rate_limited: "signin.too_often",
  offline: "error.offline",
  unreachable: "error.unreachable",
};

export function SignIn() {
  const busy = useSignal(false);
  const error = useSignal<Key | undefined>(undefined);
  const submit = async (event: TargetedEvent<HTMLFormElement>): Promise<void> => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    busy.value = true;
    const reply = await api.post<Me>("/api/support/auth/login", {
      email: String(form.get("email")).trim(),
      password: String(form.get("password")),
    });
    busy.value = false;
    if (reply.ok) me.value = reply.value;
    else error.value = reply.status === 401 ? "signin.wrong" : (KNOWN[reply.code] ?? "error.generic");
  };
  return (
    <main class="signin">
      <form class="signin-card" onSubmit={(event) => void submit(event)}>
        <Logo />
        <div>
          <h1 class="title-large">{t("signin.title")}</h1>
          <p class="muted">{t("signin.hint")}</p>
        </div>
        <label class="field">
          <span class="field-label">{t("signin.email")}</span>
          <input
            class="input"
            data-testid="email"
            name="email"
            type="email"
            autocomplete="username"
            required
            autofocus
          />
        </label>
        <label class="field">
          <span class="field-label">{t("signin.password")}</span>
          <input
            class="input"
            data-testid="password"
            name="password"
            type="password"
            autocomplete="current-password"
            required
          />
        </label>
        {error.value && (
          <p class="field-error" role="alert">
            <Icon d={alert} small />
            {t(error.value)}
          </p>
        )}
        <button class="button button-wide" data-testid="sign-in" disabled={busy.value}>
          {t("signin.submit")}
        </button>
      </form>
    </main>
  );
}
