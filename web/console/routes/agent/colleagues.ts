// Whom an agent may ask, in the order in which they are shown.

import type { AvailableStaff } from "../../../shared/gen/AvailableStaff.ts";
import { t } from "../../words.ts";

/** Colleagues that are listed; more are not looked through, and a typed name finds any of them. */
export const LISTED_MAX = 50;

/** Colleagues whose name or role contains the words, free ones first, then by name. */
export function matching(colleagues: readonly AvailableStaff[], words: string): AvailableStaff[] {
  const wish = words.trim().toLowerCase();
  return colleagues
    .filter(({ name, role }) => name.toLowerCase().includes(wish) || t(`role.${role}`).toLowerCase().includes(wish))
    .sort((a, b) => Number(b.free) - Number(a.free) || a.name.localeCompare(b.name));
}
