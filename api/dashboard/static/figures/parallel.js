// Parallel coordinates of trials: a line a trial, a brush on every axis.
import { number, value as shown } from "../format.js";
import { metricLabel, scored } from "./scores.js";

const MAX_AXES = 9;
const WIDE = 30; // ratio of the ends from which a positive axis is logarithmic
const FEW = 6; // distinct numbers up to which an axis names each of them
const NOT_USED = "not used";
const MAX_REDRAWN = 300; // lines; more are redrawn only when a brush is let go

/** Values with one entry for each layer in place of a list: `units 1`, `units 2`, … */
const flat = (values) =>
  Object.fromEntries(Object.entries(values).flatMap(([name, each]) => (Array.isArray(each) ? each.map((one, index) => [`${name} ${index + 1}`, one]) : [[name, each]])));

/** Hyperparameters that differ between trials, those of `ranking` first. */
function varying(rows, ranking) {
  const names = [...new Set(rows.flatMap(Object.keys))];
  const differs = (name) => new Set(rows.map((row) => JSON.stringify(row[name]))).size > 1;
  const place = (name) => {
    const found = ranking.findIndex((each) => name === each || name.startsWith(`${each} `));
    return found < 0 ? ranking.length : found;
  };
  return names.filter(differs).sort((a, b) => place(a) - place(b)).slice(0, MAX_AXES);
}

/** How one hyperparameter is laid out: {name, at(value) -> position, axis}. */
function dimension(name, values) {
  const used = values.filter((each) => each !== undefined && each !== null);
  const isPartial = used.length < values.length;
  if (used.every((each) => typeof each === "number") && new Set(used).size > FEW) return numeric(name, used, isPartial);
  const names = [...new Set(used.map(shown))].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  if (isPartial) names.unshift(NOT_USED);
  return { name, at: (each) => (each === undefined || each === null ? NOT_USED : shown(each)), axis: { type: "category", data: names } };
}

function numeric(name, used, isPartial) {
  const ends = [Math.min(...used), Math.max(...used)];
  const isLog = ends[0] > 0 && ends[1] / ends[0] > WIDE;
  const to = isLog ? Math.log10 : (each) => each;
  const [low, high] = ends.map(to);
  const gap = 0.14 * (high - low);
  const min = isPartial ? low - gap : low;
  const text = (each) => (isPartial && each < low - gap / 2 ? NOT_USED : each < low - 1e-9 ? "" : number(isLog ? 10 ** each : each, 3));
  return {
    name,
    at: (each) => (typeof each === "number" ? to(each) : min),
    axis: { type: "value", min, max: high, interval: intervalOf(used, low, high), axisLabel: { formatter: text, showMinLabel: true, showMaxLabel: true } },
  };
}

const intervalOf = (used, low, high) => (used.every(Number.isInteger) && high - low < 5 ? 1 : (high - low) / 4 || 1);

/** A colour between two, as `rgb(...)`; `part` is 0 to 1. */
function between(from, to, part) {
  const channel = (text, place) => parseInt(text.slice(1 + 2 * place, 3 + 2 * place), 16);
  return `rgb(${[0, 1, 2].map((place) => Math.round(channel(from, place) + part * (channel(to, place) - channel(from, place)))).join(",")})`;
}

/** The figure; `trials` of the lines, in their order, are in `figure.trials` for `brushedTrials`. */
export function parallelFigure(trials, { metric, direction }, ranking = []) {
  const known = scored(trials);
  if (known.length < 2) return { missing: "Two trials with scores are needed." };
  const worstFirst = [...known].sort((a, b) => (direction === "max" ? a.score - b.score : b.score - a.score));
  const rows = worstFirst.map((trial) => flat(trial.values));
  const names = varying(rows, ranking);
  if (!names.length) return { missing: "All trials had the same values." };
  const dimensions = names.map((name) => dimension(name, rows.map((row) => row[name])));
  const sorted = worstFirst.map((trial) => trial.score).sort((a, b) => a - b);
  const tail = sorted[Math.floor((direction === "max" ? 0.05 : 0.95) * (sorted.length - 1))];
  const clip = (score) => (direction === "max" ? Math.max(score, tail) : Math.min(score, tail));
  dimensions.push({ ...numeric(metricLabel(metric), [...new Set(worstFirst.map((trial) => clip(trial.score)))].concat(sorted.length > 1 && sorted[0] === sorted.at(-1) ? [sorted[0] + 1] : []), false), score: true });
  const lines = worstFirst.map((trial, index) => dimensions.map((each) => each.at(each.score ? clip(trial.score) : rows[index][each.name])));
  return {
    trials: worstFirst,
    key: dimensions.map((each) => `${each.name} ${each.axis.type}`).join("|"),
    height: 360,
    width: 72 * dimensions.length,
    merge: true,
    summary: `Parallel coordinates of ${known.length} trials over ${names.join(", ")}; the darkest lines have the best scores. Drag along an axis to choose trials.`,
    option: (theme) => ({
      tooltip: false,
      parallel: { left: 56, right: 84, top: 44, bottom: 26, parallelAxisDefault: { ...axisStyle(theme), realtime: known.length <= MAX_REDRAWN } },
      parallelAxis: dimensions.map((each, dim) => ({
        dim, name: each.name.length > 18 ? `${each.name.slice(0, 17)}…` : each.name, ...each.axis,
        ...(each.score ? { nameTextStyle: { color: theme.accent, fontWeight: 600, fontSize: 12 } } : {}),
      })),
      series: [
        {
          type: "parallel", smooth: false, inactiveOpacity: 0.04, activeOpacity: 0.9, progressive: 0, animation: false, silent: true,
          lineStyle: { width: known.length > 150 ? 1 : 1.5 },
          data: lines.map((line, index) => ({
            value: line,
            lineStyle: { color: between(theme.low, theme.high, (index + 1) / lines.length), opacity: 0.35 + (0.6 * (index + 1)) / lines.length, width: index === lines.length - 1 ? 3 : undefined },
          })),
        },
      ],
    }),
  };
}

const axisStyle = (theme) => ({
  nameLocation: "end",
  nameGap: 16,
  nameTextStyle: { color: theme.ink, fontSize: 12 },
  axisLine: { lineStyle: { color: theme.edge } },
  axisTick: { show: false },
  splitLine: { show: false },
  axisLabel: { color: theme.ink, fontSize: 11, textBorderColor: theme.surface, textBorderWidth: 3 },
  areaSelectStyle: { width: 22, borderWidth: 1, borderColor: theme.accent, color: theme.accent, opacity: 0.18 },
});

/** Call `onBrush` with the numbers of the chosen trials, or null without a brush. */
export function followBrush(chart, latestFigure, onBrush) {
  chart.on("axisareaselected", () => {
    const model = chart.getModel();
    const isBrushed = model.queryComponents({ mainType: "parallelAxis" }).some((axis) => axis.activeIntervals.length);
    if (!isBrushed) return onBrush(null);
    const places = model.getSeriesByIndex(0).getRawIndicesByActiveState("active");
    onBrush(new Set(places.map((place) => latestFigure().trials[place]?.number)));
  });
}

/** Take all brushes off. */
export function clearBrush(chart) {
  const axes = chart.getModel().queryComponents({ mainType: "parallelAxis" });
  for (const axis of axes) chart.dispatchAction({ type: "axisAreaSelect", parallelAxisId: axis.id, intervals: [] });
}
