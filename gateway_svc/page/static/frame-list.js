// The frames of a series in the order in which they lie in the body, each with what is needed to show it.

import { macro, number, numbers, value } from "./dicom-json.js";

/**
 * The frames of a series.
 *
 * @param series `studies/{uid}/series/{uid}`
 * @param datasets DICOM JSON of its instances
 * @returns frames: {key, path, sopInstanceUid, frameNumber, rows, columns, …}; lengths in millimetres
 */
export function framesOf(series, datasets) {
  const frames = datasets.flatMap((dataset) => instanceFrames(series, dataset));
  const stack = stackOf(frames);
  if (stack) frames.sort((a, b) => a.along - b.along);
  else frames.sort((a, b) => a.instanceNumber - b.instanceNumber || a.frameNumber - b.frameNumber);
  return frames;
}

/** Row direction x column direction: where the frame faces. */
export function normalOf([rx, ry, rz, cx, cy, cz]) {
  return [ry * cz - rz * cy, rz * cx - rx * cz, rx * cy - ry * cx];
}

/** The sum of products. */
export function dot(a, b) {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

function instanceFrames(series, dataset) {
  const rows = number(dataset, "00280010", 0);
  const columns = number(dataset, "00280011", 0);
  if (!rows || !columns) return [];
  const uid = value(dataset, "00080018");
  const path = `/dicom-web/${series}/instances/${uid}`;
  const count = number(dataset, "00280008", 1);
  return Array.from({ length: count }, (_, index) => {
    const measures = macro(dataset, index, "00289110");
    const voi = macro(dataset, index, "00289132");
    const transformation = macro(dataset, index, "00289145");
    const position = numbers(macro(dataset, index, "00209113"), "00200032");
    const orientation = numbers(macro(dataset, index, "00209116"), "00200037");
    const spacing = numbers(measures, "00280030");
    return {
      key: `${uid}/${index + 1}`,
      path,
      sopInstanceUid: uid,
      frameNumber: index + 1,
      instanceNumber: number(dataset, "00200013", 0),
      rows,
      columns,
      position: position.length === 3 ? position : null,
      orientation: orientation.length === 6 ? orientation : null,
      spacing: spacing.length === 2 ? spacing : spacingOf(dataset),
      hasSpacing: spacing.length === 2,
      thickness: number(measures, "00180050", 0),
      samples: number(dataset, "00280002", 1),
      photometric: value(dataset, "00280004") || "MONOCHROME2",
      bitsAllocated: number(dataset, "00280100", 16),
      bitsStored: number(dataset, "00280101", 16),
      isSigned: number(dataset, "00280103", 0) === 1,
      isFloat: dataset["7FE00008"] !== undefined || dataset["7FE00009"] !== undefined,
      slope: number(transformation, "00281053", 1),
      intercept: number(transformation, "00281052", 0),
      unit: value(transformation, "00281054") || "",
      modality: value(dataset, "00080060") || "",
      hasTables: value(transformation, "00283000") !== undefined || (value(voi, "00283010") !== undefined && number(voi, "00281050") === undefined),
      center: number(voi, "00281050"),
      width: number(voi, "00281051"),
      milliseconds: number(dataset, "00181063", 0),
    };
  });
}

/** Without Pixel Spacing: that of the detector, or the shape of the pixels alone (PS3.3 C.7.6.3.1.7). */
function spacingOf(dataset) {
  const imager = numbers(dataset, "00181164");
  if (imager.length === 2) return imager;
  const aspect = numbers(dataset, "00280034");
  return aspect.length === 2 && aspect[0] > 0 && aspect[1] > 0 ? aspect : [1, 1];
}

/** True, with `along` set in each frame, if all face the same way and lie at different places. */
function stackOf(frames) {
  const first = frames[0];
  if (frames.length < 2 || !first.orientation) return false;
  const normal = normalOf(first.orientation);
  for (const frame of frames) {
    if (!frame.position || !frame.orientation || frame.orientation.some((part, index) => Math.abs(part - first.orientation[index]) > 1e-3)) return false;
    frame.along = dot(frame.position, normal);
  }
  return new Set(frames.map((frame) => frame.along.toFixed(3))).size === frames.length;
}
