// Adding files: which are DICOM, in which batches they go, what is tried again, and what became of each.

import { post } from "./server.js";
import { storeBatch } from "./store-batch.js";

const BATCH_FILES = 40;
const BATCH_BYTES = 24 * 1024 * 1024;
const AT_ONCE = 3;
const ATTEMPTS = 6;

/** Files on their way to the gateway. It is an event target: `changed` when there is something new to show. */
export class Upload extends EventTarget {
  constructor() {
    super();
    this.files = [];
    this.sentBytes = 0;
    this.totalBytes = 0;
    this.studies = new Set();
    this.isGoing = false;
    this.problem = "";
    this.stop = new AbortController();
    this.flying = new Map();
    this.finish = true;
  }

  /** How many files have each outcome. */
  get counts() {
    const counts = { waiting: 0, stored: 0, known: 0, corrected: 0, restored: 0, refused: 0, skipped: 0 };
    for (const file of this.files) counts[file.outcome] += 1;
    return counts;
  }

  /** Part of the bytes that is sent, 0 to 1. */
  get progress() {
    const flying = [...this.flying.values()].reduce((sum, size) => sum + size, 0);
    return this.totalBytes === 0 ? 1 : Math.min(1, (this.sentBytes + flying) / this.totalBytes);
  }

  /** Add files, each {file, path}; those that are not DICOM are told and not sent. */
  async add(found) {
    const wasGoing = this.isGoing;
    this.isGoing = true;
    if (!wasGoing) this.stop = new AbortController();
    for (const { file, path } of found) {
      const entry = { file, path, size: file.size, outcome: "waiting", reason: "", attempts: 0 };
      this.files.push(entry);
      const problem = await whyNotDicom(file);
      if (problem) Object.assign(entry, { outcome: "skipped", reason: problem, file: null });
      else this.totalBytes += file.size;
    }
    this.#changed();
    if (!wasGoing) await this.#run();
  }

  /** Send what was refused for a reason that may have passed. */
  async again() {
    if (this.isGoing) return;
    for (const entry of this.files) {
      if (entry.outcome === "refused" && entry.file) {
        Object.assign(entry, { outcome: "waiting", reason: "", attempts: 0 });
        this.totalBytes += entry.size;
      }
    }
    this.isGoing = true;
    this.stop = new AbortController();
    await this.#run();
  }

  /** Send nothing more. */
  cancel() {
    this.stop.abort();
  }

  async #run() {
    await Promise.all(Array.from({ length: AT_ONCE }, () => this.#work()));
    if (this.stop.signal.aborted) {
      for (const entry of this.files) {
        if (entry.outcome === "waiting") Object.assign(entry, { outcome: "skipped", reason: "You stopped before it was sent.", file: null });
      }
    } else if (this.finish) {
      await this.#complete();
    }
    this.isGoing = false;
    this.#changed();
    if (this.files.some((entry) => entry.outcome === "waiting")) {
      this.isGoing = true; // files that were added in this very moment
      await this.#run();
    }
  }

  async #work() {
    for (;;) {
      const batch = this.#nextBatch();
      if (batch.length === 0 || this.stop.signal.aborted) return;
      const key = Symbol("batch");
      const results = await storeBatch(batch.map((entry) => entry.file), this.stop.signal, (size) => {
        this.flying.set(key, size);
        this.#changed();
      });
      this.flying.delete(key);
      let passing = 0;
      batch.forEach((entry, index) => {
        const result = results[index];
        entry.isSent = false;
        entry.attempts += 1;
        if (result.passing && entry.attempts < ATTEMPTS && !this.stop.signal.aborted) {
          passing = Math.max(passing, entry.attempts);
          this.problem = result.reason;
          return;
        }
        this.sentBytes += entry.size;
        Object.assign(entry, { outcome: result.outcome, reason: result.reason });
        if (!result.passing) entry.file = null; // there is nothing to be sent again
        if (result.study) this.studies.add(result.study);
      });
      if (passing) await wait(2 ** passing, this.stop.signal);
      else this.problem = "";
      this.#changed();
    }
  }

  #nextBatch() {
    const batch = [];
    let size = 0;
    for (const entry of this.files) {
      if (entry.outcome !== "waiting" || entry.isSent || entry.file === null) continue;
      if (batch.length > 0 && (batch.length === BATCH_FILES || size + entry.size > BATCH_BYTES)) break;
      entry.isSent = true;
      batch.push(entry);
      size += entry.size;
    }
    return batch;
  }

  /** The studies were sent whole: their runs need not wait for the quiet time. */
  async #complete() {
    for (const study of this.studies) {
      try {
        await post(`/api/${study}:complete`);
      } catch {
        // Others may be sending to it: then its quiet time decides.
      }
    }
  }

  #changed() {
    this.dispatchEvent(new Event("changed"));
  }
}

async function whyNotDicom(file) {
  try {
    const head = new Uint8Array(await file.slice(128, 132).arrayBuffer());
    return String.fromCharCode(...head) === "DICM" ? "" : "It is no DICOM file: there is no DICM after 128 bytes.";
  } catch {
    return "The browser cannot read it.";
  }
}

function wait(seconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    }, { once: true });
  });
}
