"""Joins a Helpline call without our script: a leg grant, one POST, and the WebRTC stack of aiortc.

    pip install aiortc
    python join.py --grant GRANT https://help.example

Says a tone and listens for another one, which is all that a script can say and understand; put your own track in the
place of `Tone`. With `--whip` it only speaks (RFC 9725). Prints one line of JSON at its end.
"""

import argparse
import asyncio
import fractions
import json
import math
import urllib.error
import urllib.request

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av import AudioFrame

RATE = 48_000
FRAME = 960
# Samples before what is heard counts: a jitter buffer needs a moment.
SETTLE = RATE


class Tone(MediaStreamTrack):
    """A sine, in frames of 20 ms, at the pace at which it would be spoken."""

    kind = "audio"

    def __init__(self, hertz):
        super().__init__()
        self.step = 2 * math.pi * hertz / RATE
        self.sent = 0
        self.began = None

    async def recv(self):
        loop = asyncio.get_running_loop()
        if self.began is None:
            self.began = loop.time()
        await asyncio.sleep(max(0, self.began + self.sent / RATE - loop.time()))
        values = bytearray()
        for n in range(self.sent, self.sent + FRAME):
            values += int(9_000 * math.sin(self.step * n)).to_bytes(2, "little", signed=True)
        frame = AudioFrame(format="s16", layout="mono", samples=FRAME)
        frame.planes[0].update(bytes(values))
        frame.sample_rate = RATE
        frame.pts, frame.time_base = self.sent, fractions.Fraction(1, RATE)
        self.sent += FRAME
        return frame


class Ear:
    """How much of what is heard is the tone that is listened for, 0 to 1."""

    def __init__(self, hertz):
        self.step = 2 * math.pi * hertz / RATE
        self.heard = self.loud = self.tone = 0

    async def listen(self, track):
        try:
            while True:
                self.take(await track.recv())
        except MediaStreamError:
            pass

    def take(self, frame):
        channels = len(frame.layout.channels)
        samples = memoryview(bytes(frame.planes[0])[: frame.samples * channels * 2]).cast("h")[::channels]
        self.heard += len(samples)
        if self.heard <= SETTLE:
            return
        cosine = sum(value * math.cos(self.step * n) for n, value in enumerate(samples))
        sine = sum(value * math.sin(self.step * n) for n, value in enumerate(samples))
        self.tone += 2 * (cosine * cosine + sine * sine) / len(samples)
        self.loud += sum(value * value for value in samples)

    def purity(self):
        return round(self.tone / self.loud, 3) if self.loud else 0.0


def ask(method, url, grant, kind=None, body=None, tag=None):
    """One request: status, headers, text."""
    headers = {"Authorization": f"Bearer {grant}"}
    if kind:
        headers["Content-Type"] = kind
    if tag:
        headers["If-Match"] = tag
    data = body.encode() if body is not None else None
    request = urllib.request.Request(url, data=data, method=method, headers=headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=10) as reply:
            return reply.status, reply.headers, reply.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.headers, refused.read().decode()


async def join(about):
    base = about.base.rstrip("/")
    door = "/api/whip" if about.whip else "/api/rtc"
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    ear, listening, up = Ear(about.listen), [], asyncio.Event()
    peer.on("track", lambda track: listening.append(asyncio.ensure_future(ear.listen(track))))
    peer.on("connectionstatechange", lambda: up.set() if peer.connectionState == "connected" else None)
    peer.addTransceiver(Tone(about.tone), direction="sendonly" if about.whip else "sendrecv")
    # This stack gathers all its candidates before it has an offer; there is nothing to trickle but the end.
    await peer.setLocalDescription(await peer.createOffer())
    status, headers, answer = await asyncio.to_thread(
        ask, "POST", base + door, about.grant, "application/sdp", peer.localDescription.sdp
    )
    told = {"post": status}
    if status != 201:
        return told | {"problem": answer}
    place, tag = base + headers["Location"], headers["ETag"]
    told["direction"] = next(word for word in ("sendrecv", "recvonly") if f"a={word}" in answer)
    await peer.setRemoteDescription(RTCSessionDescription(sdp=answer, type="answer"))
    fragment = "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\na=end-of-candidates\r\n"
    kind = "application/trickle-ice-sdpfrag"
    told["patch"], *_ = await asyncio.to_thread(ask, "PATCH", place, about.grant, kind, fragment, tag)
    await asyncio.wait_for(up.wait(), 20)
    await asyncio.sleep(about.seconds)
    if not about.stay:
        told["delete"], *_ = await asyncio.to_thread(ask, "DELETE", place, about.grant)
    await peer.close()
    for task in listening:
        task.cancel()
    return told | {"seconds": round(ear.heard / RATE, 1), "purity": ear.purity()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", help="the server, such as https://help.example")
    parser.add_argument("--grant", required=True, help="the leg grant, see docs/foreign-clients.md")
    parser.add_argument("--whip", action="store_true", help="only speak")
    parser.add_argument("--tone", type=float, default=440, help="what is said, hertz")
    parser.add_argument("--listen", type=float, default=1000, help="what is listened for, hertz")
    parser.add_argument("--seconds", type=float, default=10, help="how long the call goes on")
    parser.add_argument("--stay", action="store_true", help="leave the end of the call to the other side")
    print(json.dumps(asyncio.run(join(parser.parse_args()))))


if __name__ == "__main__":
    main()
