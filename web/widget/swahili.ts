import { widget } from "../shared/i18n/sw.json";

export const words = widget;
