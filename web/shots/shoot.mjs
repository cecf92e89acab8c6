// Takes pictures of every page state, wide and narrow, light and dark: `npm run shots [-- name …]`.
//
// The pages are the built ones; the server is the pretend one of the page tests. Pictures go to `shots/out/`.

import { mkdirSync } from "node:fs";
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
/** Time for moving lines to have a past, milliseconds: as much as a line shows. */
const SETTLE_MS = 7000;

const wanted = process.argv.slice(2);
const out = join(root, "shots/out");
mkdirSync(out, { recursive: true });
const browsers = { granted: await launch("granted"), denied: await launch("denied") };
for (const state of STATES.filter(({ name }) => wanted.length === 0 || wanted.some((word) => name.includes(word)))) {
  await Promise.all(Object.entries(LOOKS).map(([look, size]) => shoot(state, look, size)));
  console.log(state.name);
}
await Promise.all(Object.values(browsers).map((browser) => browser.close()));

async function shoot(state, look, size) {
  const fake = await FakeServer.start();
  state.prepare?.(fake);
  const { page, context } = await visit(browsers[state.microphone ?? "granted"], { ...size, ...state, calm: false });
  try {
    await page.goto(fake.origin + state.path);
    await state.reach(page, fake);
    await page.waitForTimeout(SETTLE_MS);
    await page.screenshot({ path: join(out, `${state.name}.${look}.png`) });
  } finally {
    await context.close();
    await fake.stop();
  }
}
