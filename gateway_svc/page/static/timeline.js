// "Where is my study?": what happened to it, in order, with its times: arrival, then the stages of a run.

import { el } from "./dom.js";
import { stageTitle, stateName } from "./run-state.js";
import { progressBar } from "./state-badge.js";
import { clock, count, duration, moment, secondsBetween } from "./words.js";

const STATE_WORDS = { pending: "Waits", running: "Goes on", succeeded: "Done", failed: "Failed", cancelled: "Ended", skipped: "Left out" };

/** The arrival of a study as the first steps of its way. */
export function arrivalSteps(study) {
  const manifest = study.manifest;
  const version = Number(manifest?.version || 0);
  const steps = [step({ state: "succeeded", title: "First image arrived", time: study.createTime })];
  if (version > 0) {
    const which = version > 1 ? `, version ${version}` : "";
    steps.push(step({ state: "succeeded", title: `Complete with ${count(manifest.instanceCount, "image")}${which}`, time: manifest.completeTime }));
  }
  if (version === 0 || manifest.open) {
    const about = "It is complete when nothing came for the quiet time, or its sender says so.";
    steps.push(step({ state: "running", title: version ? "More images are arriving" : "Images are arriving", details: [about], time: study.updateTime }));
  }
  return steps;
}

/** The stages of a run. */
export function runSteps(run) {
  const begin = run.createTime;
  const whole = Math.max(0.001, secondsBetween(begin, run.endTime));
  const steps = run.stages.map((stage) => stageStep(stage, begin, whole));
  if (run.reason) steps.push(step({ state: stateName(run.state), title: STATE_WORDS[stateName(run.state)] || "", details: [run.reason], time: run.endTime }));
  return steps;
}

function stageStep(stage, begin, whole) {
  const state = stateName(stage.state);
  const seconds = stage.startTime ? secondsBetween(stage.startTime, stage.endTime) : 0;
  const details = [];
  if (stage.findingCount) details.push(count(stage.findingCount, "finding"));
  if (stage.outputs.length && stage.kind !== "report") details.push(`${count(stage.outputs.length, "object")} stored`);
  const checked = (stage.checks || []).reduce((sum, check) => sum + check.objectCount, 0);
  if (checked) details.push(`${count(checked, "object")} checked against the Standard`);
  if (stage.attempts > 1) details.push(`${stage.attempts} attempts`);
  const notes = [];
  if (stage.error) notes.push(el("p", { class: "wrong" }, stage.error));
  if (stage.kind !== "report") {
    for (const refusal of stage.refusals) notes.push(el("p", { class: "refusal" }, el("b", {}, `${refusal.subject}: `), refusal.message, refusal.hint ? ` ${refusal.hint}` : ""));
  }
  const progress = state === "running" && stage.progress && Number(stage.progress.total) > 0 ? Number(stage.progress.done) / Number(stage.progress.total) : null;
  if (state === "running" && stage.progress?.message) details.push(stage.progress.message);
  return step({
    state,
    title: stageTitle(stage),
    details: details.length ? [details.join(" · ")] : [],
    notes,
    time: stage.startTime,
    seconds: stage.startTime ? seconds : null,
    span: stage.startTime && progress === null ? [secondsBetween(begin, stage.startTime) / whole, seconds / whole] : null,
    progress,
  });
}

function step({ state, title, details = [], notes = [], time = "", seconds = null, span = null, progress = null }) {
  const bar = span ? el("span", { class: "span", "aria-hidden": "true" }, place(el("b"), span)) : null;
  return el(
    "li",
    { class: `step ${state}` },
    el("i", { "aria-hidden": "true" }),
    el(
      "div",
      {},
      el("p", { class: "step-title" }, title, el("span", { class: "unseen" }, ` (${STATE_WORDS[state] || state})`)),
      details.map((words) => el("p", { class: "detail" }, words)),
      notes,
      progress === null ? null : progressBar(progress),
      bar,
    ),
    el("p", { class: "times" }, el("time", { datetime: time || null, title: moment(time) }, clock(time)), seconds === null ? null : el("span", {}, duration(seconds))),
  );
}

function place(bar, [start, length]) {
  bar.style.left = `${Math.min(99, start * 100)}%`;
  bar.style.width = `${Math.max(0.8, Math.min(100 - start * 100, length * 100))}%`;
  return bar;
}
