// What the kernel threw away because a program did not fetch it in time: of that loss nobody else is to blame.
import { readFileSync } from "node:fs";

/** Columns of `/proc/net/udp` (proc(5)): the local address as `HEX:PORT` in hexadecimal; the last one counts drops. */
const LOCAL = 1;

/** Datagrams to this port of this machine that found its socket's buffer full. Throws where there is no such socket. */
export function dropped(port: number): number {
  const ending = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  const sockets = ["/proc/net/udp", "/proc/net/udp6"]
    .flatMap((file) => readFileSync(file, "utf8").trim().split("\n").slice(1))
    .map((line) => line.trim().split(/\s+/))
    .filter((columns) => columns[LOCAL]?.endsWith(ending));
  if (sockets.length === 0) throw new Error(`nobody receives at port ${port}`);
  return sockets.reduce((sum, columns) => sum + Number(columns.at(-1)), 0);
}
