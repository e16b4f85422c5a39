// A small picture of a study or series; the modality in letters where there is none.

import { el } from "./dom.js";

const PICTURELESS = new Set(["SR", "DOC", "PR", "KO", "SEG", "RTSTRUCT", "RTPLAN", "RWV"]);

/** Whether what has this modality has pictures. */
export const hasPictures = (modality) => !PICTURELESS.has(modality);

/** The picture of a resource of DICOMweb, `size` pixels wide and high; letters alone with `wanted` false. */
export function thumbnail(resource, letters, size, wanted) {
  const picture = el("span", { class: "thumbnail" }, el("span", { class: "letters", "aria-hidden": "true" }, letters));
  if (wanted) {
    const image = el("img", { src: `/dicom-web/${resource}/thumbnail?viewport=${size},${size}`, alt: "", loading: "lazy", decoding: "async" });
    image.addEventListener("error", () => image.remove());
    picture.append(image);
  }
  return picture;
}
