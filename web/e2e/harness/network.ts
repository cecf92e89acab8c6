// The network between a browser and the server, as far as a test wants to break it: proxies on loopback.
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";

const LOOPBACK = "127.0.0.1";

/** A way for datagrams, one socket towards the server for each address of a client. */
export interface UdpProxy {
  /** Where a client sends to. */
  port: number;
  /** The client's address changes as the server sees it; what is sent to the old one is lost. */
  rebind(): void;
  /** The ways of today lead nowhere any more, as when a network is left: the client must open another. */
  block(): void;
  /** So many of the next datagrams to the server are lost. */
  lose(count: number): void;
  /** How many were lost by that. */
  lost(): number;
  close(): void;
}

/** A way for datagrams to `port` of the server. */
export async function udpProxy(port: number): Promise<UdpProxy> {
  const front = createSocket("udp4");
  const flows = new Map<string, UdpSocket>();
  const blocked = new Set<string>();
  const flow = (from: { address: string; port: number }): UdpSocket | undefined => {
    const key = `${from.address}:${String(from.port)}`;
    if (blocked.has(key)) return undefined;
    let back = flows.get(key);
    if (!back) {
      back = createSocket("udp4");
      back.on("message", (bytes) => front.send(bytes, from.port, from.address));
      flows.set(key, back);
    }
    return back;
  };
  let toLose = 0;
  let lost = 0;
  front.on("message", (bytes, from) => {
    if (lost < toLose) lost++;
    else flow(from)?.send(bytes, port, LOOPBACK);
  });
  await new Promise<void>((bound) => front.bind(0, LOOPBACK, bound));
  const rebind = (): void => {
    for (const back of flows.values()) back.close();
    flows.clear();
  };
  return {
    port: front.address().port,
    rebind,
    block: () => {
      for (const key of flows.keys()) blocked.add(key);
      rebind();
    },
    lose: (count) => void (toLose = lost + count),
    lost: () => lost,
    close: () => {
      rebind();
      front.close();
    },
  };
}

/** A way for connections that can be cut. */
export interface TcpProxy {
  port: number;
  /** Where connections go; set once that is known. */
  to: { host: string; port: number } | undefined;
  /** Ends every connection and takes no other until `mend`. */
  cut(): void;
  mend(): void;
  close(): void;
}

export async function tcpProxy(): Promise<TcpProxy> {
  const open = new Set<Socket>();
  let whole = true;
  const proxy: TcpProxy = {
    port: 0,
    to: undefined,
    cut: () => {
      whole = false;
      for (const socket of open) socket.destroy();
    },
    mend: () => void (whole = true),
    close: () => {
      proxy.cut();
      server.close();
    },
  };
  const keep = (socket: Socket): void => {
    open.add(socket);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => open.delete(socket));
  };
  const server = createServer((front) => {
    keep(front);
    if (!whole || !proxy.to) return void front.destroy();
    const back = connect(proxy.to);
    keep(back);
    front.on("close", () => back.destroy());
    back.on("close", () => front.destroy());
    front.pipe(back);
    back.pipe(front);
  });
  await new Promise<void>((bound) => server.listen(0, LOOPBACK, bound));
  proxy.port = (server.address() as AddressInfo).port;
  return proxy;
}

/** Runs in the page: what it is told of the server's address is the proxy's. */
export function installDetour(port: number): void {
  const plain: (this: RTCPeerConnection, description: RTCSessionDescriptionInit) => Promise<void> =
    RTCPeerConnection.prototype.setRemoteDescription;
  RTCPeerConnection.prototype.setRemoteDescription = function (description: RTCSessionDescriptionInit) {
    const detour = `$1 127.0.0.1 ${String(port)} typ host`;
    const sdp = description.sdp?.replace(/^(a=candidate:\S+ 1 udp \d+) \S+ \d+ typ host/gim, detour);
    return plain.call(this, { ...description, ...(sdp === undefined ? {} : { sdp }) });
  };
}
