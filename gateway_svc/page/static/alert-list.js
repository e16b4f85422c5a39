// Findings that somebody shall see soon, the newest first; what nobody has seen is marked.

import { el, fill, keep } from "./dom.js";
import { repeat } from "./live.js";
import { get, post } from "./server.js";
import { stateBadge } from "./state-badge.js";
import { count, measured, moment, title, unitText } from "./words.js";

const KINDS = { SEVERITY_HIGH: "failed", SEVERITY_MEDIUM: "arriving", SEVERITY_LOW: "pending" };
const TOLD = { STATE_PENDING: "is being told", STATE_DELIVERED: "was told", STATE_GIVEN_UP: "could not be told" };

/** Show them in `view` until `signal` aborts. */
export function showAlertList(view, { signal, tell }) {
  document.title = "Alerts";
  const summary = el("p", { class: "summary", role: "status" });
  const list = el("ol", { class: "runs alerts" });
  fill(view, el("h1", {}, "Alerts"), summary, list);
  const refresh = repeat(
    async () => {
      const { alerts } = await get("/api/alerts?limit=100", signal);
      if (signal.aborted) return 4;
      keep(list, alerts, (alert) => alert.name, (alert) => row(alert, () => refresh()));
      const open = alerts.filter((alert) => !alert.acknowledgeTime).length;
      fill(summary, alerts.length === 0 ? "No alert yet: recipes say which findings raise one." : `${count(open, "alert")} not seen yet of the newest ${alerts.length}`);
      return 4;
    },
    signal,
    tell,
  );
}

function row(alert, refresh) {
  const severity = alert.severity.replace("SEVERITY_", "").toLowerCase();
  const answer = el("small", { class: "why", role: "status" });
  const act = (verb) => async (event) => {
    event.target.disabled = true;
    try {
      await post(`/api/${alert.name}:${verb}`);
      refresh();
    } catch (problem) {
      fill(answer, problem.detail || problem.message);
      event.target.disabled = false;
    }
  };
  const seen = alert.acknowledgeTime
    ? el("small", {}, `Seen ${moment(alert.acknowledgeTime)}`)
    : el("button", { type: "button", on: { click: act("acknowledge") } }, "Seen");
  const lost = alert.deliveries.some((one) => one.state === "STATE_GIVEN_UP");
  return el(
    "li",
    { class: "run" },
    el("div", {}, el("a", { class: "name", href: `#/${alert.study}` }, title(alert.rule)), el("small", {}, alert.concept?.meaning || "")),
    el("div", {}, el("span", {}, `${measured(alert.value)} ${unitText(alert.unit)}`), el("small", {}, alert.condition)),
    el(
      "div",
      {},
      stateBadge({ kind: alert.acknowledgeTime ? "succeeded" : KINDS[alert.severity] || "pending", words: title(severity) }),
      ...alert.deliveries.map((one) => el("small", { class: one.state === "STATE_GIVEN_UP" ? "why" : null }, `${one.webhook} ${TOLD[one.state] || ""}${one.error ? `: ${one.error}` : ""}`)),
      answer,
    ),
    el("div", { class: "when" }, el("span", {}, moment(alert.createTime)), seen, lost ? el("button", { type: "button", class: "quiet", on: { click: act("redeliver") } }, "Tell again") : null),
  );
}
