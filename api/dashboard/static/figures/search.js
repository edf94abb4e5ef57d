// Figures of a search: its progress, learning curves, importance, overfitting, and the front.
import { number } from "../format.js";
import { axis, grid, legend } from "./chart.js";
import { bestSoFar, betterIs, calmRange, metricLabel, scored } from "./scores.js";

const NO_SCORE = { missing: "No trial has a score yet." };

/** Each trial's score in the order of their ends, and the best so far as a line. */
export function progressFigure(trials, { metric, direction }) {
  const points = bestSoFar(trials, direction);
  if (!points.length) return NO_SCORE;
  const label = metricLabel(metric);
  const last = points.at(-1).best;
  const range = calmRange(points.map((each) => each.score), direction);
  const clip = (score) => Math.min(range.max ?? Infinity, Math.max(range.min ?? -Infinity, score));
  return {
    height: 300,
    summary: `Best ${label} so far after ${points.length} trials: ${number(last)}. ${betterIs(direction)}.`,
    table: { columns: ["Trial", label, "Best so far"], rows: points.map((each) => [each.number, each.score, each.best]) },
    option: (theme) => ({
      legend: legend(theme, { data: ["Trials", "Best so far"] }),
      grid: grid(),
      tooltip: { trigger: "item", formatter: ({ data }) => `Trial ${data.trial}\n${label} ${number(data.score)}\nbest so far ${number(data.best)}` },
      xAxis: axis(theme, "trials that have ended", { type: "value", min: 0, minInterval: 1, scale: false }),
      yAxis: axis(theme, `${label} (${betterIs(direction)})`, { nameGap: 46, ...range }),
      series: [
        {
          name: "Trials", type: "scatter", symbolSize: points.length > 300 ? 5 : 7, itemStyle: { color: theme.series[0], opacity: 0.45 },
          data: points.map((each, index) => ({ value: [index + 1, clip(each.score)], trial: each.number, score: each.score, best: each.best })),
        },
        {
          name: "Best so far", type: "line", step: "end", showSymbol: false, lineStyle: { color: theme.series[1], width: 2.5 }, itemStyle: { color: theme.series[1] },
          data: points.map((each, index) => ({ value: [index + 1, each.best === null ? null : clip(each.best)], trial: each.number, score: each.score, best: each.best })),
        },
      ],
    }),
  };
}

const losses = (trial, name) => (trial.history?.[name] ?? []).map((each) => (Number.isFinite(each) ? each : null));

/** Loss per epoch of some trials, which have their `history`: validation as lines, training dashed. */
export function learningFigure(trials) {
  const known = trials.filter((trial) => losses(trial, "loss").length);
  if (!known.length) return { missing: "Choose trials in the table that have trained for an epoch." };
  const firstEpoch = (trial) => Math.max(1, (trial.epochs_trained ?? losses(trial, "loss").length) - losses(trial, "loss").length + 1);
  const rows = known.flatMap((trial) =>
    losses(trial, "loss").map((loss, index) => [trial.number, firstEpoch(trial) + index, loss, losses(trial, "val_loss")[index] ?? null]),
  );
  const range = calmRange(rows.flatMap((row) => row.slice(2)), "min");
  return {
    height: 300,
    summary: `Loss per epoch of ${known.map((trial) => `trial ${trial.number}`).join(", ")}, on training and validation rows.`,
    table: { columns: ["Trial", "Epoch", "Training loss", "Validation loss"], rows },
    option: (theme) => ({
      legend: legend(theme, { data: known.map((trial) => `trial ${trial.number}`) }),
      grid: grid({ top: 34 }),
      tooltip: { trigger: "item", formatter: ({ seriesName, seriesId, data }) => `${seriesName}, epoch ${data[0]}\n${seriesId.startsWith("t") ? "training" : "validation"} loss ${number(data[1])}` },
      xAxis: axis(theme, "epoch", { type: "value", minInterval: 1, scale: false, min: 0 }),
      yAxis: axis(theme, "loss (dashed: training rows)", { nameGap: 46, ...range }),
      series: known.flatMap((trial, index) => {
        const color = theme.series[index % theme.series.length];
        const line = (name, type, width) => ({
          id: `${name[0] === "v" ? "v" : "t"}${trial.number}`,
          name: `trial ${trial.number}`,
          type: "line",
          showSymbol: false,
          symbolSize: 7,
          lineStyle: { color, type, width },
          itemStyle: { color },
          data: losses(trial, name).map((loss, at) => [firstEpoch(trial) + at, loss]),
        });
        return [line("val_loss", "solid", 2), line("loss", "dashed", 1.3)];
      }),
    }),
  };
}

/** Bars with names at their left; `items` are {name, value, bounds?, isSure?}, the largest first. */
export function barsFigure(items, { label, summary, columns = ["Name", label] }) {
  const shown = items.slice(0, 15).reverse();
  const short = (name) => (name.length > 22 ? `${name.slice(0, 21)}…` : name);
  return {
    height: 70 + 26 * shown.length,
    summary,
    table: { columns: [...columns, ...(items[0]?.bounds ? ["Low", "High"] : [])], rows: items.map((each) => [each.name, each.value, ...(each.bounds ?? [])]) },
    option: (theme) => ({
      grid: grid({ left: 12, right: 24, top: 6, bottom: 44, containLabel: true }),
      tooltip: { trigger: "item", formatter: ({ dataIndex }) => `${shown[dataIndex].name}\n${number(shown[dataIndex].value)}${shown[dataIndex].bounds ? `\n95 %: ${shown[dataIndex].bounds.map((each) => number(each)).join(" to ")}` : ""}` },
      xAxis: axis(theme, label, { type: "value", scale: false }),
      yAxis: axis(theme, "", { type: "category", data: shown.map((each) => each.name), axisLabel: { formatter: short, color: theme.ink, hideOverlap: false } }),
      series: [
        { type: "bar", barMaxWidth: 16, data: shown.map((each) => ({ value: each.value, itemStyle: { color: each.isSure === false ? theme.edge : theme.series[0], borderRadius: 2 } })) },
        ...shown.flatMap((each, index) =>
          each.bounds ? [{ type: "line", data: each.bounds.map((end) => [end, index]), symbol: "rect", symbolSize: [2, 9], lineStyle: { color: theme.ink, width: 1.4 }, itemStyle: { color: theme.ink }, silent: true }] : [],
        ),
      ],
    }),
  };
}

/** What `GET /tune/{id}/importance` answers. */
export function importanceFigure(found, reason) {
  if (!found) return { missing: reason ?? "It is ranked once enough trials have scores." };
  const items = found.items.filter((each) => each.share > 0).map((each) => ({ name: each.hyperparameter, value: each.share }));
  if (!items.length) return { missing: found.warning ?? "No hyperparameter mattered measurably." };
  return barsFigure(items, {
    label: "share of the importance",
    summary: `Most important hyperparameter: ${items[0].name}, ${Math.round(100 * items[0].value)} % of the importance.`,
    columns: ["Hyperparameter", "Share"],
  });
}

/** Training against validation loss of each trial: above the diagonal it does worse on unseen rows. */
export function overfittingFigure(trials) {
  const known = scored(trials).filter((trial) => Number.isFinite(trial.overfit_gap) && Number.isFinite(trial.metrics?.loss));
  if (!known.length) return { missing: "No trial has both a training and a validation loss." };
  const points = known.map((trial) => ({ trial, at: [trial.metrics.loss - trial.overfit_gap, trial.metrics.loss] }));
  const range = calmRange(points.flatMap((each) => each.at), "min");
  const low = Math.min(...points.flatMap((each) => each.at));
  const high = range.max ?? Math.max(...points.flatMap((each) => each.at));
  const over = known.filter((trial) => trial.overfit).length;
  const ends = { min: low - 0.04 * (high - low), max: high + 0.02 * (high - low) };
  const group = (name, isOver, color) => ({
    name, type: "scatter", symbolSize: 7, itemStyle: { color, opacity: 0.65 },
    data: points.filter((each) => Boolean(each.trial.overfit) === isOver).map((each) => ({ value: each.at.map((end) => Math.min(end, ends.max)), trial: each.trial.number, at: each.at })),
  });
  return {
    height: 300,
    summary: `${over} of ${known.length} trials overfit: their validation loss is much above their training loss.`,
    table: { columns: ["Trial", "Training loss", "Validation loss"], rows: points.map((each) => [each.trial.number, ...each.at]) },
    option: (theme) => ({
      legend: legend(theme, { data: ["Sound", "Overfit"] }),
      grid: grid(),
      tooltip: { trigger: "item", formatter: ({ data }) => `Trial ${data.trial}\ntraining loss ${number(data.at[0])}\nvalidation loss ${number(data.at[1])}` },
      xAxis: axis(theme, "training loss", { type: "value", ...ends }),
      yAxis: axis(theme, "validation loss", { nameGap: 46, ...ends }),
      series: [
        group("Sound", false, theme.series[0]),
        group("Overfit", true, theme.series[1]),
        { type: "line", data: [[ends.min, ends.min], [ends.max, ends.max]], showSymbol: false, silent: true, lineStyle: { color: theme.edge, type: "dashed", width: 1.2 } },
      ],
    }),
  };
}

/** Scores by the first two objectives; the front is the line through the trials that none beats. */
export function frontFigure(trials, front, objectives) {
  const [first, second] = objectives;
  const at = (trial) => [trial.scores?.[first.metric], trial.scores?.[second.metric]];
  const known = scored(trials).filter((trial) => at(trial).every(Number.isFinite));
  if (!known.length) return NO_SCORE;
  const best = new Set(front);
  const line = known.filter((trial) => best.has(trial.number)).sort((a, b) => at(a)[0] - at(b)[0]);
  const data = (some) => some.map((trial) => ({ value: at(trial), trial: trial.number }));
  const isWide = Math.max(...known.map((trial) => at(trial)[1])) > 50 * Math.min(...known.map((trial) => at(trial)[1])) && known.every((trial) => at(trial)[1] > 0);
  return {
    height: 320,
    summary: `${line.length} of ${known.length} trials are on the front of ${metricLabel(first.metric)} and ${metricLabel(second.metric)}.`,
    table: { columns: ["Trial", metricLabel(first.metric), metricLabel(second.metric)], rows: line.map((trial) => [trial.number, ...at(trial)]) },
    option: (theme) => ({
      legend: legend(theme, { data: ["Trials", "Front"] }),
      grid: grid({ left: 72 }),
      tooltip: { trigger: "item", formatter: ({ data: found }) => `Trial ${found.trial}\n${metricLabel(first.metric)} ${number(found.value[0])}\n${metricLabel(second.metric)} ${number(found.value[1])}` },
      xAxis: axis(theme, `${metricLabel(first.metric)} (${betterIs(first.direction)})`, { type: "value" }),
      yAxis: axis(theme, `${metricLabel(second.metric)} (${betterIs(second.direction)})`, { nameGap: 54, type: isWide ? "log" : "value" }),
      series: [
        { name: "Trials", type: "scatter", symbolSize: 6, itemStyle: { color: theme.edge, opacity: 0.6 }, data: data(known.filter((trial) => !best.has(trial.number))) },
        { name: "Front", type: "line", symbol: "circle", symbolSize: 9, lineStyle: { color: theme.series[1], width: 1.6 }, itemStyle: { color: theme.series[1] }, data: data(line) },
      ],
    }),
  };
}
