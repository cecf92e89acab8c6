// Where things lie, seen from a scenario.
import { mkdirSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

export const root = resolve(dirname(fileURLToPath(import.meta.url)), "../../..");

/** The binary under test and its helpers. */
export const binaries = process.env["HELPLINE_BIN_DIR"] ?? join(root, "target/test-release");

/** True for the large repetitions of `cargo xtask test --long`. */
export const long = process.env["HELPLINE_TEST_SIZE"] === "long";

/** A folder for what a scenario leaves behind; kept after a failure. */
export function artifacts(name: string): string {
  const folder = join(root, "target/test-artifacts", name);
  mkdirSync(folder, { recursive: true });
  return folder;
}
