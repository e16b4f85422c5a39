// The state of a study or run as a badge.

import { el } from "./dom.js";

/** What holds results rather than images. */
const RESULTS = new Set(["SR", "DOC", "SEG", "KO", "PR", "RWV"]);

/** The modalities of a study as small marks; those of results only where there is nothing else. */
export function modalityMarks(modalities) {
  const images = modalities.filter((one) => !RESULTS.has(one));
  return (images.length ? images : modalities).map((one) => el("span", { class: "modality" }, one));
}

/** A dot, words (a link, with `href`), and a thin bar while there is progress to show. */
export function stateBadge({ kind, words, progress, reason, href }) {
  const bar = progress === null || progress === undefined ? null : progressBar(progress);
  return el("span", { class: `state ${kind}`, title: reason || null }, el("i", { "aria-hidden": "true" }), href ? el("a", { href }, words) : el("span", {}, words), bar);
}

/** A bar that is filled up to `part`, 0 to 1. */
export function progressBar(part, label = "Progress") {
  const percent = Math.round(part * 100);
  const fill = el("b");
  fill.style.width = `${percent}%`;
  return el(
    "span",
    { class: "progress", role: "progressbar", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": percent },
    fill,
  );
}
