// The server's half of a WebSocket, as much as the pages need: text frames either way (RFC 6455).

import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";

/** RFC 6455 §1.3. */
const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

export class ServerSocket {
  onmessage: (text: string) => void = () => {};
  onclose: () => void = () => {};
  #buffer = Buffer.alloc(0);

  constructor(
    request: IncomingMessage,
    private readonly stream: Duplex,
  ) {
    const key = String(request.headers["sec-websocket-key"]);
    const accept = createHash("sha1")
      .update(key + GUID)
      .digest("base64");
    stream.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    );
    stream.on("data", (chunk: Buffer) => this.#read(chunk));
    stream.on("close", () => this.onclose());
    stream.on("error", () => {});
  }

  send(text: string): void {
    this.#frame(0x81, Buffer.from(text));
  }

  close(code: number): void {
    const payload = Buffer.alloc(2);
    payload.writeUInt16BE(code);
    this.#frame(0x88, payload);
    this.stream.end();
  }

  /** The network is gone: no close frame. */
  cut(): void {
    this.stream.destroy();
  }

  #frame(first: number, payload: Buffer): void {
    if (this.stream.destroyed) return;
    const head =
      payload.length < 126
        ? Buffer.from([first, payload.length])
        : Buffer.from([first, 126, payload.length >> 8, payload.length & 255]);
    this.stream.write(Buffer.concat([head, payload]));
  }

  #read(chunk: Buffer): void {
    this.#buffer = Buffer.concat([this.#buffer, chunk]);
    for (;;) {
      const buffer = this.#buffer;
      if (buffer.length < 2) return;
      const short = buffer[1]! & 127;
      const head = short === 126 ? 4 : 2;
      if (buffer.length < head + 4) return;
      const length = short === 126 ? buffer.readUInt16BE(2) : short;
      const end = head + 4 + length;
      if (buffer.length < end) return;
      const mask = buffer.subarray(head, head + 4);
      const payload = Buffer.from(buffer.subarray(head + 4, end).map((byte, n) => byte ^ mask[n % 4]!));
      this.#buffer = buffer.subarray(end);
      const kind = buffer[0]! & 15;
      if (kind === 1) this.onmessage(payload.toString());
      else if (kind === 8) this.stream.end();
    }
  }
}
