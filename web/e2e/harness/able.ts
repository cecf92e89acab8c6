// What a scenario needs of the machine. Without it the scenario is left out, and the run says so; where everything is
// required, as `cargo xtask` has it, that is a failure: what was left out in silence would look like what has passed.

/** True where a missing tool fails the run. */
const required = process.env["HELPLINE_TEST_REQUIRE"] === "all";

/** Whether `scenario` can run here; `lacks`: what is missing for it and how to get it, undefined for nothing. */
export function able(scenario: string, lacks: string | undefined): boolean {
  if (lacks === undefined) return true;
  if (required) throw new Error(`HELPLINE_TEST_REQUIRE=all, and ${scenario} cannot run: ${lacks}`);
  console.log(`${scenario}: left out, ${lacks}`);
  return false;
}
