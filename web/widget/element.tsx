// `<support-widget>`: a view of the page's one session.
//
// The call does not live here. When the element is taken out of the page during a call, a small bar takes its place
// after two seconds, so that a live call always has a visible way to hang up.

import { render } from "preact";
import tokens from "../shared/design/tokens.css?inline";
import components from "../shared/design/components.css?inline";
import widget from "./widget.css?inline";
import { pickLanguage } from "../shared/i18n/index.ts";
import { accentRoles, parseColour } from "./accent.ts";
import { App, type AppProps } from "./app.tsx";
import { host, session, sound, watchPage } from "./browser.ts";

/** A framework that re-mounts the element does so within this time, milliseconds. */
const REMOUNT_MS = 2000;

let sheet: CSSStyleSheet | undefined;

function styles(): CSSStyleSheet {
  if (!sheet) {
    sheet = new CSSStyleSheet();
    sheet.replaceSync(tokens + components + widget);
  }
  return sheet;
}

let bar: HTMLElement | undefined;
let mounted = 0;

function showBar(props: AppProps, theme: string | null): void {
  bar = document.createElement("div");
  if (theme) bar.setAttribute("theme", theme);
  const root = bar.attachShadow({ mode: "open" });
  root.adoptedStyleSheets = [styles()];
  document.body.append(bar);
  render(<App {...props} mode="bar" />, root);
  const stop = session.changed.subscribe(() => {
    if (!session.live) {
      stop();
      hideBar();
    }
  });
}

function hideBar(): void {
  if (bar?.shadowRoot) render(null, bar.shadowRoot);
  bar?.remove();
  bar = undefined;
}

/** What the host set on the element before this script defined it. */
function early<T>(element: HTMLElement, name: string): T | undefined {
  return Reflect.get(element, name) as T | undefined;
}

class SupportWidget extends HTMLElement {
  static observedAttributes = ["server", "user-id", "customer-name", "lang", "theme", "mode"];

  /** Display hint only, and a property on purpose: no e-mail stands in the page's markup. */
  customerEmail = early<string>(this, "customerEmail") ?? "";
  /** The host's access token; without it calls only work against a demo server. */
  getToken = early<() => Promise<string | undefined>>(this, "getToken");

  readonly #root = this.attachShadow({ mode: "open" });

  connectedCallback(): void {
    mounted++;
    hideBar();
    this.#root.adoptedStyleSheets = [styles()];
    this.#draw();
    host.report = (event, detail) =>
      this.dispatchEvent(new CustomEvent(event, { detail, bubbles: true, composed: true }));
    void session.resume();
  }

  disconnectedCallback(): void {
    mounted--;
    const props = this.#props();
    const theme = this.getAttribute("theme");
    render(null, this.#root);
    setTimeout(() => {
      if (mounted === 0 && session.live && !bar) showBar(props, theme);
    }, REMOUNT_MS);
  }

  attributeChangedCallback(): void {
    if (this.isConnected) this.#draw();
  }

  #props(): AppProps {
    return {
      language: pickLanguage(this.getAttribute("lang"), document.documentElement.lang, navigator.language),
      customerName: this.getAttribute("customer-name") ?? "",
      mode: this.getAttribute("mode") === "page" ? "page" : "float",
      soundBlocked: sound.blocked,
    };
  }

  #draw(): void {
    const element = this;
    const server = this.getAttribute("server");
    if (server) host.server = server.replace(/\/+$/, "");
    host.customer = {
      get userId() {
        return element.getAttribute("user-id") ?? "";
      },
      get email() {
        return element.customerEmail;
      },
      get name() {
        return element.getAttribute("customer-name") ?? "";
      },
    };
    host.getToken = () => element.getToken?.() ?? Promise.resolve(undefined);
    render(<App {...this.#props()} />, this.#root);
    this.#accent();
  }

  /** The host's `--accent`, when it set one, with the colours that follow from it. */
  #accent(): void {
    const style = getComputedStyle(this);
    const root = this.#root.querySelector<HTMLElement>(".root");
    const accent = parseColour(style.getPropertyValue("--accent"));
    const surface = parseColour(style.getPropertyValue("--surface"));
    if (!root || !accent || !surface || OWN_ACCENTS.has(accent.join())) return;
    for (const [name, value] of Object.entries(accentRoles(accent, surface))) root.style.setProperty(name, value);
  }
}

/** `--accent` of tokens.css, light and dark; a test compares them. */
export const OWN_ACCENTS: ReadonlySet<string> = new Set(["40,87,200", "63,111,224"]);

if (!customElements.get("support-widget")) {
  customElements.define("support-widget", SupportWidget);
  watchPage();
}
