// A report, read as it was made: in a frame without scripts.

import { el, fill } from "./dom.js";
import { finalizeButton, reportState, verifiedBy } from "./finalize.js";
import { get } from "./server.js";
import { count, moment, personName } from "./words.js";

/** Show a report of a study in `view`. */
export async function showReport(view, place) {
  const { signal, tell, names: [uid, id] } = place;
  document.title = "Report";
  try {
    const { study, reports } = await get(`/api/studies/${uid}`, signal);
    const report = reports.find((one) => one.name === `reports/${id}`);
    if (!report) throw new Error("There is no such report of this study");
    document.title = `Report: ${personName(study.patientName) || study.patientId}`;
    const newer = reports[0].name === report.name ? null : el("a", { href: `#/${study.name}/${reports[0].name}` }, "There is a newer version");
    const file = (form, words) => el("a", { class: "button", href: `/api/reports/${id}/${form}?download`, download: true }, words);
    fill(
      view,
      el("a", { class: "back", href: `#/${study.name}` }, personName(study.patientName) || "The study"),
      el(
        "div",
        { class: "title-line" },
        el("div", {}, el("h1", {}, "Report"), el("p", {}, reportState(report), ` · version ${report.version} · ${count(report.findingCount, "finding")} · ${moment(report.createTime)} `, newer), el("p", {}, verifiedBy(report))),
        el("div", { class: "buttons" }, finalizeButton(report, reports, () => showReport(view, place)), file("pdf", "Download PDF"), file("sr", "Download SR"), file("fhir", "Download FHIR")),
      ),
      el("iframe", { class: "report-frame", sandbox: "", src: `/api/reports/${id}/html`, title: "The report" }),
    );
  } catch (problem) {
    if (!signal.aborted) tell(problem);
  }
}
