// Typed requests to the REST API.
//
// A request never throws: the reply says what happened, and a failure carries the stable code of the server's problem
// document, or `offline` / `unreachable` when nobody answered.

import type { Problem } from "./gen/Problem.ts";

export interface Failure {
  ok: false;
  /** HTTP status, 0 when no answer came. */
  status: number;
  /** Stable word, `offline` and `unreachable` are our own. */
  code: string;
  /** Seconds after which another try makes sense. */
  retryAfter?: number | undefined;
}

export interface Success<T> {
  ok: true;
  status: number;
  value: T;
}

export type Reply<T> = Success<T> | Failure;

export interface ApiEnv {
  /** Origin of the server, without a slash at the end; empty for the page's own. */
  base: string;
  fetch: typeof fetch;
  /** Bearer token of the customer; absent for staff, whose cookie speaks. */
  token?: () => Promise<string | undefined>;
  online?: () => boolean;
}

/** A request without an answer is given up after this time, milliseconds. */
export const REQUEST_TIMEOUT_MS = 10_000;

export class Api {
  constructor(private readonly env: ApiEnv) {}

  get<T>(path: string): Promise<Reply<T>> {
    return this.request<T>("GET", path);
  }

  post<T>(path: string, body: unknown = {}): Promise<Reply<T>> {
    return this.request<T>("POST", path, body);
  }

  /** `headers` becomes the request's own. */
  async request<T>(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<Reply<T>> {
    try {
      if (body !== undefined) headers["Content-Type"] = "application/json";
      const token = await this.env.token?.();
      if (token) headers["Authorization"] = `Bearer ${token}`;
      const response = await this.env.fetch(this.env.base + path, {
        method,
        headers,
        credentials: this.env.token ? "omit" : "same-origin",
        signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
        // Nothing stays nothing.
        body: JSON.stringify(body) ?? null,
      });
      const text = await response.text();
      return response.ok
        ? { ok: true, status: response.status, value: (text ? JSON.parse(text) : undefined) as T }
        : failure(response, text);
    } catch {
      const code = this.env.online?.() === false ? "offline" : "unreachable";
      return { ok: false, status: 0, code };
    }
  }
}

function failure(response: Response, text: string): Failure {
  let problem: Partial<Problem> = {};
  try {
    problem = JSON.parse(text) as Partial<Problem>;
  } catch {
    // A proxy's own error page: the status is all there is.
  }
  return {
    ok: false,
    status: response.status,
    code: typeof problem.code === "string" ? problem.code : `http_${response.status}`,
    // A date instead of seconds is nothing that we send.
    retryAfter: Number(response.headers.get("Retry-After")) || undefined,
  };
}
