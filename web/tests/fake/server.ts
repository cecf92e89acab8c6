// A server that plays what a test tells it: the built pages with the real server's policies, a REST API of prepared
// replies, one WebSocket side that is pushed by hand. It decides nothing.

import { existsSync, readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { ServerSocket } from "./socket.ts";

const DIST = new URL("../../dist/", import.meta.url).pathname;

const TYPES: Record<string, string> = {
  html: "text/html; charset=utf-8",
  css: "text/css",
  js: "text/javascript",
  mjs: "text/javascript",
  json: "application/json",
};

/** The policies of api/src/headers.rs, whose text a test compares. */
export const CONSOLE_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; " +
  "media-src 'self' blob:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'";
export const DEMO_POLICY =
  "default-src 'self'; script-src 'self'; connect-src 'self'; media-src blob:; img-src 'self' data:; " +
  "frame-ancestors 'none'; base-uri 'none'";

export interface Answer {
  status?: number;
  body?: unknown;
  bytes?: Buffer;
  type?: string;
}

export type Handler = (request: { url: URL; body: unknown; ifMatch?: string }) => Answer | undefined;

export class FakeServer {
  /** `METHOD /path` to a reply; a path ends before the question mark. */
  readonly routes = new Map<string, Handler>();
  /** Messages of pages, newest last. */
  readonly heard: { type: string; data: unknown }[] = [];
  /** Answers a page's message; the result is sent with `ref`. */
  onmessage: (type: string, data: unknown) => { type: string; data: unknown } | undefined = () => undefined;
  readonly #server: Server;
  readonly #sockets = new Set<ServerSocket>();
  #seq = 0;

  private constructor() {
    this.#server = createServer((request, response) => void this.#answer(request, response));
    this.#server.on("upgrade", (request, stream) => this.#upgrade(new ServerSocket(request, stream)));
  }

  static async start(): Promise<FakeServer> {
    if (!existsSync(join(DIST, "demo.html"))) throw new Error("the pages are not built: run `npm run build` first");
    const fake = new FakeServer();
    await new Promise<void>((resolve) => fake.#server.listen(0, "127.0.0.1", resolve));
    return fake;
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get socketUrl(): string {
    return `${this.origin.replace("http", "ws")}/ws`;
  }

  on(route: string, reply: Handler | unknown): void {
    this.routes.set(route, typeof reply === "function" ? (reply as Handler) : () => ({ body: reply }));
  }

  /** Sends a message to every open page. */
  push(type: string, data: unknown, ref?: string): void {
    const seq = ref ? 0 : ++this.#seq;
    const message = { v: 1, seq, ts: new Date().toISOString(), type, data, ...(ref ? { ref } : {}) };
    for (const socket of this.#sockets) socket.send(JSON.stringify(message));
  }

  /** Resolves when a page has said hello. */
  async ready(): Promise<void> {
    while (!this.heard.some(({ type }) => type === "hello")) await new Promise((resolve) => setTimeout(resolve, 10));
  }

  /** The line to every page is cut; `refuse` keeps it so. */
  cut(): void {
    for (const socket of this.#sockets) socket.cut();
  }

  refuse = false;

  async stop(): Promise<void> {
    this.cut();
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #upgrade(socket: ServerSocket): void {
    if (this.refuse) return socket.cut();
    this.#sockets.add(socket);
    socket.onclose = () => this.#sockets.delete(socket);
    socket.onmessage = (text) => {
      const { id, type, data } = JSON.parse(text) as { id: string; type: string; data: unknown };
      this.heard.push({ type, data });
      const answer = this.onmessage(type, data);
      if (answer) this.push(answer.type, answer.data, id);
    };
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", this.origin);
    if (!url.pathname.startsWith("/api/")) return this.#file(url.pathname, response);
    let text = "";
    for await (const chunk of request) text += String(chunk);
    const handler = this.routes.get(`${request.method} ${url.pathname}`);
    // An SDP offer is text.
    const isJson = request.headers["content-type"]?.startsWith("application/json");
    const body: unknown = text && isJson ? JSON.parse(text) : text || undefined;
    const ifMatch = request.headers["if-match"];
    const answer = handler?.({ url, body, ...(ifMatch ? { ifMatch } : {}) }) ?? problem(404, "not_found");
    response.statusCode = answer.status ?? 200;
    response.setHeader("Content-Type", answer.type ?? "application/json");
    if (answer.bytes) return this.#bytes(request, response, answer.bytes);
    response.end(answer.body === undefined ? "" : JSON.stringify(answer.body));
  }

  #bytes(request: IncomingMessage, response: ServerResponse, bytes: Buffer): void {
    const range = /bytes=(\d+)-(\d*)/.exec(request.headers.range ?? "");
    response.setHeader("Accept-Ranges", "bytes");
    if (!range) return void response.end(bytes);
    const from = Number(range[1]);
    const to = range[2] ? Number(range[2]) : bytes.length - 1;
    response.statusCode = 206;
    response.setHeader("Content-Range", `bytes ${from}-${to}/${bytes.length}`);
    response.end(bytes.subarray(from, to + 1));
  }

  #file(path: string, response: ServerResponse): void {
    const page =
      path === "/demo" || path === "/preflight"
        ? `${path.slice(1)}.html`
        : /^\/(agent|admin|qa|call)(\/|$)/.test(path)
          ? "index.html"
          : undefined;
    const name = join(DIST, page ?? path);
    if (!name.startsWith(DIST) || !existsSync(name)) {
      response.statusCode = 404;
      return void response.end();
    }
    response.setHeader("Content-Type", TYPES[name.split(".").at(-1) ?? ""] ?? "application/octet-stream");
    response.setHeader(
      "Content-Security-Policy",
      page === "demo.html" ? DEMO_POLICY : page ? CONSOLE_POLICY : "default-src 'none'",
    );
    response.end(readFileSync(name));
  }
}

export function problem(status: number, code: string): Answer {
  return { status, body: { type: "about:blank", title: code, status, code, requestId: "r-1" } };
}
