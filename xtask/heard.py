"""Finds clips in what was heard and scores each one: heard.py HEARD FROM TO REFERENCE [REFERENCE ...]

All files mono, 16 kHz, 16 bit; FROM and TO are seconds of HEARD to look at. One line for each time a clip was heard
whole: its number, the second at which it begins, wide-band PESQ (ITU-T P.862.2). Reads files and prints; never fetches
anything.

A clip is found by its loudness over time, which neither loss nor a jitter buffer that stretches sound changes much;
PESQ aligns the rest.
"""

import sys

import numpy
from pesq import pesq
from scipy.io import wavfile
from scipy.signal import fftconvolve

RATE = 16_000
# Samples of one step of the loudness: 4 ms.
STEP = 64
# Silence around each clip, in the file that is played as well as in what is scored, seconds.
MARGIN = 0.2
# Correlation of loudness that counts as found; other clips stay below 0.5.
FOUND = 0.7


def read(path):
    rate, samples = wavfile.read(path)
    if rate != RATE or samples.ndim != 1 or samples.dtype != numpy.int16:
        sys.exit(f"{path}: not mono, 16 bit, {RATE} Hz")
    return samples.astype(numpy.float64)


def loudness(samples):
    steps = samples[: len(samples) // STEP * STEP].reshape(-1, STEP)
    # Decibels, or one loud vowel would decide.
    return 10 * numpy.log10((steps**2).mean(axis=1) + 100.0)


def places(heard, clip):
    """Steps at which the clip begins."""
    length = len(clip)
    if len(heard) < length:
        return
    shape = clip - clip.mean()
    ones = numpy.ones(length)
    product = fftconvolve(heard, shape[::-1], mode="valid")
    mean = fftconvolve(heard, ones, mode="valid") / length
    power = fftconvolve(heard**2, ones, mode="valid") - length * mean**2
    alike = product / numpy.sqrt(numpy.maximum(power, 1e-9) * (shape**2).sum())
    while len(alike) and alike.max() >= FOUND:
        place = int(alike.argmax())
        yield place
        alike[max(0, place - length // 2) : place + length // 2] = -1


def main(heard_path, begin, end, clips):
    heard = read(heard_path)[int(float(begin) * RATE) : int(float(end) * RATE)]
    margin = int(MARGIN * RATE)
    for number, path in enumerate(clips):
        clip = numpy.pad(read(path), margin)
        for place in sorted(places(loudness(heard), loudness(clip))):
            piece = heard[place * STEP : place * STEP + len(clip)]
            whole = min(len(piece), len(clip))
            score = pesq(RATE, clip[:whole], piece[:whole], "wb")
            print(f"{number} {place * STEP / RATE + float(begin):.2f} {score:.3f}")


if len(sys.argv) < 5:
    sys.exit("usage: heard.py HEARD FROM TO REFERENCE [REFERENCE ...]")
main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:])
