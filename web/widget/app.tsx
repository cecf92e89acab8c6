// One view per phase of the session.

import { Component } from "preact";
import { chat } from "../shared/design/icons.ts";
import { Icon } from "../shared/design/parts.tsx";
import type { Language } from "../shared/i18n/index.ts";
import { farLevel, session } from "./browser.ts";
import { loadWords, words } from "./words.ts";
import { Check, Home, Problem } from "./views/before.tsx";
import { Elsewhere, Ended, Mini, OnItsWay, Talking, Waiting } from "./views/call.tsx";
import { setScene, useScene } from "./views/frame.tsx";

export interface AppProps {
  language: Language;
  customerName: string;
  /** `page` fills its page and has no launcher; `bar` is what stays when the element is gone. */
  mode: "float" | "page" | "bar";
  soundBlocked: () => boolean;
}

export class App extends Component<AppProps, { open: boolean; language?: Language }> {
  override state = { open: this.props.mode === "page" || session.live } as { open: boolean; language?: Language };
  #unsubscribe = (): void => {};

  override componentDidMount(): void {
    this.#unsubscribe = session.changed.subscribe(() => this.forceUpdate());
    this.#load();
  }

  override componentDidUpdate(): void {
    this.#load();
  }

  override componentWillUnmount(): void {
    this.#unsubscribe();
  }

  #language(): Language {
    return this.state.language ?? this.props.language;
  }

  #load(): void {
    void loadWords(this.#language()).then((more) => more && this.forceUpdate());
  }

  override render() {
    const { mode, customerName, soundBlocked } = this.props;
    const language = this.#language();
    const t = words(language);
    const open = (): void => this.setState({ open: true });
    const floats = mode === "float";
    setScene({
      session,
      t,
      language,
      setLanguage: (chosen) => this.setState({ language: chosen }),
      customerName,
      minimise: floats ? () => this.setState({ open: false }) : undefined,
      farLevel,
      soundBlocked,
    });
    return (
      <div class="helpline root" lang={language} data-testid="call-state" data-phase={session.phase.at}>
        {this.state.open && mode !== "bar" ? (
          <View page={mode === "page"} />
        ) : session.live ? (
          <Mini expand={floats ? open : undefined} />
        ) : (
          mode !== "bar" && (
            <section aria-label={t("help")}>
              <button
                class="launcher"
                data-testid="launcher"
                aria-expanded="false"
                aria-controls="helpline-panel"
                onClick={open}
              >
                <Icon d={chat} />
                {t("help")}
              </button>
            </section>
          )
        )}
      </div>
    );
  }
}

function View({ page }: { page: boolean }) {
  const view = <Phase />;
  return page ? <div class="alone">{view}</div> : view;
}

function Phase() {
  const { phase } = session;
  const { t } = useScene();
  switch (phase.at) {
    case "home":
      return <Home />;
    case "checking":
      return <Check open={phase.microphone === "open"} />;
    case "starting":
      return <OnItsWay text={t("starting")} />;
    case "resuming":
      return <OnItsWay text={t("resuming")} />;
    case "waiting":
      return <Waiting call={phase.call} />;
    case "connecting":
      return <OnItsWay call={phase.call} />;
    case "talking":
      return <Talking call={phase.call} />;
    case "ended":
      return <Ended />;
    case "problem":
      return <Problem code={phase.code} />;
    case "elsewhere":
      return <Elsewhere />;
  }
}
