// A study: who and what, where it is on its way, its series, what was found, its reports.

import { el, fill, keep } from "./dom.js";
import { reportState, verifiedBy } from "./finalize.js";
import { findingTable } from "./finding-table.js";
import { repeat } from "./live.js";
import { isActive, studyState, stateName } from "./run-state.js";
import { openSending } from "./sending.js";
import { currentSession, get, post } from "./server.js";
import { modalityMarks, stateBadge } from "./state-badge.js";
import { hasPictures, thumbnail } from "./thumbnail.js";
import { arrivalSteps, runSteps } from "./timeline.js";
import { bytes, count, day, moment, personName, timeOfDay, title } from "./words.js";

/** Show a study in `view` until `signal` aborts. */
export function showStudy(view, { signal, tell, names: [uid] }) {
  const head = el("header", { class: "study-head" });
  const way = el("ol", { class: "timeline" });
  const wayHead = el("div", { class: "section-head" });
  const series = el("ul", { class: "series-list" });
  const derived = el("ul", { class: "series-list" });
  const derivedPart = el("section", { hidden: true, "aria-labelledby": "made" }, el("h2", { id: "made" }, "Made by runs"), derived);
  const findings = el("section", { class: "findings", "aria-labelledby": "found", hidden: true });
  const reports = el("ul", { class: "reports" });
  const reportsPart = el("section", { "aria-labelledby": "reports", hidden: true }, el("h2", { id: "reports" }, "Reports"), reports);
  fill(
    view,
    el("a", { class: "back", href: "#/" }, "All studies"),
    head,
    el(
      "div",
      { class: "study-body" },
      el("div", {}, el("section", { "aria-labelledby": "images" }, el("h2", { id: "images" }, "Images"), series), findings, derivedPart),
      el("div", {}, reportsPart, el("section", { "aria-label": "Where it is" }, wayHead, way)),
    ),
  );

  let shownFindings = "";
  const again = repeat(
    async () => {
      const answer = await get(`/api/studies/${uid}`, signal);
      if (signal.aborted) return 1;
      const run = answer.runs[0] || null;
      document.title = personName(answer.study.patientName) || answer.study.patientId || "Study";
      showOnce(head, answer.study, (study) => studyHead(study, again, tell));
      const received = answer.series.filter((one) => one.origin?.kind !== "KIND_DERIVED");
      const made = answer.series.filter((one) => one.origin?.kind === "KIND_DERIVED");
      keep(series, received, (one) => one.name, seriesCard);
      keep(derived, made, (one) => one.name, seriesCard);
      derivedPart.hidden = made.length === 0;
      showOnce(wayHead, [answer.study.manifest, run, answer.runs.length], () => wayHeader(answer.study, run, again, tell));
      showOnce(way, [answer.study.manifest, answer.study.updateTime, answer.runs], () => [
        ...arrivalSteps(answer.study),
        ...(run ? runSteps(run) : []),
      ]);
      keep(reports, answer.reports, (report) => report.name, (report) => reportItem(report, answer.study));
      reportsPart.hidden = answer.reports.length === 0;
      const findingsOf = run && !isActive(run) ? run.name : "";
      if (findingsOf && findingsOf !== shownFindings) {
        const found = await get(`/api/studies/${uid}/findings?run=${encodeURIComponent(run.name)}`, signal);
        if (signal.aborted) return 1;
        findings.hidden = found.findings.length === 0;
        fill(findings, el("h2", { id: "found" }, "Findings"), findingTable(found.findings));
        shownFindings = findingsOf;
      }
      tell(answer.problems.length ? answer.problems.join(" ") : null);
      return isActive(run) || studyState(answer.study, run).kind === "arriving" || !run ? 1 : 5;
    },
    signal,
    (problem) => problem && tell(problem),
  );
}

/** Fill an element anew only when what it shows has changed. */
function showOnce(parent, state, make) {
  const text = JSON.stringify(state);
  if (parent.kept === text) return;
  parent.kept = text;
  fill(parent, make(state));
}

function studyHead(study, again, tell) {
  const facts = [
    ["Patient ID", study.patientId],
    ["Born", day(study.patientBirthDate)],
    ["Sex", study.patientSex],
    ["Study date", [day(study.studyDate), timeOfDay(study.studyTime)].filter(Boolean).join(" ")],
    ["Accession", study.accessionNumber],
    ["Referring physician", personName(study.referringPhysicianName)],
    ["Stored", `${count(study.instanceCount, "image")}, ${bytes(study.sizeBytes)}`],
  ];
  const viewer = currentSession().viewerUrl;
  return [
    el(
      "div",
      { class: "title-line" },
      el("div", {}, el("h1", {}, personName(study.patientName) || study.patientId || "No name"), el("p", {}, modalityMarks(study.modalitiesInStudy), study.studyDescription || el("span", { class: "none" }, "No description"))),
      el(
        "div",
        { class: "buttons" },
        viewer ? el("a", { class: "button", href: `${viewer}/viewer?StudyInstanceUIDs=${study.studyInstanceUid}`, target: "_blank", rel: "noopener noreferrer" }, "Open in OHIF") : null,
        el("button", { type: "button", on: { click: () => openSending([study.name], "the study") } }, "Send…"),
      ),
    ),
    el("dl", { class: "facts" }, facts.filter(([, value]) => value).map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value)))),
  ];
}

function wayHeader(study, run, again, tell) {
  const state = studyState(study, run);
  const act = (path, words) =>
    el("button", {
      type: "button",
      class: "quiet",
      on: {
        click: async (event) => {
          event.target.disabled = true;
          try {
            await post(path);
            again();
          } catch (problem) {
            tell(problem);
            event.target.disabled = false;
          }
        },
      },
    }, words);
  const actions = [];
  if (state.kind === "arriving") actions.push(act(`/api/${study.name}:complete`, "All is here"));
  if (isActive(run)) actions.push(act(`/api/${run.name}:cancel`, "End the run"));
  if (run && ["failed", "cancelled"].includes(stateName(run.state))) actions.push(act(`/api/${run.name}:retry`, "Take it up again"));
  return [
    el("h2", {}, "Where it is"),
    stateBadge(state),
    run ? el("p", { class: "run-facts" }, `${title(run.recipe) || "No recipe fits"}${run.recipeVersion ? `, version ${run.recipeVersion}` : ""}`) : null,
    actions.length ? el("div", { class: "buttons" }, actions) : null,
  ];
}

function seriesCard(series) {
  const name = series.seriesDescription || series.protocolName || title(series.bodyPartExamined.toLowerCase()) || "Series without description";
  const size = series.frameCount > 0 ? `${count(series.frameCount, "frame")} · ${series.columns}\u00a0×\u00a0${series.rows}` : count(series.instanceCount, "object");
  const opens = series.frameCount > 0 && hasPictures(series.modality);
  const picture = thumbnail(series.name, series.modality, 224, opens);
  const words = el(
    "span",
    { class: "words" },
    el("b", {}, name),
    el("small", {}, [series.seriesNumber === undefined ? "" : `Series ${series.seriesNumber}`, series.modality, size].filter(Boolean).join(" · ")),
  );
  return el("li", {}, opens ? el("a", { class: "series", href: `#/${series.name}` }, picture, words) : el("span", { class: "series" }, picture, words));
}

function reportItem(report, study) {
  const path = `/api/${report.name}`;
  const forms = new Set(report.documents.map((document) => document.format));
  const file = (form, words) => (forms.has(`DOCUMENT_FORMAT_${words}`) ? el("a", { href: `${path}/${form}?download`, download: true }, words) : null);
  return el(
    "li",
    { class: "report-item" },
    el("a", { class: "button primary", href: `#/${study.name}/${report.name}` }, "Read the report"),
    el("p", { class: "worth" }, reportState(report), el("span", {}, verifiedBy(report))),
    el("p", {}, el("b", {}, `Version ${report.version}`), ` · ${count(report.findingCount, "finding")} · ${moment(report.createTime)}`),
    el("p", { class: "files" }, "Download ", file("pdf", "PDF"), file("sr", "SR"), file("json", "JSON"), file("fhir", "FHIR")),
  );
}
