// The page: series on the left, images on the right. `?series=studies/…/series/…` opens one; `#token=…` signs in.

import { cache } from "@cornerstonejs/core";
import { ConnectError } from "@connectrpc/connect";
import { storageClient } from "./connection.js";
import { readHeaders, tellHeaders, type Header } from "./headers.js";
import { SeriesLoader, imageIdOf, previewIdOf } from "./series_loader.js";
import { Stage } from "./stage.js";

const element = <T extends HTMLElement>(id: string) => document.getElementById(id) as T;
const token = new URLSearchParams(location.hash.slice(1)).get("token") ?? "";
const storage = storageClient(location.origin, token);
const known = new Map<string, Header>();
const stage = new Stage(element("stage"), (place, count, { center, width }) => {
  element("place").textContent = `Image ${place} of ${count}`;
  element("window").textContent = `C ${Math.round(center)} W ${Math.round(width)}`;
});
let reading = new AbortController();

async function open(series: string): Promise<void> {
  reading.abort();
  reading = new AbortController();
  const { signal } = reading;
  const began = performance.now();
  const headers = await readHeaders(storage, series);
  known.clear();
  const imageIds = headers.flatMap((header) => {
    const count = header.number("00280008") ?? 1;
    return Array.from({ length: count }, (_, index) => {
      const imageId = imageIdOf(header.instance, index + 1);
      known.set(imageId, header).set(previewIdOf(imageId), header);
      return imageId;
    });
  });
  cache.purgeCache();
  let [previews, images] = [0, 0];
  const loader = new SeriesLoader(storage, series, known);
  const streaming = loader.stream(signal, (_, isPreview) => {
    if (isPreview) previews += 1;
    else images += 1;
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    const came = images ? `${images} of ${imageIds.length} images` : `${previews} of ${imageIds.length} previews`;
    element("loaded").textContent = `${came}, ${seconds} s`;
  });
  await Promise.all([stage.show(imageIds.map(previewIdOf)), streaming]);
  if (!signal.aborted) await stage.replace(imageIds);
}

async function list(): Promise<void> {
  const { series } = await storage.searchSeries({ pageSize: 200 });
  const shown = series.filter((one) => one.rows > 0);
  element("list").replaceChildren(
    ...shown.map((one) => {
      const button = document.createElement("button");
      button.textContent = one.seriesDescription || one.protocolName || "No description";
      const facts = document.createElement("small");
      facts.textContent = `${one.modality} · ${one.frameCount} images · ${one.columns} × ${one.rows}`;
      button.append(facts);
      button.dataset.series = one.name;
      button.addEventListener("click", () => void choose(one.name));
      return button;
    }),
  );
}

async function choose(series: string): Promise<void> {
  for (const button of element("list").querySelectorAll("button")) {
    button.setAttribute("aria-current", String(button.dataset.series === series));
  }
  await told(open(series));
  element("stage").focus();
}

/** Show an error in words, unless it was our own change of mind. */
async function told(work: Promise<void>): Promise<void> {
  element("error").textContent = "";
  try {
    await work;
  } catch (error) {
    const failure = ConnectError.from(error);
    if (!reading.signal.aborted) element("error").textContent = failure.rawMessage;
  }
}

tellHeaders(known);
await stage.open();
await told(list());
const first = new URLSearchParams(location.search).get("series");
if (first) await choose(first);
