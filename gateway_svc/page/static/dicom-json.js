// Reading the DICOM JSON model (PS3.18 F).

/** The values of an element; empty where it is missing. */
export function values(dataset, tag) {
  return dataset?.[tag]?.Value || [];
}

/** Its first value; undefined where there is none. */
export function value(dataset, tag) {
  return dataset?.[tag]?.Value?.[0];
}

/** Its values as numbers. */
export function numbers(dataset, tag) {
  return values(dataset, tag).map(Number);
}

/** Its first value as a number; `otherwise` where there is none. */
export function number(dataset, tag, otherwise) {
  const found = value(dataset, tag);
  return found === undefined || found === null || Number.isNaN(Number(found)) ? otherwise : Number(found);
}

/**
 * The item of a functional group macro for a frame (PS3.3 C.7.6.16): its own, or the shared one; of an image that is
 * not enhanced, the data set itself.
 *
 * @param index of the frame, from 0
 * @param tag of the macro's sequence
 */
export function macro(dataset, index, tag) {
  const own = values(dataset, "52009230")[index];
  return value(own, tag) || value(value(dataset, "52009229"), tag) || dataset;
}
