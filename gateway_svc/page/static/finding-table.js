// Findings, grouped by what they are about.

import { el } from "./dom.js";
import { measured, unitText } from "./words.js";

/** A table of findings in the order in which they were made. */
export function findingTable(findings) {
  const groups = new Map();
  for (const finding of findings) {
    const subject = finding.trackingIdentifier || finding.site?.meaning || finding.findingType?.meaning || "Image";
    groups.set(subject, [...(groups.get(subject) || []), finding]);
  }
  return el(
    "div",
    { class: "finding-groups" },
    [...groups].map(([subject, found]) =>
      el(
        "table",
        {},
        el("caption", {}, subject),
        el("thead", { class: "unseen" }, el("tr", {}, el("th", { scope: "col" }, "Measure"), el("th", { scope: "col" }, "Value"))),
        el("tbody", {}, found.map(row)),
        notes(found),
      ),
    ),
  );
}

function row(finding) {
  const derivation = finding.derivation?.meaning ? `, ${finding.derivation.meaning.toLowerCase()}` : "";
  return el(
    "tr",
    {},
    el("th", { scope: "row" }, `${finding.concept?.meaning || ""}${derivation}`),
    el("td", {}, valueOf(finding), " ", el("span", { class: "unit" }, unitText(finding.unit?.value || ""))),
  );
}

function notes(found) {
  const messages = new Set(found.flatMap((finding) => finding.qualityFlags.map((flag) => flag.message)));
  return messages.size ? el("tfoot", {}, [...messages].map((words) => el("tr", {}, el("td", { colspan: 2, class: "flag" }, words)))) : null;
}

function valueOf(finding) {
  if (finding.codedValue) return finding.codedValue.meaning;
  return finding.value === undefined ? "" : measured(finding.value);
}
