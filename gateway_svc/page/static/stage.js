// The canvas on which a frame is shown: its place and size, what lies over it, and where a point of it is.

import { dot, normalOf } from "./frame-list.js";
import { paint } from "./window-level.js";

/** Shows one frame at a time. */
export class Stage {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.source = document.createElement("canvas");
    this.zoom = 1;
    this.pan = [0, 0];
    this.frame = null;
  }

  /** Fit the frame into the canvas again. */
  reset() {
    this.zoom = 1;
    this.pan = [0, 0];
  }

  /** Draw a frame: its pixels, pictures over it, and lines with labels, {from, to, label} in patient coordinates. */
  draw(frame, pixels, window, pictures, lines) {
    this.frame = frame;
    this.#fit();
    const { context, canvas } = this;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "#000";
    context.fillRect(0, 0, canvas.width, canvas.height);
    if (!pixels) return;
    const image = pixels.image || this.#painted(frame, pixels.values, window);
    const { x, y, width, height } = this.#place();
    context.imageSmoothingEnabled = width / image.width < 4;
    context.imageSmoothingQuality = "high";
    context.drawImage(image, x, y, width, height);
    context.imageSmoothingEnabled = false;
    for (const picture of pictures) context.drawImage(picture, x, y, width, height);
    for (const line of lines) this.#line(line);
  }

  /** Column and row of a point of the screen, from 0; null outside of the frame. */
  pixelAt(clientX, clientY) {
    if (!this.frame) return null;
    const box = this.canvas.getBoundingClientRect();
    const scale = this.canvas.width / box.width;
    const { x, y, width, height } = this.#place();
    const column = Math.floor((((clientX - box.left) * scale - x) / width) * this.frame.columns);
    const row = Math.floor((((clientY - box.top) * scale - y) / height) * this.frame.rows);
    return column >= 0 && row >= 0 && column < this.frame.columns && row < this.frame.rows ? [column, row] : null;
  }

  #painted(frame, values, window) {
    const { source } = this;
    if (source.width !== frame.columns || source.height !== frame.rows) {
      source.width = frame.columns;
      source.height = frame.rows;
    }
    const target = source.getContext("2d");
    const data = target.createImageData(frame.columns, frame.rows);
    paint(frame, values, window, new Uint32Array(data.data.buffer));
    target.putImageData(data, 0, 0);
    return source;
  }

  #fit() {
    const box = this.canvas.getBoundingClientRect();
    const ratio = globalThis.devicePixelRatio || 1;
    const width = Math.max(1, Math.round(box.width * ratio));
    const height = Math.max(1, Math.round(box.height * ratio));
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
  }

  /** Where the frame lies on the canvas, in its pixels; their shape is that of the frame's pixels in the patient. */
  #place() {
    const { frame, canvas } = this;
    const wide = frame.columns * frame.spacing[1];
    const high = frame.rows * frame.spacing[0];
    const scale = Math.min(canvas.width / wide, canvas.height / high) * this.zoom;
    const ratio = canvas.width / (this.canvas.clientWidth || 1);
    return {
      x: (canvas.width - wide * scale) / 2 + this.pan[0] * ratio,
      y: (canvas.height - high * scale) / 2 + this.pan[1] * ratio,
      width: wide * scale,
      height: high * scale,
    };
  }

  #line({ from, to, label }) {
    const { context } = this;
    const [a, b] = [from, to].map((point) => this.#onCanvas(point));
    const ratio = globalThis.devicePixelRatio || 1;
    context.lineWidth = 1.5 * ratio;
    context.strokeStyle = "#ffe08a";
    context.fillStyle = "#ffe08a";
    context.beginPath();
    context.moveTo(...a);
    context.lineTo(...b);
    context.stroke();
    for (const end of [a, b]) {
      context.beginPath();
      context.arc(...end, 2.5 * ratio, 0, 7);
      context.fill();
    }
    context.font = `600 ${13 * ratio}px system-ui, sans-serif`;
    const right = a[0] > b[0] ? a : b;
    const at = [right[0] + 9 * ratio, right[1] + 4 * ratio];
    context.strokeStyle = "#000c";
    context.lineWidth = 4 * ratio;
    context.lineJoin = "round";
    context.strokeText(label, ...at); // readable on white as on black
    context.fillText(label, ...at);
  }

  /** A point of the patient, in millimetres, on the canvas (PS3.3 C.7.6.2.1.1, inverted). */
  #onCanvas(point) {
    const { frame } = this;
    const offset = point.map((part, index) => part - frame.position[index]);
    const column = dot(offset, frame.orientation.slice(0, 3)) / frame.spacing[1];
    const row = dot(offset, frame.orientation.slice(3)) / frame.spacing[0];
    const { x, y, width, height } = this.#place();
    return [x + ((column + 0.5) / frame.columns) * width, y + ((row + 0.5) / frame.rows) * height];
  }
}

/** Letters for the sides of a frame (PS3.3 C.7.6.1.1.1): where its rows and columns point to; empty without a position. */
export function sidesOf(frame) {
  if (!frame.orientation || !frame.position) return { left: "", right: "", top: "", bottom: "" };
  const row = frame.orientation.slice(0, 3);
  const column = frame.orientation.slice(3);
  return { right: lettersOf(row), left: lettersOf(row.map((part) => -part)), bottom: lettersOf(column), top: lettersOf(column.map((part) => -part)) };
}

/** How far a point lies from the plane of a frame, in millimetres. */
export function distanceFrom(frame, point) {
  return Math.abs(dot(point.map((part, index) => part - frame.position[index]), normalOf(frame.orientation)));
}

function lettersOf(direction) {
  const names = [["L", "R"], ["P", "A"], ["H", "F"]];
  return direction
    .map((part, axis) => ({ size: Math.abs(part), letter: names[axis][part >= 0 ? 0 : 1] }))
    .filter(({ size }) => size > 0.2)
    .sort((a, b) => b.size - a.size)
    .slice(0, 2)
    .map(({ letter }) => letter)
    .join("");
}
