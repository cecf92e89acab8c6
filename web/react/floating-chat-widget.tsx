"use client";
// The widget as a React component, 18 or 19. Thin on purpose: the call lives in the widget's own script, so a re-mount or
// a change of route does not touch it. Put it in a layout, not in a page.

import { createElement, forwardRef, useEffect, useImperativeHandle, useRef } from "react";

export interface FloatingChatWidgetProps {
  /** May be undefined while the page is still signing in. */
  userId?: string | undefined;
  /** Shown to the agent; set as a property, so that it never stands in the markup. */
  customerEmail?: string;
  customerName?: string;
  /** Origin of the server; by default that of `NEXT_PUBLIC_WS_SIGNALING_URL`. */
  server?: string;
  lang?: string;
  theme?: "light" | "dark";
  mode?: "float" | "page";
  /** The signed-in customer's access token. */
  getToken?: () => Promise<string | undefined>;
  onCallStart?: (callId: string) => void;
  onCallEnd?: (callId: string, reason: string) => void;
  onFailure?: (code: string) => void;
}

/** The element itself, what a `ref` gives. */
export interface SupportWidgetElement extends HTMLElement {
  customerEmail: string;
  getToken: (() => Promise<string | undefined>) | undefined;
}

type Detail = { callId: string; reason: string; code: string };

/** Replaced at build time by frameworks that know this name; elsewhere there is no `process`. */
declare const process: { env: { NEXT_PUBLIC_WS_SIGNALING_URL?: string } } | undefined;

function defaultServer(): string | undefined {
  const url = typeof process === "undefined" ? undefined : process.env.NEXT_PUBLIC_WS_SIGNALING_URL;
  return url && new URL(url.replace(/^ws/, "http")).origin;
}

export const FloatingChatWidget = forwardRef<SupportWidgetElement, FloatingChatWidgetProps>((props, ref) => {
  const { userId, customerName, lang, theme, mode, server = defaultServer() } = props;
  const element = useRef<SupportWidgetElement>(null);
  useImperativeHandle(ref, () => element.current!, []);
  const latest = useRef(props);
  latest.current = props;
  useEffect(() => {
    const widget = element.current;
    if (!widget) return;
    widget.getToken = () => latest.current.getToken?.() ?? Promise.resolve(undefined);
    const off = new AbortController();
    const on = (name: string, run: (detail: Detail) => void): void =>
      widget.addEventListener(name, (event) => run((event as CustomEvent<Detail>).detail), { signal: off.signal });
    on("callstart", ({ callId }) => latest.current.onCallStart?.(callId));
    on("callend", ({ callId, reason }) => latest.current.onCallEnd?.(callId, reason));
    on("failure", ({ code }) => latest.current.onFailure?.(code));
    return () => off.abort();
  }, []);
  useEffect(() => {
    if (element.current) element.current.customerEmail = props.customerEmail ?? "";
  }, [props.customerEmail]);
  useEffect(() => {
    // As a prop, React 19 would set the property, and a language that is taken away would become the word "undefined".
    if (lang) element.current?.setAttribute("lang", lang);
    else element.current?.removeAttribute("lang");
  }, [lang]);
  useEffect(() => {
    const src = `${server ?? ""}/widget/v1.js`;
    if (document.querySelector(`script[src="${src}"]`)) return;
    const script = document.createElement("script");
    script.src = src;
    document.head.append(script);
  }, [server]);
  return createElement("support-widget", {
    ref: element,
    "user-id": userId,
    "customer-name": customerName,
    server,
    theme,
    mode,
  });
});
FloatingChatWidget.displayName = "FloatingChatWidget";

export default FloatingChatWidget;
