// The rail at the left: the places of the console, and the way out.

import { gauge, globe, headset, moon, out, settings, signal, wave } from "../shared/design/icons.ts";
import { Icon } from "../shared/design/parts.tsx";
import { api, leave, mayMonitor, mayReview, maySeeTests, maySet, path } from "./state.ts";
import { language, rememberLanguage, t } from "./words.ts";
import { routeOf } from "./app.tsx";

export const Logo = () => (
  <span class="rail-logo">
    <svg viewBox="0 0 26 26" aria-hidden="true">
      <path d="M2 13h2M7 9.5v7M11 5v16M15 8v10M19 11v4M23 13h1" />
    </svg>
  </span>
);

function Item({ to, route, label, d }: { to: string; route: string; label: string; d: string }) {
  return (
    <a
      class="rail-item"
      href={to}
      aria-label={label}
      title={label}
      aria-current={routeOf(path.value) === route ? "page" : undefined}
    >
      <Icon d={d} />
    </a>
  );
}

const THEME_KEY = "helpline-theme";

/** Light or dark by choice; without one the system decides. */
export function applyTheme(): void {
  const chosen = localStorage.getItem(THEME_KEY);
  if (chosen) document.documentElement.setAttribute("data-theme", chosen);
}

function toggleTheme(): void {
  const root = document.documentElement;
  const dark = root.dataset["theme"]
    ? root.dataset["theme"] === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  localStorage.setItem(THEME_KEY, dark ? "light" : "dark");
  applyTheme();
}

async function signOut(): Promise<void> {
  await api.post("/api/support/auth/logout");
  leave();
}

export function Rail() {
  const other = language.value === "en" ? "sw" : "en";
  return (
    <nav class="rail" aria-label={t("nav")}>
      <Logo />
      <Item to="/agent" route="agent" label={t("nav.agent")} d={headset} />
      {mayMonitor() && <Item to="/admin" route="admin" label={t("nav.live")} d={gauge} />}
      {mayReview() && <Item to="/qa" route="qa" label={t("nav.qa")} d={wave} />}
      {maySeeTests() && <Item to="/admin/tests" route="tests" label={t("nav.tests")} d={signal} />}
      {maySet() && <Item to="/admin/settings" route="settings" label={t("nav.settings")} d={settings} />}
      <div class="rail-end">
        <button
          class="rail-item rail-button"
          aria-label={t("nav.language")}
          title={t("nav.language")}
          lang={other}
          onClick={() => rememberLanguage(other)}
        >
          <Icon d={globe} />
        </button>
        <button class="rail-item rail-button" aria-label={t("nav.theme")} title={t("nav.theme")} onClick={toggleTheme}>
          <Icon d={moon} />
        </button>
        <button
          class="rail-item rail-button"
          data-testid="sign-out"
          aria-label={t("nav.sign_out")}
          title={t("nav.sign_out")}
          onClick={() => void signOut()}
        >
          <Icon d={out} />
        </button>
      </div>
    </nav>
  );
}
