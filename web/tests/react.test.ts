// @vitest-environment happy-dom
// The React wrapper in React itself: what it writes into the page, hands to the element and hears from it.

import { act, createElement, createRef, StrictMode } from "react";
import { createRoot, type Root } from "react-dom/client";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import {
  FloatingChatWidget,
  type FloatingChatWidgetProps,
  type SupportWidgetElement,
} from "../react/floating-chat-widget.tsx";

let root: Root;
const ref = createRef<SupportWidgetElement>();

beforeEach(() => {
  vi.stubGlobal("IS_REACT_ACT_ENVIRONMENT", true);
  // Nothing is loaded: the script is only looked at.
  vi.spyOn(document.head, "append").mockImplementation((...nodes) => {
    for (const node of nodes) loaded.push((node as HTMLScriptElement).src);
  });
  document.body.innerHTML = "<main></main>";
  root = createRoot(document.querySelector("main")!);
});
afterEach(async () => {
  await act(async () => root.unmount());
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
  loaded.length = 0;
});

const loaded: string[] = [];
const show = (props: FloatingChatWidgetProps): Promise<void> =>
  act(async () => root.render(createElement(StrictMode, null, createElement(FloatingChatWidget, { ...props, ref }))));
const happen = (name: string, detail: object): boolean =>
  ref.current!.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true }));

test("renders one element: attributes in the page, the e-mail and the token only as properties", async () => {
  await show({
    userId: "u-1",
    customerName: "Amina",
    customerEmail: "amina.wanjiru@example.com",
    server: "https://help.example",
    lang: "sw",
    theme: "dark",
    mode: "page",
    getToken: async () => "token",
  });
  expect(document.querySelectorAll("support-widget")).toHaveLength(1);
  const widget = document.querySelector<SupportWidgetElement>("support-widget")!;
  expect(Object.fromEntries([...widget.attributes].map(({ name, value }) => [name, value]))).toEqual({
    "user-id": "u-1",
    "customer-name": "Amina",
    server: "https://help.example",
    lang: "sw",
    theme: "dark",
    mode: "page",
  });
  expect(ref.current).toBe(widget);
  expect(widget.customerEmail).toBe("amina.wanjiru@example.com");
  expect(await widget.getToken?.()).toBe("token");
  expect(document.body.innerHTML).not.toContain("amina.wanjiru");
  expect(new Set(loaded)).toEqual(new Set(["https://help.example/widget/v1.js"]));
});

test("hands events to the functions of the last render, once each, and none after it is gone", async () => {
  const first = vi.fn();
  const calls: unknown[] = [];
  await show({ onCallStart: first });
  await show({
    onCallStart: (...all) => calls.push(["start", ...all]),
    onCallEnd: (...all) => calls.push(["end", ...all]),
    onFailure: (...all) => calls.push(["failure", ...all]),
  });
  happen("callstart", { callId: "c" });
  happen("callend", { callId: "c", reason: "hangup" });
  happen("failure", { code: "busy" });
  expect(calls).toEqual([
    ["start", "c"],
    ["end", "c", "hangup"],
    ["failure", "busy"],
  ]);
  expect(first).not.toHaveBeenCalled();
  const widget = ref.current!;
  await show({});
  widget.dispatchEvent(new CustomEvent("callstart", { detail: { callId: "d" } }));
  await act(async () => root.render(null));
  widget.dispatchEvent(new CustomEvent("callend", { detail: { callId: "d", reason: "x" } }));
  expect(calls).toHaveLength(3);
  expect(ref.current).toBeNull();
});

test("follows what changes, and keeps the element", async () => {
  await show({ userId: "u-1", customerEmail: "a@example.com", lang: "sw" });
  const widget = ref.current!;
  await show({ customerEmail: "b@example.com", getToken: async () => "later" });
  expect(ref.current).toBe(widget);
  expect(widget.hasAttribute("user-id")).toBe(false);
  expect(widget.hasAttribute("lang")).toBe(false);
  expect(widget.customerEmail).toBe("b@example.com");
  expect(await widget.getToken?.()).toBe("later");
});
