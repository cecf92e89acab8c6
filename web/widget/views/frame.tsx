// The panel: a bar, a body, a foot. Every view fills these three.

import type { ComponentChildren } from "preact";
import { down, left } from "../../shared/design/icons.ts";
import { HangUpIcon, Icon } from "../../shared/design/parts.tsx";
import type { Session } from "../session.ts";
import type { Translate } from "../words.ts";
import type { Language } from "../../shared/i18n/index.ts";

/** What every view needs. */
export interface Scene {
  session: Session;
  t: Translate;
  language: Language;
  setLanguage: (language: Language) => void;
  customerName: string;
  /** Makes the panel small; absent where it fills the page. */
  minimise: (() => void) | undefined;
  farLevel: () => number;
  soundBlocked: () => boolean;
}

let current: Scene;

/** The scene that is being drawn. One page has one session, so a plain variable serves as well as a context. */
export const useScene = (): Scene => current;
export function setScene(scene: Scene): void {
  current = scene;
}

export function Frame(props: {
  title: ComponentChildren;
  label: string;
  back?: () => void;
  centre?: boolean;
  foot?: ComponentChildren;
  children: ComponentChildren;
}) {
  const { t, minimise } = useScene();
  return (
    <section class="widget" aria-label={props.label} id="helpline-panel">
      <header class={`widget-bar ${props.back ? "widget-bar-back" : ""}`}>
        {props.back && (
          <button class="icon-button" aria-label={t("back")} onClick={props.back}>
            <Icon d={left} />
          </button>
        )}
        <div class="widget-bar-title">{props.title}</div>
        {minimise && (
          <button class="icon-button" aria-label={t("minimise")} data-testid="minimise" onClick={minimise}>
            <Icon d={down} />
          </button>
        )}
      </header>
      <div class={`widget-body ${props.centre ? "widget-body-centre" : ""}`}>{props.children}</div>
      <footer class="widget-foot">{props.foot}</footer>
    </section>
  );
}

/** A picture in a halo, one sentence, one explanation: the calm views between two others. */
export function Centred(props: {
  picture: ComponentChildren;
  busy?: boolean;
  title: string;
  text?: string | undefined;
  foot: ComponentChildren;
}) {
  const { t } = useScene();
  return (
    <Frame label={props.title} title={<h2 class="title-part">{t("your_call")}</h2>} centre foot={props.foot}>
      <div class={props.busy ? "halo halo-busy" : "halo"}>
        <span class="avatar avatar-huge" aria-hidden="true">
          {props.picture}
        </span>
      </div>
      <div class="stage" role="status">
        <h3 class="title-page">{props.title}</h3>
        {props.text && <p class="widget-lead">{props.text}</p>}
      </div>
    </Frame>
  );
}

export function HangUp() {
  const { t, session } = useScene();
  return (
    <button class="button button-danger button-wide" data-testid="hangup" onClick={() => session.hangUp()}>
      <HangUpIcon />
      {t("hang_up")}
    </button>
  );
}
