// Segmentations (PS3.3 C.8.20) of the frames of a series, drawn over them.

import { macro, number, numbers, value, values } from "./dicom-json.js";
import { fetchBody } from "./server.js";

const COLOURS = [[86, 182, 208], [240, 150, 80], [120, 200, 120], [220, 110, 170], [230, 205, 90], [150, 140, 235]];

/** Segments of all segmentations of a study that show something on `frames`. */
export class Segmentations {
  constructor(signal, onLoaded) {
    this.signal = signal;
    this.onLoaded = onLoaded;
    this.segments = [];
    this.places = new Map();
    this.pictures = new Map();
  }

  /** Read the headers of segmentation series. */
  async read(seriesNames, frames) {
    const known = new Map(frames.map((frame) => [frame.key, frame]));
    for (const name of seriesNames) {
      const answer = await fetchBody(`/dicom-web/${name}/metadata`, { accept: "application/dicom+json" }, this.signal);
      for (const dataset of await answer.json()) this.#add(name, dataset, known);
    }
    return this.segments;
  }

  /** What is drawn over a frame now: bitmaps of the segments that are shown. What is not there yet is fetched. */
  over(frame) {
    const shown = [];
    for (const place of this.places.get(frame.key) || []) {
      if (!place.segment.isShown) continue;
      const picture = this.pictures.get(place.path);
      if (picture === undefined) this.#load(place);
      else if (picture !== null) shown.push(picture);
    }
    return shown;
  }

  #add(name, dataset, known) {
    const uid = value(dataset, "00080018");
    const rows = number(dataset, "00280010", 0);
    const columns = number(dataset, "00280011", 0);
    const isBinary = value(dataset, "00620001") === "BINARY";
    const segments = new Map();
    values(dataset, "52009230").forEach((_, index) => {
      const source = value(macro(dataset, index, "00089124"), "00082112");
      if (!source) return;
      const frame = known.get(`${value(source, "00081155")}/${number(source, "00081160", 1)}`);
      if (!frame || frame.rows !== rows || frame.columns !== columns) return; // another grid: it would lie wrongly
      const segmentNumber = number(macro(dataset, index, "0062000A"), "0062000B", 1);
      if (!segments.has(segmentNumber)) segments.set(segmentNumber, this.#segment(dataset, segmentNumber));
      const place = { path: `/dicom-web/${name}/instances/${uid}/frames/${index + 1}`, rows, columns, isBinary, segment: segments.get(segmentNumber) };
      this.places.set(frame.key, [...(this.places.get(frame.key) || []), place]);
    });
  }

  #segment(dataset, segmentNumber) {
    const item = values(dataset, "00620002").find((one) => number(one, "00620004") === segmentNumber);
    const lab = numbers(item, "0062000D");
    const segment = {
      label: value(item, "00620005") || `Segment ${segmentNumber}`,
      from: value(dataset, "0008103E") || "",
      colour: lab.length === 3 ? colourOf(lab) : COLOURS[this.segments.length % COLOURS.length],
      isShown: true,
    };
    this.segments.push(segment);
    return segment;
  }

  async #load(place) {
    this.pictures.set(place.path, null);
    try {
      const answer = await fetchBody(place.path, { accept: "application/octet-stream" }, this.signal);
      const bits = new Uint8Array(await answer.arrayBuffer());
      this.pictures.set(place.path, await pictureOf(place, bits));
      this.onLoaded();
    } catch {
      // The image is shown without it.
    }
  }
}

/** A bitmap: an outline, and a light filling. */
function pictureOf({ rows, columns, isBinary, segment }, content) {
  const isSet = isBinary ? (index) => (content[index >> 3] >> (index & 7)) & 1 : (index) => content[index] > 127;
  const [red, green, blue] = segment.colour;
  const image = new ImageData(columns, rows);
  for (let row = 0, index = 0; row < rows; row += 1) {
    for (let column = 0; column < columns; column += 1, index += 1) {
      if (!isSet(index)) continue;
      const isInside = row > 0 && row < rows - 1 && column > 0 && column < columns - 1 && isSet(index - 1) && isSet(index + 1) && isSet(index - columns) && isSet(index + columns);
      image.data.set([red, green, blue, isInside ? 34 : 215], index * 4);
    }
  }
  return createImageBitmap(image);
}

/** CIELab as PS3.3 C.10.7.1.1 scales it to 16 bits, under D50, to sRGB. */
function colourOf([l, a, b]) {
  const lightness = (l * 100) / 65535;
  const fy = (lightness + 16) / 116;
  const fx = fy + ((a * 255) / 65535 - 128) / 500;
  const fz = fy - ((b * 255) / 65535 - 128) / 200;
  const [x, y, z] = [[fx, 0.9642], [fy, 1], [fz, 0.8249]].map(([f, white]) => white * (f ** 3 > 0.008856 ? f ** 3 : (f - 16 / 116) / 7.787));
  const linear = [3.1339 * x - 1.6169 * y - 0.4906 * z, -0.9788 * x + 1.9161 * y + 0.0335 * z, 0.0719 * x - 0.229 * y + 1.4052 * z];
  return linear.map((part) => {
    const bound = Math.max(0, Math.min(1, part));
    return Math.round(255 * (bound <= 0.0031308 ? 12.92 * bound : 1.055 * bound ** (1 / 2.4) - 0.055));
  });
}
