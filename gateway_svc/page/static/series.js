// A series, looked at: scroll through its frames, set the window, play; with segmentations and measurements over it.

import { el, fill } from "./dom.js";
import { framesOf } from "./frame-list.js";
import { FrameStore, isPlain } from "./frame-store.js";
import { listen } from "./gestures.js";
import { Segmentations } from "./segmentations.js";
import { fetchBody, get } from "./server.js";
import { distanceFrom, sidesOf, Stage } from "./stage.js";
import { CT_WINDOWS, defaultWindow, modalityValue } from "./window-level.js";
import { day, measured, personName, unitText } from "./words.js";

const KEYS = [
  ["Wheel, ↑ ↓", "one image on or back"],
  ["Page ↑ ↓", "ten images"],
  ["Home, End", "first, last"],
  ["Drag", "left–right width, up–down centre of the window"],
  ["Right drag, Ctrl + wheel", "zoom"],
  ["Shift + drag", "move"],
  ["Space", "play"],
  ["I", "invert"],
  ["S", "segmentations"],
  ["R, double click", "as it was"],
];

/** Show a series in `view` until `signal` aborts. */
export async function showSeries(view, { signal, tell, names: [studyUid, seriesUid] }) {
  const name = `studies/${studyUid}/series/${seriesUid}`;
  const viewer = new Viewer(view, signal, tell, `#/studies/${studyUid}`);
  try {
    const [study, metadata] = await Promise.all([
      get(`/api/studies/${studyUid}`, signal),
      fetchBody(`/dicom-web/${name}/metadata`, { accept: "application/dicom+json" }, signal).then((answer) => answer.json()),
    ]);
    if (signal.aborted) return;
    viewer.open(study, name, framesOf(name, metadata));
    await viewer.readOverlays(study, studyUid);
  } catch (problem) {
    if (!signal.aborted) tell(problem);
  }
}

class Viewer {
  constructor(view, signal, tell, back) {
    this.signal = signal;
    this.tell = tell;
    this.index = 0;
    this.window = null;
    this.isInverted = false;
    this.overlaysShown = true;
    this.lines = [];
    this.timer = 0;
    this.canvas = el("canvas", { class: "stage", tabindex: 0, role: "img" });
    this.stage = new Stage(this.canvas);
    this.corners = Object.fromEntries(["top-left", "top-right", "bottom-left", "bottom-right"].map((at) => [at, el("p", { class: `corner ${at}` })]));
    this.sides = Object.fromEntries(["left", "right", "top", "bottom"].map((at) => [at, el("span", { class: `side ${at}`, "aria-hidden": "true" })]));
    this.problem = el("p", { class: "frame-problem", role: "alert", hidden: true });
    this.slider = el("input", { type: "range", min: 0, value: 0, step: 1, "aria-label": "Image" });
    this.loaded = el("b");
    this.playButton = el("button", { type: "button", class: "quiet", "aria-pressed": "false", on: { click: () => this.play(!this.timer) } }, "Play");
    this.windowChoice = el("select", { "aria-label": "Window" });
    this.overlayList = el("div", { class: "overlays" });
    this.keys = el("dialog", { class: "keys" }, el("h2", {}, "Mouse and keys"), el("dl", {}, KEYS.map(([key, what]) => [el("dt", {}, key), el("dd", {}, what)])), el("form", { method: "dialog" }, el("button", { class: "primary" }, "Close")));
    const button = (words, act, kind = "") => el("button", { type: "button", class: `quiet ${kind}`, on: { click: act } }, words);
    this.invertButton = button("Invert", () => this.invert());
    fill(
      view,
      el(
        "div",
        { class: "viewer" },
        el(
          "div",
          { class: "viewer-bar" },
          el("a", { class: "back", href: back }, "Study"),
          el("h1", {}, "Series"),
          this.windowChoice,
          this.invertButton,
          button("Reset", () => this.reset()),
          this.playButton,
          button("Keys", () => this.keys.showModal(), "for-keys"),
        ),
        el("div", { class: "picture" }, this.canvas, Object.values(this.corners), Object.values(this.sides), this.problem, this.overlayList),
        el("div", { class: "scroll" }, el("span", { class: "loaded", "aria-hidden": "true" }, this.loaded), this.slider),
        this.keys,
      ),
    );
    this.heading = view.querySelector("h1");
    this.segmentations = new Segmentations(signal, () => this.show());
    signal.addEventListener("abort", () => this.play(false));
  }

  /** Begin with the frames of a series. */
  open(study, name, frames) {
    const series = study.series.find((one) => one.name === name);
    this.series = series;
    const title = series?.seriesDescription || series?.protocolName || "Series";
    const patient = personName(study.study.patientName) || study.study.patientId;
    document.title = `${title}: ${patient}`;
    fill(this.heading, title);
    this.frames = frames;
    if (frames.length === 0) {
      this.#problem("This series has no images.");
      return;
    }
    fill(this.corners["top-left"], el("b", {}, patient), el("span", {}, [study.study.patientId, study.study.patientSex].filter(Boolean).join(" · ")), el("span", {}, study.study.studyDescription));
    fill(this.corners["top-right"], el("b", {}, [series?.modality, series?.seriesNumber === undefined ? "" : `series ${series.seriesNumber}`].filter(Boolean).join(", ")), el("span", {}, day(study.study.studyDate)), el("span", {}, `${frames[0].columns} × ${frames[0].rows}`));
    this.slider.max = frames.length - 1;
    this.slider.parentElement.hidden = frames.length === 1;
    this.playButton.hidden = frames.length === 1;
    this.store = new FrameStore(
      frames,
      this.signal,
      (index) => {
        this.loaded.style.width = `${(100 * this.store.count) / frames.length}%`;
        if (index === this.index) this.show();
      },
      (index, problem) => {
        if (index === this.index) this.show();
        this.problems = new Map(this.problems).set(index, problem.message);
      },
    );
    this.#windows();
    // What comes as a picture has its window in it.
    this.windowChoice.hidden = this.invertButton.hidden = !frames.some(isPlain);
    this.slider.addEventListener("input", () => this.goTo(Number(this.slider.value)));
    listen(this.canvas, {
      step: (count) => this.goTo(this.index + count),
      drag: (dx, dy) => this.#dragWindow(dx, dy),
      pan: (dx, dy) => {
        this.stage.pan = [this.stage.pan[0] + dx, this.stage.pan[1] + dy];
        this.show();
      },
      zoom: (factor) => {
        this.stage.zoom = Math.max(0.3, Math.min(20, this.stage.zoom * factor));
        this.show();
      },
      hover: (x, y) => this.#tellPixel(this.stage.pixelAt(x, y)),
      leave: () => this.#tellPixel(null),
      reset: () => this.reset(),
    });
    document.addEventListener("keydown", (event) => this.#onKey(event), { signal: this.signal });
    const resized = new ResizeObserver(() => this.show());
    resized.observe(this.canvas);
    this.signal.addEventListener("abort", () => resized.disconnect());
    this.goTo(Math.floor(frames.length / 2));
  }

  /** Segmentations and measured lines of the study that lie on these frames. */
  async readOverlays(study, studyUid) {
    if (!this.store) return;
    const named = study.series.filter((one) => one.modality === "SEG").map((one) => one.name);
    const [segments, found] = await Promise.all([
      this.segmentations.read(named, this.frames),
      get(`/api/studies/${studyUid}/findings?run=${encodeURIComponent(study.runs[0]?.name || "")}`, this.signal).catch(() => ({ findings: [] })),
    ]);
    this.lines = linesOf(found.findings, this.series);
    const names = new Set();
    const choices = segments.filter((segment) => !names.has(segment.label) && names.add(segment.label)).map((first) => {
      const same = segments.filter((segment) => segment.label === first.label);
      const box = el("input", { type: "checkbox", checked: true });
      box.addEventListener("change", () => {
        for (const segment of same) segment.isShown = box.checked;
        this.show();
      });
      const mark = el("i", { "aria-hidden": "true" });
      mark.style.background = `rgb(${first.colour.join(" ")})`;
      return el("label", {}, box, mark, first.label);
    });
    fill(this.overlayList, choices);
    this.show();
  }

  /** Look at a frame. */
  goTo(index) {
    this.index = Math.max(0, Math.min(this.frames.length - 1, index));
    this.slider.value = this.index;
    this.store.lookAt(this.index);
    this.show();
  }

  /** Play the frames again and again, or stop. */
  play(isOn) {
    clearInterval(this.timer);
    this.timer = 0;
    if (isOn) {
      const milliseconds = this.frames[0].milliseconds || 1000 / 15;
      this.timer = setInterval(() => {
        const next = (this.index + 1) % this.frames.length;
        if (this.store.get(next) || this.store.failed.has(next)) this.goTo(next);
        else this.store.lookAt(next);
      }, Math.max(20, milliseconds));
    }
    this.playButton.setAttribute("aria-pressed", String(isOn));
    fill(this.playButton, isOn ? "Stop" : "Play");
  }

  /** Black for white. */
  invert() {
    this.isInverted = !this.isInverted;
    this.show();
  }

  /** The window, place and size of the beginning. */
  reset() {
    this.window = null;
    this.isInverted = false;
    this.windowChoice.value = "";
    this.stage.reset();
    this.show();
  }

  /** Draw what there is, in the next moment in which the screen is drawn. */
  show() {
    if (this.drawing) return;
    this.drawing = requestAnimationFrame(() => {
      this.drawing = 0;
      if (!this.signal.aborted) this.#draw();
    });
  }

  #draw() {
    const frame = this.frames[this.index];
    const pixels = this.store.get(this.index);
    if (!this.window && pixels?.values) this.window = defaultWindow(frame, pixels.values);
    const pictures = this.overlaysShown ? this.segmentations.over(frame) : [];
    const near = (line) => frame.position && frame.orientation && line.points.every((point) => distanceFrom(frame, point) <= Math.max(0.6, frame.thickness / 2));
    const lines = this.overlaysShown ? this.lines.filter(near).map(({ points: [from, to], label }) => ({ from, to, label })) : [];
    if (pixels || this.store.failed.has(this.index)) this.stage.draw(frame, pixels, { ...this.window, isInverted: this.isInverted }, pictures, lines);
    this.#problem(this.store.failed.has(this.index) ? this.problems?.get(this.index) || "This image cannot be shown." : "");
    const place = frame.along === undefined ? "" : `${frame.along.toFixed(1)} mm`;
    const thickness = frame.thickness ? `${frame.thickness} mm thick` : "";
    fill(this.corners["bottom-left"], el("b", {}, `${this.index + 1} / ${this.frames.length}`), el("span", {}, [place, thickness].filter(Boolean).join(" · ")));
    const window = this.window && pixels?.values ? `C ${Math.round(this.window.center)}  W ${Math.round(this.window.width)}` : "";
    this.windowText = window;
    this.#tellPixel(null);
    const sides = sidesOf(frame);
    for (const [at, side] of Object.entries(this.sides)) if (side.textContent !== sides[at]) fill(side, sides[at]);
    this.canvas.setAttribute("aria-label", `Image ${this.index + 1} of ${this.frames.length}`);
    // What the picture shows now, for tests and for who looks into it.
    Object.assign(this.canvas.dataset, { shown: pixels ? this.index + 1 : "", over: pictures.length + lines.length, inverted: this.isInverted });
  }

  #windows() {
    const isCt = this.frames[0].modality === "CT" && this.frames[0].samples === 1;
    const choices = [el("option", { value: "" }, "Window of the image"), ...(isCt ? Object.keys(CT_WINDOWS).map((one) => el("option", { value: one }, one)) : []), el("option", { value: "own", hidden: true }, "Own window")];
    fill(this.windowChoice, choices);
    this.windowChoice.addEventListener("change", () => {
      const chosen = CT_WINDOWS[this.windowChoice.value];
      this.window = chosen ? { center: chosen[0], width: chosen[1] } : null;
      this.show();
    });
  }

  #dragWindow(dx, dy) {
    if (!this.window) return;
    const step = Math.max(0.5, this.window.width / 300);
    this.window = { center: this.window.center + dy * step, width: Math.max(1, this.window.width + dx * step) };
    this.windowChoice.value = "own";
    this.show();
  }

  #tellPixel(at) {
    const frame = this.frames[this.index];
    const values = this.store.get(this.index)?.values;
    let words = "";
    if (at && values) {
      const unit = frame.unit || (frame.modality === "CT" ? "HU" : "");
      words = `${measured(modalityValue(frame, values[at[1] * frame.columns + at[0]]))} ${unit === "US" ? "" : unit} at ${at[0] + 1}, ${at[1] + 1}`;
    }
    fill(this.corners["bottom-right"], el("span", {}, words), el("span", {}, this.windowText || ""));
  }

  #problem(words) {
    this.problem.hidden = !words;
    if (this.problem.textContent !== words) fill(this.problem, words);
  }

  #onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || this.keys.open || event.target instanceof HTMLSelectElement) return;
    const steps = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1, PageDown: 10, PageUp: -10, Home: -1e9, End: 1e9 };
    const acts = { " ": () => this.play(!this.timer), i: () => this.invert(), r: () => this.reset(), s: () => this.#toggleOverlays(), "?": () => this.keys.showModal() };
    const isButton = event.target instanceof HTMLButtonElement || event.target instanceof HTMLAnchorElement;
    if (event.key in steps) this.goTo(this.index + steps[event.key]);
    else if (event.key in acts && !(isButton && event.key === " ")) acts[event.key]();
    else return;
    event.preventDefault();
  }

  #toggleOverlays() {
    this.overlaysShown = !this.overlaysShown;
    this.overlayList.classList.toggle("off", !this.overlaysShown);
    this.show();
  }
}

/** Lines of findings in a series' frame of reference: {points, label}. */
function linesOf(findings, series) {
  return findings
    .filter((finding) => finding.lineMm.length === 6 && finding.value !== undefined && finding.series.split("/")[1] === series?.studyInstanceUid)
    .map((finding) => ({
      points: [finding.lineMm.slice(0, 3), finding.lineMm.slice(3)],
      label: `${finding.trackingIdentifier || finding.concept?.meaning || ""} ${measured(finding.value)} ${unitText(finding.unit?.value || "")}`.trim(),
    }));
}
