// The list of studies: newest first, searched as somebody types, and true to what happens meanwhile.

import { el, fill, keep } from "./dom.js";
import { repeat } from "./live.js";
import { get } from "./server.js";
import { findingCount, studyState } from "./run-state.js";
import { modalityMarks, stateBadge } from "./state-badge.js";
import { hasPictures, thumbnail } from "./thumbnail.js";
import { bytes, count, day, personName, timeOfDay, title } from "./words.js";

const PAGE = 100;
const MOST = 1000;
const MODALITIES = ["CT", "MR", "CR", "DX", "MG", "US", "PT", "NM", "XA", "RF", "OT"];
const ON_ITS_WAY = new Set(["arriving", "pending", "running"]);
const PERIODS = { "": "Any date", 0: "Today", 7: "Last 7 days", 30: "Last 30 days", 365: "Last year" };

// What was searched for stays while other pages are looked at; it never stands in an address, which histories keep.
const search = { text: "", modality: "", days: "", limit: PAGE };

/** Show the list in `view` until `signal` aborts. */
export function showStudyList(view, { signal, tell }) {
  document.title = "Studies";
  const text = el("input", {
    type: "search",
    id: "search",
    placeholder: "Patient name or ID, accession number, description",
    autocomplete: "off",
    spellcheck: "false",
    value: search.text,
    "aria-label": "Search studies",
  });
  const modality = choice("Modality", { "": "All modalities", ...Object.fromEntries(MODALITIES.map((m) => [m, m])) }, search.modality);
  const days = choice("Study date", PERIODS, search.days);
  const summary = el("p", { class: "summary", role: "status", "aria-live": "polite" });
  const list = el("ol", { class: "studies", "aria-label": "Studies" });
  const more = el("button", { type: "button", class: "more", hidden: true }, "Show more");
  const empty = el("div", { class: "empty", hidden: true });
  fill(
    view,
    el("h1", { class: "unseen" }, "Studies"),
    el("form", { class: "search", role: "search", on: { submit: (event) => event.preventDefault() } }, text, modality, days),
    summary,
    el("div", { class: "heads", "aria-hidden": "true" }, ...["", "Patient", "Study", "Date", "Images", "State"].map((head) => el("span", {}, head))),
    list,
    empty,
    more,
  );

  let asked = 0;
  let waiting = 0;
  const again = repeat(
    async () => {
      asked += 1;
      const number = asked;
      const answer = await get(`/api/studies?${query()}`, signal);
      if (number !== asked || signal.aborted) return 1;
      view.removeAttribute("aria-busy");
      keep(list, answer.studies, (study) => study.name, row);
      const narrowed = search.text || search.modality || search.days;
      fill(summary, summaryOf(answer, narrowed));
      more.hidden = answer.studies.length < search.limit || search.limit >= MOST;
      showEmpty(empty, answer.studies.length === 0, narrowed);
      if (answer.runsProblem) tell(`The state of the runs is not known: ${answer.runsProblem}`);
      return answer.studies.some((study) => ON_ITS_WAY.has(studyState(study, study.newestRun).kind)) ? 1.5 : 5;
    },
    signal,
    (problem) => tell(problem),
  );

  const changed = () => {
    Object.assign(search, { text: text.value, modality: modality.value, days: days.value, limit: PAGE });
    clearTimeout(waiting);
    waiting = setTimeout(again, 120);
  };
  text.addEventListener("input", changed);
  modality.addEventListener("change", changed);
  days.addEventListener("change", changed);
  more.addEventListener("click", () => {
    search.limit = Math.min(MOST, search.limit + PAGE);
    again();
  });
  window.addEventListener("studies-changed", again, { signal });
  document.addEventListener("keydown", (event) => onKey(event, text, list), { signal });
}

function query() {
  const query = new URLSearchParams({ limit: search.limit });
  if (search.text.trim()) query.set("text", search.text);
  if (search.modality) query.set("ModalitiesInStudy", search.modality);
  if (search.days !== "") query.set("StudyDate", `${dateBefore(Number(search.days))}-`);
  return query;
}

function dateBefore(days) {
  const date = new Date();
  date.setDate(date.getDate() - days);
  return `${date.getFullYear()}${String(date.getMonth() + 1).padStart(2, "0")}${String(date.getDate()).padStart(2, "0")}`;
}

function summaryOf(answer, narrowed) {
  const shown = answer.studies.length;
  if (shown === 0) return "";
  const all = answer.count >= 10000 ? "over 10,000 studies" : count(answer.count, "study", "studies");
  if (shown < answer.count) return `The newest ${shown} of ${all}${narrowed ? " found" : ""}`;
  return `${all}${narrowed ? " found" : ""}`;
}

function showEmpty(empty, isEmpty, narrowed) {
  empty.hidden = !isEmpty;
  if (!isEmpty) return;
  if (narrowed) fill(empty, el("h2", {}, "No study matches"), el("p", {}, "Names match in any case; * stands for any letters, ? for one."));
  else fill(empty, el("h2", {}, "No studies yet"), el("p", {}, "Drop DICOM files or a folder anywhere on this page, or send from a modality."));
}

function row(study) {
  const href = `#/${study.name}`;
  const run = study.newestRun;
  const name = personName(study.patientName) || study.patientId || "No name";
  const facts = [study.patientId, day(study.patientBirthDate), study.patientSex].filter(Boolean).join(" · ");
  const about = study.accessionNumber ? `Accession ${study.accessionNumber}` : "";
  return el(
    "li",
    { class: "study" },
    picture(study),
    el("div", { class: "who" }, el("a", { class: "name", href }, name), el("small", {}, facts)),
    el(
      "div",
      { class: "what" },
      el("span", { class: "title" }, modalityMarks(study.modalitiesInStudy), study.studyDescription || el("span", { class: "none" }, "No description")),
      el("small", {}, about),
    ),
    el("div", { class: "when" }, el("span", {}, day(study.studyDate) || "No date"), el("small", {}, timeOfDay(study.studyTime))),
    el("div", { class: "much" }, el("span", {}, count(study.instanceCount, "image")), el("small", {}, `${count(study.seriesCount, "series", "series")} · ${bytes(study.sizeBytes)}`)),
    el("div", { class: "where" }, stateBadge({ ...studyState(study, run), href: run?.report ? `${href}/${run.report}` : "" }), el("small", {}, aboutRun(run))),
  );
}

/** Of a study whose images still arrive the row is made anew with each of them: the picture waits for the last. */
function picture(study) {
  const modality = study.modalitiesInStudy.find(hasPictures);
  const isQuiet = studyState(study, study.newestRun).kind !== "arriving";
  return thumbnail(study.name, modality ?? study.modalitiesInStudy[0] ?? "", 112, modality !== undefined && isQuiet);
}

function aboutRun(run) {
  if (!run) return "";
  const findings = findingCount(run);
  return [title(run.recipe), findings ? count(findings, "finding") : ""].filter(Boolean).join(" · ");
}

function choice(label, options, chosen) {
  const entries = Object.entries(options);
  // Keys that are numbers come first in an object; what means "all" belongs on top.
  entries.sort(([a], [b]) => (a === "" ? -1 : b === "" ? 1 : 0));
  return el("select", { "aria-label": label }, entries.map(([value, words]) => el("option", { value, selected: value === chosen }, words)));
}

function onKey(event, text, list) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement;
  if (event.key === "/" && !typing) {
    event.preventDefault();
    text.focus();
    text.select();
    return;
  }
  if (event.target instanceof HTMLSelectElement || !["ArrowDown", "ArrowUp"].includes(event.key)) return;
  const links = [...list.querySelectorAll("a.name")];
  const at = links.indexOf(document.activeElement);
  if (at < 0 && event.target !== text) return;
  event.preventDefault();
  const next = event.key === "ArrowDown" ? at + 1 : at - 1;
  if (next < 0) text.focus();
  else links[Math.min(next, links.length - 1)]?.focus();
}
