// From stored values to grey: Modality LUT, then VOI LUT (PS3.3 C.11.1, C.11.2), by one table where that can be.

/** Windows that radiologists use for CT: centre and width in HU. */
export const CT_WINDOWS = {
  "Soft tissue": [40, 400],
  Lung: [-600, 1500],
  Bone: [400, 1800],
  Brain: [40, 80],
  Mediastinum: [50, 350],
};

/** The value of a stored value after the Modality LUT, e.g. in HU. */
export function modalityValue(frame, stored) {
  return signed(frame, stored) * frame.slope + frame.intercept;
}

/** The window that a frame asks for, or else one that spans what is in it; {center, width}. */
export function defaultWindow(frame, values) {
  if (frame.center !== undefined && frame.width >= 1) return { center: frame.center, width: frame.width };
  const sample = [];
  const step = Math.max(1, Math.floor(values.length / 20000));
  for (let index = 0; index < values.length; index += step) sample.push(modalityValue(frame, values[index]));
  sample.sort((a, b) => a - b);
  const low = sample[Math.floor(sample.length * 0.005)];
  const high = sample[Math.floor(sample.length * 0.995)];
  return { center: (low + high) / 2, width: Math.max(1, high - low) };
}

/** Paint a frame into `pixels`, an Uint32Array of RGBA as the machine orders them. */
export function paint(frame, values, { center, width, isInverted }, pixels) {
  const invert = (frame.photometric === "MONOCHROME1") !== isInverted;
  if (values instanceof Uint8Array || values instanceof Uint16Array) {
    const table = tableOf(frame, values.BYTES_PER_ELEMENT * 8, center, width, invert);
    for (let index = 0; index < pixels.length; index += 1) pixels[index] = table[values[index]];
    return;
  }
  for (let index = 0; index < pixels.length; index += 1) {
    pixels[index] = grey(values[index] * frame.slope + frame.intercept, center, width, invert);
  }
}

let lastKey = "";
let lastTable = new Uint32Array(0);

function tableOf(frame, bits, center, width, invert) {
  const key = [bits, frame.bitsStored, frame.isSigned, frame.slope, frame.intercept, center, width, invert].join();
  if (key === lastKey) return lastTable;
  const table = new Uint32Array(1 << bits);
  for (let stored = 0; stored < table.length; stored += 1) table[stored] = grey(modalityValue(frame, stored), center, width, invert);
  lastKey = key;
  lastTable = table;
  return table;
}

/** Bits above those that are stored may hold anything; a sign is extended from the highest stored bit. */
function signed(frame, stored) {
  if (frame.isFloat || frame.bitsAllocated > 16) return stored;
  const used = stored & ((1 << frame.bitsStored) - 1);
  return frame.isSigned && used >> (frame.bitsStored - 1) ? used - (1 << frame.bitsStored) : used;
}

/** The linear function of PS3.3 C.11.2.1.2.1 as an opaque grey. */
function grey(value, center, width, invert) {
  const part = width > 1 ? (value - (center - 0.5)) / (width - 1) + 0.5 : value > center - 0.5 ? 1 : 0;
  const level = Math.max(0, Math.min(255, Math.round(part * 255)));
  const shown = invert ? 255 - level : level;
  return (0xff000000 | (shown << 16) | (shown << 8) | shown) >>> 0;
}
