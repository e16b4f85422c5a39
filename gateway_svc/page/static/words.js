// Values of DICOM and of the contracts as people read them.

const NUMBER = new Intl.NumberFormat();
const DAY = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeZone: "UTC" });
const MOMENT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const CLOCK = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

/** `Doe^John` (PS3.5 6.2, PN) as `Doe, John`. */
export function personName(name) {
  const [family, given, middle] = (name || "").split("=")[0].split("^").map((part) => part.trim());
  const first = [given, middle].filter(Boolean).join(" ");
  return [family, first].filter(Boolean).join(", ");
}

/** `20260102` as a date of the reader's language; what is no date as it is. */
export function day(date) {
  const parts = /^(\d{4})\.?(\d{2})\.?(\d{2})$/.exec(date || "");
  if (!parts) return date || "";
  const [year, month, number] = parts.slice(1).map(Number);
  return DAY.format(new Date(Date.UTC(year, month - 1, number)));
}

/** `030405.123` as `03:04`. */
export function timeOfDay(time) {
  const parts = /^(\d{2}):?(\d{2})/.exec(time || "");
  return parts ? `${parts[1]}:${parts[2]}` : "";
}

/** A timestamp of the contracts, in the reader's time zone. */
export function moment(timestamp) {
  return timestamp ? MOMENT.format(new Date(timestamp)) : "";
}

/** Its time alone. */
export function clock(timestamp) {
  return timestamp ? CLOCK.format(new Date(timestamp)) : "";
}

/** `1,234 images`. */
export function count(number, one, many = `${one}s`) {
  return `${NUMBER.format(number)} ${number === 1 ? one : many}`;
}

/** Bytes in the unit that fits. */
export function bytes(size) {
  let amount = Number(size);
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (amount < 1000 || unit === "GB") return `${amount < 10 && unit !== "B" ? amount.toFixed(1) : Math.round(amount)} ${unit}`;
    amount /= 1000;
  }
  return "";
}

/** Seconds in words. */
export function duration(seconds) {
  if (seconds < 0.95) return `${Math.max(0.1, seconds).toFixed(1)} s`;
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 60 ? `${minutes} min ${Math.round(seconds % 60)} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** Seconds between two timestamps; until now without the second. */
export function secondsBetween(start, end) {
  return (new Date(end || Date.now()) - new Date(start)) / 1000;
}

/** A number of a finding: as many digits as mean something. */
export function measured(value) {
  const size = Math.abs(value);
  const digits = size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3;
  return new Intl.NumberFormat(undefined, { maximumFractionDigits: digits }).format(value).replace("-", "−");
}

/** UCUM units as they are printed. */
export function unitText(code) {
  const known = { "1": "", "[hnsf'U]": "HU", mm2: "mm²", mm3: "mm³", cm2: "cm²", cm3: "cm³", ml: "mL", "{ratio}": "", "g/ml": "g/mL" };
  return known[code] ?? code;
}

/** `lung-emphysema` as `Lung emphysema`, `ct-chest` as `CT chest`. */
export function title(name) {
  const words = (name || "").replaceAll("-", " ").replaceAll("_", " ").replace(/\b(ct|mr|us|cr|dx|pt|pet)\b/g, (one) => one.toUpperCase());
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** The last segment of a resource name. */
export function idOf(name) {
  return name.slice(name.lastIndexOf("/") + 1);
}

/** Compare as `Array.sort` wants it. */
export function compare(a, b) {
  return a < b ? -1 : a > b ? 1 : 0;
}
