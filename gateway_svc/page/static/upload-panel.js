// Where files are chosen or dropped, and what is shown while they are sent: it stays when other views are looked at.

import { add, el, fill } from "./dom.js";
import { filesOf, filesOfInput } from "./dropped-files.js";
import { currentSession } from "./server.js";
import { progressBar } from "./state-badge.js";
import { Upload } from "./upload.js";
import { bytes, count } from "./words.js";

const MOST_SHOWN = 300;
const WORDS = {
  stored: "Stored",
  known: "Already there",
  corrected: "Stored as a corrected version",
  restored: "Stored: it had been deleted",
  refused: "Refused",
  skipped: "Not sent",
  waiting: "Waiting",
};
const ORDER = ["refused", "skipped", "corrected", "restored", "stored", "known", "waiting"];

const panel = document.getElementById("uploads");
const target = document.getElementById("drop-target");
let upload = new Upload();
let chosen = "";
let frame = 0;

/** Take files from now on. */
export function takeUploads() {
  const files = el("input", { type: "file", multiple: true, id: "choose-files", class: "unseen", tabindex: -1 });
  const folder = el("input", { type: "file", webkitdirectory: true, id: "choose-folder", class: "unseen", tabindex: -1 });
  for (const input of [files, folder]) {
    input.addEventListener("change", () => {
      take(filesOfInput(input));
      input.value = "";
    });
  }
  const chooser = el(
    "dialog",
    { id: "chooser", "aria-labelledby": "chooser-title" },
    el("h2", { id: "chooser-title" }, "Add images"),
    el("p", {}, "Drop DICOM files or folders anywhere on the page, or choose them. Each file gets its answer."),
    el(
      "div",
      { class: "buttons" },
      el("button", { type: "button", class: "primary", on: { click: () => choose(folder) } }, "Choose a folder"),
      el("button", { type: "button", on: { click: () => choose(files) } }, "Choose files"),
      el("button", { type: "button", class: "quiet", on: { click: () => chooser.close() } }, "Cancel"),
    ),
  );
  const choose = (input) => {
    chooser.close();
    input.click();
  };
  document.body.append(files, folder, chooser);
  document.getElementById("add").addEventListener("click", () => chooser.showModal());
  window.addEventListener("dragover", (event) => {
    if (![...event.dataTransfer.types].includes("Files")) return;
    event.preventDefault();
    target.hidden = !currentSession().signedIn;
  });
  window.addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) target.hidden = true;
  });
  window.addEventListener("drop", async (event) => {
    event.preventDefault();
    target.hidden = true;
    if (currentSession().signedIn) take(await filesOf(event.dataTransfer));
  });
  window.addEventListener("beforeunload", (event) => {
    if (upload.isGoing) event.preventDefault();
  });
}

function take(found) {
  if (found.length === 0) return;
  if (!upload.isGoing) {
    upload = new Upload();
    upload.addEventListener("changed", show);
    chosen = "";
  }
  upload.add(found);
  show();
}

function show() {
  cancelAnimationFrame(frame);
  frame = requestAnimationFrame(draw);
}

function draw() {
  const { counts } = upload;
  const total = upload.files.length;
  const done = total - counts.waiting;
  panel.hidden = false;
  const head = upload.isGoing ? `Adding ${count(total, "file")}` : `${count(done, "file")} done`;
  fill(
    panel,
    el(
      "header",
      {},
      el("h2", { role: "status", "aria-live": "polite" }, head),
      upload.isGoing
        ? el("button", { type: "button", class: "quiet", on: { click: () => upload.cancel() } }, "Stop")
        : el("button", { type: "button", class: "quiet", on: { click: close } }, "Close"),
    ),
    upload.isGoing ? progressBar(upload.progress, "Bytes sent") : null,
    el("p", { class: "facts" }, `${done.toLocaleString()} of ${total.toLocaleString()} answered · ${bytes(upload.totalBytes)}`),
    upload.problem ? el("p", { class: "wrong", role: "alert" }, `${upload.problem} It is tried again.`) : null,
    el("div", { class: "outcomes", role: "group", "aria-label": "Files by outcome" }, ORDER.filter((one) => counts[one]).map((one) => outcomeButton(one, counts[one]))),
    fileList(),
    upload.isGoing ? null : afterwards(counts),
  );
  window.dispatchEvent(new CustomEvent("studies-changed"));
}

function outcomeButton(outcome, number) {
  const button = el("button", { type: "button", class: `outcome ${outcome}`, "aria-pressed": String(chosen === outcome) }, el("b", {}, number.toLocaleString()), ` ${WORDS[outcome]}`);
  button.addEventListener("click", () => {
    chosen = chosen === outcome ? "" : outcome;
    draw();
  });
  return button;
}

function fileList() {
  const rank = (file) => ORDER.indexOf(file.outcome);
  const files = upload.files.filter((file) => (chosen ? file.outcome === chosen : file.outcome !== "waiting")).sort((a, b) => rank(a) - rank(b));
  const list = el("ul", { class: "files", tabindex: 0, "aria-label": "Files" });
  for (const file of files.slice(0, MOST_SHOWN)) {
    add(list, [el("li", { class: file.outcome }, el("span", { class: "path", title: file.path }, file.path), el("small", {}, [WORDS[file.outcome], file.reason].filter(Boolean).join(": ")))]);
  }
  if (files.length > MOST_SHOWN) add(list, [el("li", {}, `and ${(files.length - MOST_SHOWN).toLocaleString()} more`)]);
  return list;
}

function afterwards(counts) {
  const studies = [...upload.studies];
  const links = studies.slice(0, 5).map((study, index) => el("a", { class: "button", href: `#/${study}`, on: { click: close } }, studies.length === 1 ? "Open the study" : `Study ${index + 1}`));
  const canRetry = counts.refused > 0 && upload.files.some((file) => file.outcome === "refused" && file.file);
  const retry = canRetry ? el("button", { type: "button", on: { click: () => upload.again() } }, "Try again") : null;
  return el("div", { class: "buttons" }, links, retry);
}

function close() {
  panel.hidden = true;
  fill(panel);
}
