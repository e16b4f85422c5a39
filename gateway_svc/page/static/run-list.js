// The newest runs of all studies.

import { el, fill, keep } from "./dom.js";
import { repeat } from "./live.js";
import { isActive, progressOf, stageTitle, stateName } from "./run-state.js";
import { get } from "./server.js";
import { stateBadge } from "./state-badge.js";
import { count, duration, moment, personName, secondsBetween, title } from "./words.js";

const WORDS = { pending: "Waits", running: "Goes on", succeeded: "Done", failed: "Failed", cancelled: "Ended", skipped: "Nothing to do" };

/** Show them in `view` until `signal` aborts. */
export function showRunList(view, { signal, tell }) {
  document.title = "Runs";
  const summary = el("p", { class: "summary", role: "status" });
  const list = el("ol", { class: "runs" });
  fill(view, el("h1", {}, "Runs"), summary, list);
  repeat(
    async () => {
      const { runs, studies } = await get("/api/runs?limit=100", signal);
      if (signal.aborted) return 1;
      keep(list, runs.map((run) => ({ ...run, ofStudy: studies[run.study] || null })), (run) => run.name, row);
      const active = runs.filter(isActive).length;
      const failed = runs.filter((run) => run.state === "STATE_FAILED").length;
      fill(summary, runs.length === 0 ? "No run yet: one starts for each study that is complete." : `${count(active, "run")} going on · ${failed} failed of the newest ${runs.length}`);
      return active ? 1 : 4;
    },
    signal,
    tell,
  );
}

function row(run) {
  const state = stateName(run.state);
  const going = run.stages.find((stage) => stage.state === "STATE_RUNNING");
  const failed = run.stages.find((stage) => stage.state === "STATE_FAILED");
  const words = going ? stageTitle(going) : WORDS[state] || title(state);
  const why = run.reason || failed?.error || (run.supersededBy ? "Newer images came: a later run took its place." : "");
  const who = run.ofStudy ? personName(run.ofStudy.patientName) || run.ofStudy.patientId || "No name" : "A study that was deleted";
  return el(
    "li",
    { class: "run" },
    el("div", {}, el("a", { class: "name", href: `#/${run.study}` }, who), el("small", {}, [run.ofStudy?.patientId, run.ofStudy?.studyDescription].filter(Boolean).join(" · "))),
    el("div", {}, el("span", {}, title(run.recipe) || "No recipe fits"), el("small", {}, run.manifestVersion === "1" ? "" : `Images, version ${run.manifestVersion}`)),
    el("div", {}, stateBadge({ kind: state, words, progress: isActive(run) ? progressOf(run) : null }), why ? el("small", { class: "why" }, why) : null),
    el("div", { class: "when" }, el("span", {}, moment(run.createTime)), el("small", {}, run.endTime ? duration(secondsBetween(run.createTime, run.endTime)) : "")),
  );
}
