"""Scores pairs of WAV files (mono, 16 kHz, 16 bit): reference, degraded, reference, degraded, ...

One line a pair: wide-band PESQ (ITU-T P.862.2) and STOI. PESQ forgives a shift in time, STOI does not. Reads files and
prints; never fetches anything.
"""

import sys

import numpy
from pesq import pesq
from pystoi import stoi
from scipy.io import wavfile

RATE = 16_000


def read(path):
    rate, samples = wavfile.read(path)
    if rate != RATE or samples.ndim != 1 or samples.dtype != numpy.int16:
        sys.exit(f"{path}: not mono, 16 bit, {RATE} Hz")
    return samples.astype(numpy.float64)


def main(paths):
    if not paths or len(paths) % 2:
        sys.exit("usage: score.py REFERENCE DEGRADED [REFERENCE DEGRADED ...]")
    for reference, degraded in zip(paths[::2], paths[1::2]):
        before, after = read(reference), read(degraded)
        length = min(len(before), len(after))
        before, after = before[:length], after[:length]
        print(f"{pesq(RATE, before, after, 'wb'):.4f} {stoi(before, after, RATE):.4f}")


main(sys.argv[1:])
