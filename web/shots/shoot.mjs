// Takes pictures of every page state, wide and narrow, light and dark: `npm run shots [-- name …]`;
// `npm run shots -- --readme` takes those of the README anew.
//
// The pages are the built ones; the server is the pretend one of the page tests. Pictures go to `shots/out/`.

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runnerImport } from "vite";

const root = new URL("..", import.meta.url).pathname;
const load = async (path) => (await runnerImport(join(root, path), { root, logLevel: "error" })).module;
const [{ FakeServer }, { STATES }, { launch, visit }] = await Promise.all([
  load("tests/fake/server.ts"),
  load("tests/fake/states.ts"),
  load("tests/fake/browser.ts"),
]);

const LOOKS = {
  "wide-light": { width: 1280, height: 800, dark: false },
  "wide-dark": { width: 1280, height: 800, dark: true },
  "narrow-light": { width: 390, height: 844, dark: false },
  "narrow-dark": { width: 390, height: 844, dark: true },
};
/** The README's pictures: tall enough for what they show. */
const README = {
  "agent-call": { file: "agent-desk.webp", width: 1280, height: 720, dark: false },
  "qa-call": { file: "qa-call.webp", width: 1280, height: 1100, dark: false },
};
/** Time for moving lines to have a past, milliseconds: as much as a line shows. */
const SETTLE_MS = 7000;

const words = process.argv.slice(2);
const readme = words.includes("--readme");
const out = join(root, readme ? "../docs/images" : "shots/out");
mkdirSync(out, { recursive: true });
const wanted = ({ name }) =>
  readme ? name in README : words.length === 0 || words.some((word) => name.includes(word));
const browsers = { granted: await launch("granted"), denied: await launch("denied") };
for (const state of STATES.filter(wanted)) {
  if (readme) await shoot(state, README[state.name], README[state.name].file);
  else {
    const looks = Object.entries(LOOKS);
    await Promise.all(looks.map(([look, size]) => shoot(state, size, `${state.name}.${look}.png`)));
  }
  console.log(state.name);
}
await Promise.all(Object.values(browsers).map((browser) => browser.close()));

async function shoot(state, size, file) {
  const fake = await FakeServer.start();
  state.prepare?.(fake);
  const { page, context } = await visit(browsers[state.microphone ?? "granted"], { ...size, ...state, calm: false });
  try {
    await page.goto(fake.origin + state.path);
    await state.reach(page, fake);
    await page.waitForTimeout(SETTLE_MS);
    await picture(page, join(out, file));
  } finally {
    await context.close();
    await fake.stop();
  }
}

/** PNG as the driver takes it; WebP, which is a third of the size, by the browser's own encoder. */
async function picture(page, path) {
  if (!path.endsWith(".webp")) return page.screenshot({ path });
  const session = await page.context().newCDPSession(page);
  const { data } = await session.send("Page.captureScreenshot", { format: "webp", quality: 90 });
  writeFileSync(path, Buffer.from(data, "base64"));
}
