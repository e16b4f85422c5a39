// What destinations have not taken: why, when it is tried again, and the buttons to do so now or never.

import { el, fill } from "./dom.js";
import { post } from "./server.js";
import { stateBadge } from "./state-badge.js";
import { count, moment } from "./words.js";

/** The row of one failed send; `refresh` is called when it may have left the list. */
export function failedSend(one, refresh) {
  const [, study] = one.instance.split("/");
  const answer = el("span", { class: "answer", role: "status" }, stateBadge(one.nextTryTime ? { kind: "pending", words: `Again ${moment(one.nextTryTime)}` } : { kind: "failed", words: "Given up" }));
  const act = (verb, words) => async (event) => {
    event.target.disabled = true;
    fill(answer, stateBadge({ kind: "running", words }));
    try {
      const { failedSend: still } = await post(`/api/${one.name}:${verb}`);
      if (still) fill(answer, stateBadge({ kind: "failed", words: still.error?.message || "Failed again" }));
      refresh();
    } catch (problem) {
      fill(answer, stateBadge({ kind: "failed", words: problem.detail || problem.message }));
    }
    event.target.disabled = false;
  };
  const uid = one.instance.split("/").at(-1);
  const retry = el("button", { type: "button", on: { click: act("retry", "Sending") } }, "Send now");
  retry.setAttribute("aria-label", `Send ${uid} now`);
  const drop = el("button", { type: "button", class: "quiet", on: { click: act("drop", "Dropping") } }, "Drop");
  drop.setAttribute("aria-label", `Send ${uid} no more`);
  return el(
    "li",
    { class: "destination" },
    el(
      "span",
      {},
      el("b", {}, one.destination.replace("destinations/", ""), " · ", el("a", { href: `#/studies/${study}` }, "study")),
      el("small", {}, `${uid} · ${count(one.attempts, "attempt")} · ${one.error?.message || ""}`),
    ),
    answer,
    retry,
    drop,
  );
}
