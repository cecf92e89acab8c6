// One message at a time about something that happened without the agent's doing.

import { useEffect } from "preact/hooks";
import { info } from "../../../shared/design/icons.ts";
import { Icon } from "../../../shared/design/parts.tsx";
import { t, type Key } from "../../words.ts";
import type { Desk, Notice } from "./desk.ts";

/** Messages go away by themselves after this time, milliseconds; a broken microphone stays until it is seen. */
const SHOWN_MS = 8000;

const MIC: readonly string[] = ["mic_denied", "mic_missing", "mic_busy", "insecure_context", "unsupported_browser"];
const PRESENCE: readonly string[] = ["missed_offers", "connection_lost"];

function text(notice: Notice): string {
  if (notice.key === "mic") return t((MIC.includes(notice.code) ? `mic.${notice.code}` : "mic.mic_busy") as Key);
  if (notice.key === "presence_server")
    return t((PRESENCE.includes(notice.code) ? `presence_server.${notice.code}` : "presence_server.other") as Key);
  if (notice.code === "too_many_voices") return t("notice.too_many_voices");
  if (notice.code === "other_node") return t("notice.other_node");
  const name = notice.name ?? "";
  return t(`notice.${notice.key}` as Key, { name: name || t("colleague") });
}

export function Toast({ desk }: { desk: Desk }) {
  const { notice } = desk;
  useEffect(() => {
    if (!notice || notice.key === "mic") return;
    const id = setTimeout(() => desk.dismiss(), SHOWN_MS);
    return () => clearTimeout(id);
  }, [notice]);
  return (
    <div class="toasts" role="status">
      {notice && (
        <div class="toast" data-testid="notice" data-notice={notice.key}>
          <Icon d={info} />
          <span>{text(notice)}</span>
          <button class="toast-action" onClick={() => desk.dismiss()}>
            {t("dismiss")}
          </button>
        </div>
      )}
    </div>
  );
}
