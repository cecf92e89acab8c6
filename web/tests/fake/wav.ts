// Sound files made on the spot.

/** A mono WAV file of 16-bit samples. */
export function pcm(samples: Int16Array, rate: number): Buffer {
  const data = Buffer.from(samples.buffer, samples.byteOffset, samples.byteLength);
  return Buffer.concat([head(data.length, rate, 2), data]);
}

/** A silent mono WAV file of 8-bit samples. */
export function silence(seconds: number, rate: number): Buffer {
  const size = seconds * rate;
  return Buffer.concat([head(size, rate, 1), Buffer.alloc(size, 128)]);
}

function head(size: number, rate: number, width: 1 | 2): Buffer {
  const bytes = Buffer.alloc(44);
  bytes.write("RIFF", 0);
  bytes.writeUInt32LE(36 + size, 4);
  bytes.write("WAVEfmt ", 8);
  bytes.writeUInt32LE(16, 16);
  bytes.writeUInt16LE(1, 20);
  bytes.writeUInt16LE(1, 22);
  bytes.writeUInt32LE(rate, 24);
  bytes.writeUInt32LE(rate * width, 28);
  bytes.writeUInt16LE(width, 32);
  bytes.writeUInt16LE(8 * width, 34);
  bytes.write("data", 36);
  bytes.writeUInt32LE(size, 40);
  return bytes;
}
