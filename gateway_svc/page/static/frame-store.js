// Pixels of frames: fetched in the order in which they will be looked at, and kept as long as there is room.

import { fetchBody } from "./server.js";

const AT_ONCE = 5;
const MOST_BYTES = 384 * 1024 * 1024;

/** Loads frames around the one that is looked at. */
export class FrameStore {
  /**
   * @param frames as `framesOf` gives them
   * @param onLoaded called with the index of a frame that is there now
   * @param onProblem called with the index and why a frame cannot be had
   */
  constructor(frames, signal, onLoaded, onProblem) {
    this.frames = frames;
    this.signal = signal;
    this.onLoaded = onLoaded;
    this.onProblem = onProblem;
    this.kept = new Map();
    this.failed = new Set();
    this.coming = new Set();
    this.bytes = 0;
    this.at = 0;
  }

  /** The pixels of a frame, {values} or {image}; undefined while they are not there. */
  get(index) {
    return this.kept.get(index);
  }

  /** How many frames are there. */
  get count() {
    return this.kept.size;
  }

  /** Frame `index` is looked at now: fetch it, and then its neighbours, outwards. */
  lookAt(index) {
    this.at = index;
    this.#fill();
  }

  #fill() {
    while (this.coming.size < AT_ONCE && !this.signal.aborted) {
      const next = this.#nextWanted();
      if (next === -1) return;
      this.#load(next);
    }
  }

  #nextWanted() {
    const { length } = this.frames;
    for (let distance = 0; distance < length; distance += 1) {
      for (const index of distance === 0 ? [this.at] : [this.at + distance, this.at - distance]) {
        if (index < 0 || index >= length || this.kept.has(index) || this.coming.has(index) || this.failed.has(index)) continue;
        if (distance > 0 && this.bytes >= MOST_BYTES && !this.#makeRoom(distance)) return -1;
        return index;
      }
    }
    return -1;
  }

  /** Let go of the frame that is farthest away, if it is farther than `distance`. */
  #makeRoom(distance) {
    let farthest = -1;
    for (const index of this.kept.keys()) {
      if (farthest === -1 || Math.abs(index - this.at) > Math.abs(farthest - this.at)) farthest = index;
    }
    if (farthest === -1 || Math.abs(farthest - this.at) <= distance) return false;
    this.bytes -= this.kept.get(farthest).bytes;
    this.kept.delete(farthest);
    return true;
  }

  async #load(index) {
    this.coming.add(index);
    try {
      const pixels = await load(this.frames[index], this.signal);
      this.kept.set(index, pixels);
      this.bytes += pixels.bytes;
      this.coming.delete(index);
      this.onLoaded(index);
    } catch (problem) {
      this.coming.delete(index);
      this.failed.add(index);
      if (!this.signal.aborted) this.onProblem(index, problem);
    }
    this.#fill();
  }
}

/** True if the browser can show it from its stored values: one sample a pixel and a linear way to what is shown. */
export function isPlain(frame) {
  const depth = frame.isFloat || [8, 16, 32].includes(frame.bitsAllocated);
  return frame.samples === 1 && frame.photometric.startsWith("MONOCHROME") && depth && !frame.hasTables;
}

async function load(frame, signal) {
  if (!isPlain(frame)) {
    const answer = await fetchBody(`${frame.path}/frames/${frame.frameNumber}/rendered`, { accept: "image/png, image/jpeg" }, signal);
    const image = await createImageBitmap(await answer.blob());
    return { image, bytes: image.width * image.height * 4 };
  }
  const answer = await fetchBody(`${frame.path}/frames/${frame.frameNumber}`, { accept: "application/octet-stream" }, signal);
  const content = await answer.arrayBuffer();
  const values = typed(frame, content);
  if (values.length < frame.rows * frame.columns) throw new Error("The frame has fewer pixels than its header says");
  return { values, bytes: content.byteLength };
}

function typed(frame, content) {
  if (frame.isFloat) return frame.bitsAllocated === 64 ? new Float64Array(content) : new Float32Array(content);
  if (frame.bitsAllocated === 8) return new Uint8Array(content);
  // A frame of an odd number of bytes is padded.
  const whole = content.slice(0, content.byteLength - (content.byteLength % (frame.bitsAllocated / 8)));
  if (frame.bitsAllocated === 16) return new Uint16Array(whole);
  return frame.isSigned ? new Int32Array(whole) : new Uint32Array(whole);
}
