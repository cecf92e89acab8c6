// /preflight: a page of its own, for whoever wants to know whether calls will work here.

import { Component, render } from "preact";
import "./preflight.css";
import { browserEnv } from "./env.ts";
import { Page } from "./page.tsx";
import { LineTest } from "./test.ts";
import { setLanguage, wishedLanguage } from "./words.ts";

// The test is a machine that changes in place, so its views must be drawn whenever their parent is.
delete Component.prototype.shouldComponentUpdate;

/**
 * The token of a link stands behind `#`, where no server sees it. It goes out of the address too, so that nobody reads
 * it off the screen or shares it by mistake; a reload still has it.
 */
function link(): string | undefined {
  const token = location.hash.slice(1);
  if (token) history.replaceState({ link: token }, "", location.pathname + location.search);
  return (history.state as { link?: string } | null)?.link;
}

const env = browserEnv(link());
const test = new LineTest(env);
await setLanguage(wishedLanguage());
const place = document.getElementById("app");
if (place) render(<Page test={test} level={() => env.level()} />, place);
