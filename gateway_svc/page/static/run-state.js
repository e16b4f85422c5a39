// Where a study is on its way from its images to its report, in a few words.

import { title } from "./words.js";

const ACTIVE = new Set(["STATE_PENDING", "STATE_RUNNING"]);

const DOING = { process: "Processing", analyze: "Measuring", report: "Writing the report", send: "Sending" };

/** True while a run goes on. */
export function isActive(run) {
  return run !== null && run !== undefined && ACTIVE.has(run.state);
}

/** `succeeded`, `running`, …: the state for style sheets. */
export function stateName(state) {
  return (state || "").replace("STATE_", "").toLowerCase();
}

/** How far the stages of a run are, 0 to 1. */
export function progressOf(run) {
  if (run.stages.length === 0) return 0;
  const done = run.stages.reduce((sum, stage) => sum + partDone(stage), 0);
  return done / run.stages.length;
}

/** How many findings a run has made; its report holds the same ones. */
export function findingCount(run) {
  return run.stages.reduce((sum, stage) => sum + (stage.kind === "report" ? 0 : stage.findingCount), 0);
}

/** What a stage does, as `Measuring: lung emphysema`. */
export function stageTitle(stage) {
  const doing = DOING[stage.kind] || title(stage.kind);
  return stage.kind === "report" ? doing : `${doing}: ${title(stage.uses).toLowerCase()}`;
}

/** Style name, words and progress (null: none to show) of a study with its newest run. */
export function studyState(study, run) {
  const open = study.manifest === undefined || study.manifest.open || study.manifest.version === "0";
  if (open) return { kind: "arriving", words: run ? "More images are arriving" : "Images are arriving", progress: null };
  if (!run) return { kind: "pending", words: "Waiting for its run", progress: null };
  if (isActive(run)) {
    const stage = run.stages.find((one) => one.state === "STATE_RUNNING");
    return { kind: "running", words: stage ? stageTitle(stage) : "Waiting for its turn", progress: progressOf(run) };
  }
  const kind = stateName(run.state);
  if (kind === "succeeded") return { kind, words: run.report ? "Report ready" : "Done, without a report", progress: null };
  const failed = run.stages.find((one) => one.state === "STATE_FAILED");
  const reason = run.reason || (failed ? failed.error : "");
  const words = { failed: "Failed", cancelled: "Ended", skipped: "Nothing to do" }[kind] || title(kind);
  return { kind, words, progress: null, reason };
}

function partDone(stage) {
  if (!ACTIVE.has(stage.state)) return 1;
  const progress = stage.progress;
  return progress && Number(progress.total) > 0 ? Math.min(1, Number(progress.done) / Number(progress.total)) : 0;
}
