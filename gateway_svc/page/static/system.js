// Health of the services.

import { el, fill, keep } from "./dom.js";
import { repeat } from "./live.js";
import { currentSession, get } from "./server.js";
import { stateBadge } from "./state-badge.js";
import { title } from "./words.js";

const WORDS = { SERVING: "Works", NOT_SERVING: "Does not take work", UNREACHABLE: "Does not answer" };

/** Show it in `view` until `signal` aborts. */
export function showSystem(view, { signal, tell }) {
  document.title = "System";
  const services = el("ul", { class: "services" });
  fill(view, el("h1", {}, "System"), el("section", {}, el("h2", {}, "Services"), services), el("p", { class: "summary" }, `Release ${currentSession().version}`));
  repeat(
    async () => {
      const { services: states, writes } = await get("/api/health", signal);
      if (signal.aborted) return 5;
      keep(services, Object.entries(states), ([name]) => name, ([name, state]) => service(name, name === "storage" && state === "SERVING" && writes !== "SERVING" ? "READ_ONLY" : state));
      return 4;
    },
    signal,
    tell,
  );
}

function service(name, state) {
  const words = state === "READ_ONLY" ? "Cannot write: its disk is full, read-only or failing" : WORDS[state] || state;
  return el("li", {}, el("b", {}, title(name)), stateBadge({ kind: state === "SERVING" ? "succeeded" : "failed", words }));
}
