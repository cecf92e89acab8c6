// /call: the widget as a page of its own, for hosts that allow no foreign script.

import { useEffect } from "preact/hooks";

export default function CallPage() {
  useEffect(() => {
    if (document.querySelector('script[src="/widget/v1.js"]')) return;
    const script = document.createElement("script");
    script.src = "/widget/v1.js";
    document.head.append(script);
  }, []);
  return (
    <main>
      <h1 class="visually-hidden">Helpline</h1>
      <support-widget mode="page" user-id="guest" />
    </main>
  );
}

declare module "preact" {
  namespace JSX {
    interface IntrinsicElements {
      "support-widget": Record<string, string>;
    }
  }
}
