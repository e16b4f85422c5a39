// One STOW-RS request (PS3.18 10.5): some files in one body, which the browser reads from the disk while it sends.

import { currentSession } from "./server.js";

const OUTCOMES = { STORED: "stored", ALREADY_STORED: "known", EQUIVALENT: "known", NEW_VERSION: "corrected", RESTORED: "restored" };

/** Failures that pass by themselves. */
const PASSING = new Set(["UNAVAILABLE", "OVERLOADED", "DEADLINE_EXCEEDED", "CANCELLED", "STORAGE_FULL", "REQUEST_TIMEOUT"]);

/**
 * Send files.
 *
 * @param onProgress told how many bytes are on their way
 * @returns for each file {outcome, reason, study, passing}: `passing` if it may succeed when it is sent again
 */
export async function storeBatch(files, signal, onProgress) {
  const boundary = `imaging-${crypto.getRandomValues(new Uint32Array(4)).join("-")}`;
  const pieces = [];
  for (const file of files) pieces.push(`--${boundary}\r\nContent-Type: application/dicom\r\n\r\n`, file, "\r\n");
  pieces.push(`--${boundary}--\r\n`);
  const answer = await send(new Blob(pieces), boundary, signal, onProgress);
  const failed = (reason, passing) => files.map(() => ({ outcome: "refused", reason, study: "", passing }));
  if (answer.status === 0) return failed("The connection broke off.", true);
  if (answer.status === 401) {
    window.dispatchEvent(new CustomEvent("signed-out"));
    return failed("You are no longer signed in.", true);
  }
  const results = resultsOf(answer.body);
  if (results.size === 0) return failed(answer.body?.detail || `The gateway answered ${answer.status}.`, answer.status >= 500 || answer.status === 408);
  const none = { outcome: "refused", reason: "It was not answered for.", study: "", passing: true };
  return files.map((_, index) => results.get(index + 1) || none);
}

function send(body, boundary, signal, onProgress) {
  return new Promise((resolve) => {
    const request = new XMLHttpRequest(); // fetch does not tell how much of a body is sent
    request.open("POST", "/dicom-web/studies");
    request.setRequestHeader("content-type", `multipart/related; type="application/dicom"; boundary="${boundary}"`);
    request.setRequestHeader("accept", "application/dicom+json");
    request.setRequestHeader("x-csrf-token", currentSession().csrfToken);
    request.responseType = "json";
    request.upload.addEventListener("progress", (event) => onProgress(event.loaded));
    const stop = () => request.abort();
    signal.addEventListener("abort", stop);
    request.addEventListener("loadend", () => {
      signal.removeEventListener("abort", stop);
      resolve({ status: request.status, body: request.response });
    });
    request.send(body);
  });
}

/** By the number of the part, from 1. */
function resultsOf(body) {
  const results = new Map();
  const items = (tag) => body?.[tag]?.Value || [];
  const value = (item, tag) => item[tag]?.Value?.[0];
  for (const item of items("00081199")) {
    const study = /studies\/[0-9.]+/.exec(value(item, "00081190") || "");
    const outcome = OUTCOMES[value(item, "00091001")] || "stored";
    results.set(value(item, "00091003"), { outcome, reason: "", study: study ? study[0] : "", passing: false });
  }
  for (const item of [...items("00081198"), ...items("0008119A")]) {
    const reason = value(item, "00091002") || "It was refused.";
    results.set(value(item, "00091003"), { outcome: "refused", reason, study: "", passing: PASSING.has(value(item, "00091001")) });
  }
  results.delete(undefined); // what was wrong with the body as a whole
  return results;
}
