// HTJ2K frames (PS3.5 A.4.4), also of their first bytes alone, which are the picture in a lower resolution.

import openjph from "@cornerstonejs/codec-openjph/wasmjs";
import wasm from "@cornerstonejs/codec-openjph/wasm?url";

interface Decoder {
  getEncodedBuffer(length: number): Uint8Array;
  getDecodedBuffer(): Uint8Array;
  getFrameInfo(): { bitsPerSample: number; isSigned: boolean };
  calculateSizeAtDecompositionLevel(level: number): { width: number; height: number };
  readHeader(): void;
  decodeSubResolution(level: number): void;
}

const codec = openjph({ locateFile: () => wasm }) as Promise<{ HTJ2KDecoder: new () => Decoder }>;

/** The stored values of a frame at a resolution level (0: all of it), repeated so that they fill `rows` x `columns`. */
export async function decodeHtj2k(bytes: Uint8Array, level: number, rows: number, columns: number) {
  const decoder = new (await codec).HTJ2KDecoder();
  decoder.getEncodedBuffer(bytes.length).set(bytes);
  decoder.readHeader();
  decoder.decodeSubResolution(level);
  const { bitsPerSample, isSigned } = decoder.getFrameInfo();
  const { width } = decoder.calculateSizeAtDecompositionLevel(level);
  const decoded = decoder.getDecodedBuffer().slice().buffer; // the codec writes the next frame to the same place
  const values = typed(decoded, bitsPerSample > 8 ? 16 : 8, isSigned);
  if (level === 0) return values;
  const full = typed(new ArrayBuffer(rows * columns * values.BYTES_PER_ELEMENT), bitsPerSample > 8 ? 16 : 8, isSigned);
  for (let row = 0, at = 0; row < rows; row += 1) {
    const from = (row >> level) * width;
    for (let column = 0; column < columns; column += 1, at += 1) full[at] = values[from + (column >> level)]!;
  }
  return full;
}

/** Bytes as stored values. */
export function typed(buffer: ArrayBuffer, bitsAllocated: number, isSigned: boolean) {
  if (bitsAllocated > 16) return isSigned ? new Int32Array(buffer) : new Uint32Array(buffer);
  if (bitsAllocated > 8) return isSigned ? new Int16Array(buffer) : new Uint16Array(buffer);
  return isSigned ? new Int8Array(buffer) : new Uint8Array(buffer);
}
