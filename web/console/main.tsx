// The console's page: words first, then who is here, then the view.

import { Component, render } from "preact";
import "./console.css";
import { App } from "./app.tsx";
import { applyTheme } from "./rail.tsx";
import { loadMe, watchLinks } from "./state.ts";
import { setLanguage, wishedLanguage } from "./words.ts";

// `@preact/signals` skips a component whose props are the same objects as before. The desk, the line and the leg are
// machines that change in place, so their views must be drawn whenever their parent is.
delete Component.prototype.shouldComponentUpdate;

applyTheme();
watchLinks();
await Promise.all([setLanguage(wishedLanguage()), location.pathname === "/call" ? undefined : loadMe()]);
const place = document.getElementById("app");
if (place) render(<App />, place);
