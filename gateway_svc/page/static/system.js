// The system: whether its services work, and whether the destinations answer.

import { el, fill, keep } from "./dom.js";
import { failedSend } from "./failed-sends.js";
import { repeat } from "./live.js";
import { destinationTitle } from "./sending.js";
import { currentSession, get, post } from "./server.js";
import { stateBadge } from "./state-badge.js";
import { count, duration, title } from "./words.js";

const WORDS = { SERVING: "Works", NOT_SERVING: "Does not take work", UNREACHABLE: "Does not answer", READ_ONLY: "Cannot write: its disk is full, read-only or failing" };
const DOES = {
  storage: "keeps images, finds them and gives them back",
  processing: "makes derived series",
  analysis: "measures",
  reporting: "writes reports",
  pipeline: "decides what each study gets",
  gateway: "DICOMweb, DIMSE and this page",
};

/** Show it in `view` until `signal` aborts. */
export function showSystem(view, { signal, tell }) {
  document.title = "System";
  const services = el("ul", { class: "services" });
  const destinations = el("ul", { class: "services" });
  const none = el("p", { class: "summary", hidden: true }, "The settings name no destination (gateway.destinations).");
  const failed = el("ul", { class: "services failed-sends" });
  const howMany = el("p", { class: "summary", role: "status" });
  const notSent = el("section", { hidden: true }, el("h2", {}, "Not sent"), howMany, failed);
  fill(
    view,
    el("h1", {}, "System"),
    el("section", {}, el("h2", {}, "Services"), services),
    el("section", {}, el("h2", {}, "Destinations"), destinations, none),
    notSent,
    el("p", { class: "summary" }, `Release ${currentSession().version}`),
  );
  const refresh = repeat(
    async () => {
      const [health, known, list] = await Promise.all([get("/api/health", signal), get("/api/destinations", signal), get("/api/failedSends?limit=50", signal)]);
      if (signal.aborted) return 5;
      const states = Object.entries(health.services).map(([name, state]) => [name, name === "storage" && state === "SERVING" && health.writes !== "SERVING" ? "READ_ONLY" : state]);
      keep(services, states, ([name]) => name, service);
      keep(destinations, known.destinations, (one) => one.name, destination);
      none.hidden = known.destinations.length > 0;
      keep(failed, list.failedSends, (one) => one.name, (one) => failedSend(one, () => refresh()));
      notSent.hidden = list.failedSends.length === 0;
      fill(howMany, list.nextPageToken ? "The newest 50; `imaging destinations failed` lists all." : `${count(list.failedSends.length, "image")} that a destination has not taken.`);
      return 4;
    },
    signal,
    tell,
  );
}

function service([name, state]) {
  return el("li", {}, el("span", {}, el("b", {}, title(name)), el("small", {}, DOES[name] || "")), stateBadge({ kind: state === "SERVING" ? "succeeded" : "failed", words: WORDS[state] || state }));
}

function destination(one) {
  const address = one.url || `${one.aeTitle} at ${one.address}`;
  const answer = el("span", { class: "answer", role: "status" });
  const button = el("button", { type: "button" }, "Ask");
  button.setAttribute("aria-label", `Ask whether ${destinationTitle(one)} answers`);
  button.addEventListener("click", async () => {
    button.disabled = true;
    fill(answer, stateBadge({ kind: "running", words: "Asking" }));
    try {
      const echo = await post(`/api/${one.name}:echo`);
      const seconds = Number((echo.roundTrip || "0s").replace("s", ""));
      fill(answer, echo.status?.code ? stateBadge({ kind: "failed", words: echo.status.message }) : stateBadge({ kind: "succeeded", words: `Answers after ${duration(seconds)}` }));
    } catch (problem) {
      fill(answer, stateBadge({ kind: "failed", words: problem.detail || problem.message }));
    }
    button.disabled = false;
  });
  return el("li", { class: "destination" }, el("span", {}, el("b", {}, destinationTitle(one)), el("small", {}, [one.kind === "KIND_STOW_RS" ? "DICOMweb" : "DICOM", address, one.tls ? "encrypted" : ""].filter(Boolean).join(" · "))), answer, button);
}
