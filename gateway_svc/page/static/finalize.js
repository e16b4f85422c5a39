// What a version of a report is worth, and making it final in somebody's name.

import { el, fill } from "./dom.js";
import { post } from "./server.js";
import { stateBadge } from "./state-badge.js";
import { moment, personName } from "./words.js";

const STATES = {
  REPORT_STATE_FINAL: { kind: "succeeded", words: "Final" },
  REPORT_STATE_AMENDED: { kind: "succeeded", words: "Amended" },
};

/** Draft, final or amended. */
export function reportState(report) {
  return stateBadge(STATES[report.state] || { kind: "pending", words: "Draft" });
}

/** Who stands for a version, and since when; empty for a draft. */
export function verifiedBy(report) {
  const by = report.verification;
  return by ? `Verified by ${personName(by.observer)} (${by.organization}), ${moment(by.time)}` : "";
}

/** A button that asks who stands for a draft, and makes it final; null for what is final, or older than what is. */
export function finalizeButton(report, reports, done) {
  if (STATES[report.state] || reports.some((one) => STATES[one.state] && one.version > report.version)) return null;
  if (!report.documents.some((document) => document.format === "DOCUMENT_FORMAT_SR")) return null;
  return el("button", { type: "button", on: { click: () => openFinalizing(report, done) } }, "Make it final…");
}

function openFinalizing(report, done) {
  const field = (id, words, complete) => {
    const input = el("input", { id, required: true, pattern: ".*\\S.*", maxlength: 64, autocomplete: complete });
    return [input, el("div", { class: "field" }, el("label", { for: id }, words), input)];
  };
  const [family, familyField] = field("final-family", "Family name", "family-name");
  const [given, givenField] = field("final-given", "Given name", "given-name");
  const [organization, organizationField] = field("final-organization", "Organization", "organization");
  const read = el("input", { type: "checkbox", id: "final-read", required: true });
  const answer = el("p", { class: "wrong", role: "alert" });
  const act = el("button", { type: "submit", class: "primary" }, "Make it final");
  const close = el("button", { type: "button", class: "quiet", on: { click: () => dialog.close() } }, "Cancel");
  const form = el(
    "form",
    {},
    el("p", {}, `Version ${report.version} is marked as verified in your name, in all of its documents. That cannot be undone; a later version can amend it.`),
    el("div", { class: "fields" }, familyField, givenField),
    organizationField,
    el("label", { class: "check", for: "final-read" }, read, "I have read the report and stand for what it says."),
    answer,
    el("div", { class: "buttons" }, act, close),
  );
  const dialog = el("dialog", { class: "finalizing", "aria-labelledby": "final-title" }, el("h2", { id: "final-title" }, "Make the report final"), form);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    act.disabled = true;
    fill(answer);
    try {
      await post(`/api/${report.name}:finalize`, { observer: pn(family.value, given.value), organization: organization.value });
      dialog.close();
      done();
    } catch (problem) {
      fill(answer, problem.detail || problem.message);
      act.disabled = false;
    }
  });
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  family.focus();
}

/** A Person Name of two components; signs that part components or groups cannot be in one. */
function pn(family, given) {
  return [family, given].map((part) => part.replace(/[\^=]/g, " ").trim()).join("^");
}
