// What the desk needs of a browser; `browser.ts` has the real one.

import type { Api } from "../../../shared/api.ts";
import type { Clock } from "../../../shared/clock.ts";
import type { DeviceList, Opened } from "../../../shared/devices.ts";
import type { Me } from "../../../shared/gen/Me.ts";
import type { Offer } from "../../../shared/gen/Offer.ts";
import type { Peer } from "../../../shared/leg.ts";
import type { Socket } from "../../../shared/signal.ts";

export interface DeskEnv {
  clock: Clock;
  random(): number;
  api: Api;
  me: Me;
  signalUrl: string;
  connect(url: string): Socket;
  peer(config: RTCConfiguration): Peer;
  openMicrophone(deviceId?: string): Promise<Opened>;
  listDevices(): Promise<DeviceList>;
  visible(): boolean;
  sound: {
    /** Makes sound possible; called within a press. */
    unlock(): void;
    listen(stream: MediaStream | undefined): void;
    play(track: MediaStreamTrack): void;
    silence(): void;
    mine(): number;
    ring(on: boolean): void;
    end(): void;
    speaker(id: string): void;
  };
  /** Tells of an incoming call outside the page. */
  announce(offer: Offer | undefined): void;
}
