// Sending to a destination, with its progress.

import { el, fill } from "./dom.js";
import { get, postLines } from "./server.js";
import { progressBar } from "./state-badge.js";
import { count } from "./words.js";

/** Ask where to send what is named, and send it. */
export async function openSending(names, what) {
  const body = el("div", {});
  const dialog = el("dialog", { class: "sending", "aria-labelledby": "sending-title" }, el("h2", { id: "sending-title" }, `Send ${what}`), body);
  const stop = new AbortController();
  const close = el("button", { type: "button", class: "quiet", on: { click: () => dialog.close() } }, "Close");
  dialog.addEventListener("close", () => {
    stop.abort();
    dialog.remove();
  });
  document.body.append(dialog);
  dialog.showModal();
  try {
    const { destinations } = await get("/api/destinations", stop.signal);
    if (destinations.length === 0) {
      fill(body, el("p", {}, "The settings name no destination: see gateway.destinations."), close);
      return;
    }
    const choice = el("select", { id: "destination" }, destinations.map((one) => el("option", { value: one.name }, destinationTitle(one))));
    const send = el("button", { type: "button", class: "primary" }, "Send");
    send.addEventListener("click", () => run(body, close, choice.value, names, stop.signal));
    fill(body, el("label", { for: "destination" }, "To"), choice, el("div", { class: "buttons" }, send, close));
    send.focus();
  } catch (problem) {
    if (!stop.signal.aborted) fill(body, el("p", { class: "wrong", role: "alert" }, problem.detail || problem.message), close);
  }
}

/** What people call a destination. */
export function destinationTitle(destination) {
  return destination.description || destination.name.replace("destinations/", "");
}

async function run(body, close, destination, names, signal) {
  const status = el("p", { role: "status", "aria-live": "polite" }, "Sending …");
  const bar = el("div", {});
  fill(body, status, bar, close);
  let last = {};
  try {
    const requestId = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    await postLines(`/api/${destination}:send`, { names, requestId }, signal, (line) => {
      last = line;
      if (!line.progress) return;
      const { done, total } = line.progress;
      if (Number(total)) fill(status, `${done} of ${count(Number(total), "image")} sent`);
      fill(bar, progressBar(Number(total) ? Number(done) / Number(total) : 0));
    });
    fill(bar);
    if (last.error) {
      fill(status, el("span", { class: "wrong" }, last.error.message));
      return;
    }
    const { failures = [], failedCount = 0 } = last.result || {};
    fill(status, `${count(last.result?.sentCount || 0, "image")} sent${failedCount ? `, ${failedCount} not` : "."}`);
    const reasons = [...new Set(failures.map((failure) => failure.error?.message || ""))];
    fill(bar, reasons.slice(0, 10).map((reason) => el("p", { class: "wrong" }, reason)));
  } catch (problem) {
    if (!signal.aborted) fill(status, el("span", { class: "wrong" }, problem.detail || problem.message));
  }
}
