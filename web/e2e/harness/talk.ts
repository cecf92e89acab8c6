// A page that talks by plain SDP over `POST /api/rtc`, without widget or console: what it offers and what it takes from
// the answer can be changed, which the product's own client does not let anybody do.
import { rest, type Server } from "./server.ts";
import { until } from "./wait.ts";

/** What the page changes in the texts. */
export interface Terms {
  /** `local`: its own offer carries `nack`; `answer`: only the server believes so, and answers with it. */
  nack?: "local" | "answer";
  /** False takes `useinbandfec` out of the answer. */
  fec?: boolean;
  /** Redundant audio before plain Opus, as if the server preferred it. */
  red?: boolean;
  /** Address and port to send to instead of the server's. */
  via?: string;
}

/** A page of whatever browser: it runs a function inside. */
export interface Page {
  evaluate<T, G>(run: (given: G) => Promise<T>, given?: G): Promise<T>;
}

/** Two rights to join one call. */
export interface Joined {
  callId: string;
  customer: string;
  agent: string;
}

/** The page's own count of what it sent. */
export interface Sent {
  packetsSent: number;
  nackCount: number;
  retransmittedPacketsSent: number;
  codec: string;
  /** Of the last report that came about it. */
  fractionLost: number;
}

let agents = 0;

/** A call that was taken, by REST alone. */
export async function ring(server: Server): Promise<Joined> {
  const name = `talker-${++agents}`;
  const staff = await rest<{ id: string }>(server, "POST", "/api/support/staff", {
    email: `${name}@test.example`,
    staffName: name,
    role: "agent",
  });
  const session = await rest<{ token: string }>(server, "POST", `/api/support/staff/${staff.id}/sessions`, {});
  const asAgent = { ...server, serviceKey: session.token };
  await rest(asAgent, "PUT", "/api/support/staff/me/status", { status: "online", mediaChecked: true });
  await rest(server, "POST", "/api/support/call/start", {
    userId: name,
    customerName: name,
    customerEmail: "",
    callType: "voice",
  });
  const offer = await until("an offer", async () => {
    const offers = await rest<{ offerId: string }[]>(asAgent, "GET", "/api/support/offers");
    return offers[0];
  });
  const taken = await rest<{ call: { callId: string }; leg: { grant: string } }>(
    asAgent,
    "POST",
    `/api/support/offers/${offer.offerId}/accept`,
    {},
  );
  const callId = taken.call.callId;
  const leg = await rest<{ grant: string }>(server, "POST", `/api/support/call/${callId}/leg`, { part: "customer" });
  return { callId, customer: leg.grant, agent: taken.leg.grant };
}

/** Joins with the page's microphone; resolves once it is connected. The page must be one of the server's. */
export function join(page: Page, grant: string, terms: Terms): Promise<{ offer: string; answer: string }> {
  return page.evaluate(
    async (given) => {
      const { grant, terms } = given;
      const opusOf = (sdp: string) => /a=rtpmap:(\d+) opus\//.exec(sdp)?.[1] ?? "";
      const withNack = (sdp: string) =>
        sdp.replace(
          new RegExp(`(a=rtpmap:${opusOf(sdp)} opus/[^\\r]*\\r\\n)`, "g"),
          `$1a=rtcp-fb:${opusOf(sdp)} nack\r\n`,
        );
      const peer = new RTCPeerConnection();
      const microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
      peer.addTransceiver(microphone.getAudioTracks()[0]!, { direction: "sendrecv" });
      const offer = await peer.createOffer();
      const plain = offer.sdp ?? "";
      await peer.setLocalDescription({ type: "offer", sdp: terms.nack === "local" ? withNack(plain) : plain });
      const sent = terms.nack === "answer" ? withNack(plain) : (peer.localDescription?.sdp ?? "");
      const reply = await fetch("/api/rtc", {
        method: "POST",
        headers: { authorization: `Bearer ${grant}`, "content-type": "application/sdp" },
        body: sent,
      });
      let answer = await reply.text();
      if (!reply.ok) throw new Error(`${reply.status} ${answer}`);
      if (terms.fec === false) answer = answer.replace("useinbandfec=1", "useinbandfec=0");
      if (terms.red) {
        const red = /a=rtpmap:(\d+) red\//.exec(answer)?.[1];
        if (!red) throw new Error("no redundant audio in the answer");
        answer = answer.replace(/(m=audio \d+ \S+)([^\r]*)/, (_, head: string, formats: string) => {
          const rest = formats.trim().split(" ");
          return [head, red, ...rest.filter((one) => one !== red)].join(" ");
        });
      }
      if (terms.via) {
        // The link is the only way to the server.
        const candidate = `a=candidate:1 1 udp 2130706431 ${terms.via.replace(":", " ")} typ host\r\n`;
        answer = answer.replace(/a=candidate:[^\r]*\r\n/g, "");
        answer = answer.replace("a=end-of-candidates\r\n", `${candidate}a=end-of-candidates\r\n`);
      }
      await peer.setRemoteDescription({ type: "answer", sdp: answer });
      const deadline = performance.now() + 20_000;
      while (peer.connectionState !== "connected") {
        if (performance.now() > deadline) throw new Error(`not connected but ${peer.connectionState}`);
        await new Promise((done) => setTimeout(done, 20));
      }
      (window as unknown as { __talk: RTCPeerConnection }).__talk = peer;
      return { offer: sent, answer };
    },
    { grant, terms },
  );
}

/** What the page says of its own sending. */
export function sent(page: Page): Promise<Sent> {
  return page.evaluate(async () => {
    const peer = (window as unknown as { __talk: RTCPeerConnection }).__talk;
    const rows = await peer.getStats();
    const told = { packetsSent: 0, nackCount: 0, retransmittedPacketsSent: 0, codec: "", fractionLost: -1 };
    rows.forEach((row) => {
      if (row.type === "outbound-rtp") {
        told.packetsSent = row.packetsSent;
        told.nackCount = row.nackCount ?? -1;
        told.retransmittedPacketsSent = row.retransmittedPacketsSent ?? -1;
        told.codec = rows.get(row.codecId)?.mimeType ?? "";
      }
      if (row.type === "remote-inbound-rtp") told.fractionLost = row.fractionLost ?? -1;
    });
    return told;
  });
}

/** Leaves. */
export function leave(page: Page): Promise<void> {
  return page.evaluate(async () => {
    const peer = (window as unknown as { __talk?: RTCPeerConnection }).__talk;
    peer?.getSenders().forEach((sender) => sender.track?.stop());
    peer?.close();
  });
}

/** A counter of the server, summed over its series that carry all these labels. */
export async function metric(server: Server, name: string, labels: Record<string, string> = {}): Promise<number> {
  const text = await (await fetch(`http://${server.metrics}/metrics`)).text();
  const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
  return text
    .split("\n")
    .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
    .filter((line) => wanted.every((label) => line.includes(label)))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" ") + 1)), 0);
}
