// Numbers, times and sizes as people read them.

const MINUS = "\u2212";

/** Four significant digits, without noise: 0.01234, 12.34, 1,234,567, 1.2e-7. */
export function number(value, digits = 4) {
  if (value === null || value === undefined || value === "" || Number.isNaN(value)) return "–";
  if (typeof value !== "number") return String(value);
  const size = Math.abs(value);
  let text;
  if (Number.isInteger(value) && size < 1e15) text = value.toLocaleString("en");
  else if (size !== 0 && (size < 1e-4 || size >= 1e9)) text = value.toExponential(digits - 2);
  else text = Number(value.toPrecision(digits)).toLocaleString("en", { maximumSignificantDigits: digits });
  return text.replace("-", MINUS);
}

/** A value of a hyperparameter, as short text. */
export function value(item) {
  if (typeof item === "number") return number(item);
  if (item === null || item === undefined) return "–";
  if (Array.isArray(item)) return item.map(value).join(", ");
  return typeof item === "string" ? item : JSON.stringify(item);
}

export const percent = (part, digits = 0) =>
  part === null || part === undefined ? "–" : `${(100 * part).toFixed(digits)} %`;

/** "41 s", "3 min 20 s", "2 h 5 min", "3 d 4 h". */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 10) return `${seconds.toFixed(seconds < 1 ? 2 : 1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}

/** "just now", "5 min ago", "3 h ago", then the date. */
export function ago(moment) {
  if (!moment) return "–";
  const seconds = (Date.now() - new Date(moment)) / 1000;
  if (seconds < 45) return "just now";
  if (seconds < 3600) return `${Math.max(1, Math.round(seconds / 60))} min ago`;
  if (seconds < 86400) return `${Math.round(seconds / 3600)} h ago`;
  return date(moment);
}

export const date = (moment) =>
  moment ? new Date(moment).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" }) : "–";

export function bytes(size) {
  if (size === null || size === undefined) return "–";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let step = 0;
  while (size >= 1000 && step < units.length - 1) {
    size /= 1000;
    step += 1;
  }
  return `${number(size, 3)} ${units[step]}`;
}

export const plural = (count, noun) => `${number(count)} ${noun}${count === 1 ? "" : "s"}`;
