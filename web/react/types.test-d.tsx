// Never run: `tsc -p react` fails when a wrong use is allowed or a right one is not.

import { createRef, StrictMode } from "react";
import Widget, {
  FloatingChatWidget,
  type FloatingChatWidgetProps,
  type SupportWidgetElement,
} from "./floating-chat-widget.tsx";

const element = createRef<SupportWidgetElement>();
const button = createRef<HTMLButtonElement>();
const session: { user?: { id: string } } = {};

export const right = [
  <Widget />,
  <FloatingChatWidget userId={session.user?.id} />,
  <FloatingChatWidget
    key="help"
    ref={element}
    userId="u-1"
    customerEmail="amina.wanjiru@example.com"
    customerName="Amina Wanjiru"
    server="https://help.example"
    lang="sw"
    theme="dark"
    mode="page"
    getToken={async () => "token"}
    onCallStart={(callId) => callId.toUpperCase()}
    onCallEnd={(callId, reason) => callId + reason}
    onFailure={(code) => code.length}
  />,
  <StrictMode>
    <FloatingChatWidget ref={(one) => void one?.getToken?.()} getToken={async () => undefined} />
  </StrictMode>,
];

export const wrong = [
  // @ts-expect-error a user is named by text
  <FloatingChatWidget userId={7} />,
  // @ts-expect-error a theme is light or dark
  <FloatingChatWidget theme="blue" />,
  // @ts-expect-error there is no such mode
  <FloatingChatWidget mode="popup" />,
  // @ts-expect-error a token comes as a promise
  <FloatingChatWidget getToken={() => "token"} />,
  // @ts-expect-error a reason is text
  <FloatingChatWidget onCallEnd={(_: string, reason: number) => reason} />,
  // @ts-expect-error a start has no reason
  <FloatingChatWidget onCallStart={(callId, reason) => callId + reason} />,
  // @ts-expect-error a code is text
  <FloatingChatWidget onFailure={(code) => code.toFixed()} />,
  // @ts-expect-error the handle is the widget's element, not a button
  <FloatingChatWidget ref={button} />,
  // @ts-expect-error a misspelt property
  <FloatingChatWidget userID="u-1" />,
  // @ts-expect-error the widget has no children
  <FloatingChatWidget>Help</FloatingChatWidget>,
];

export const handle = (): Promise<string | undefined> | undefined => {
  element.current?.remove();
  // @ts-expect-error a ref is empty until it is mounted
  element.current.remove();
  // @ts-expect-error no such method
  element.current?.hangUp();
  return element.current?.getToken?.();
};

// @ts-expect-error a theme is one of two words
export const props: FloatingChatWidgetProps = { theme: "auto" };
