// Figures of a version's answers on its test rows, from its file held_out.json, and their calibration.
import { number } from "../format.js";
import { axis, grid, legend } from "./chart.js";

const className = (label) => String(label);
const MAX_POINTS = 3000; // of one curve or cloud
const thinned = (list, most = MAX_POINTS) => (list.length <= most ? list : Array.from({ length: most }, (_, index) => list[Math.round((index * (list.length - 1)) / (most - 1))]));

/** Whether there are answers to draw; else why not. */
const missing = (found) => (found?.truth?.length ? null : { missing: found?.note ?? "No rows were held out for a test." });
const rowsText = (found) => `${number(found.truth.length)}${found.truth.length < found.rows ? ` of ${number(found.rows)}` : ""} test rows`;

/** Each test row's prediction against its true value; on the diagonal it is right. */
export function predictedFigure(found) {
  const without = missing(found);
  if (without) return without;
  const pairs = found.truth.map((truth, index) => [Number(truth), found.predictions[index]]).filter(([, guess]) => Number.isFinite(guess));
  if (!pairs.length) return { missing: "No prediction is finite." };
  const all = pairs.flat();
  const [low, high] = [Math.min(...all), Math.max(...all)];
  const margin = 0.04 * (high - low) || 0.5;
  const ends = { min: low - margin, max: high + margin };
  const mean = pairs.reduce((sum, [truth]) => sum + truth, 0) / pairs.length;
  const left = pairs.reduce((sum, [truth, guess]) => sum + (truth - guess) ** 2, 0);
  const spread = pairs.reduce((sum, [truth]) => sum + (truth - mean) ** 2, 0);
  const r2 = spread > 0 ? `, R² ${number(1 - left / spread, 3)}` : "";
  return {
    height: 340,
    note: `${rowsText(found)}${r2}`,
    summary: `Predicted against true ${found.target} of ${rowsText(found)}${r2}.`,
    table: { columns: ["True", "Predicted"], rows: pairs },
    option: (theme) => ({
      grid: grid({ top: 14 }),
      tooltip: { trigger: "item", formatter: ({ data }) => `true ${number(data[0])}\npredicted ${number(data[1])}` },
      xAxis: axis(theme, `true ${found.target}`, { type: "value", ...ends }),
      yAxis: axis(theme, `predicted ${found.target}`, { nameGap: 46, ...ends }),
      series: [
        { type: "scatter", symbolSize: pairs.length > 300 ? 5 : 8, itemStyle: { color: theme.series[0], opacity: pairs.length > 300 ? 0.4 : 0.65 }, data: thinned(pairs) },
        { type: "line", data: [[ends.min, ends.min], [ends.max, ends.max]], showSymbol: false, silent: true, lineStyle: { color: theme.series[1], type: "dashed", width: 1.4 } },
      ],
    }),
  };
}

/** The class that a version answers: by the threshold of the positive class, else the most probable. */
function answered(probabilities, positive, threshold) {
  if (Number.isFinite(threshold) && Number.isInteger(positive)) return probabilities[positive] >= threshold ? positive : 1 - positive;
  return probabilities.reduce((best, each, index) => (each > probabilities[best] ? index : best), 0);
}

/** Test rows by true and answered class; shaded by the share of the true class. */
export function confusionFigure(found) {
  const without = missing(found);
  if (without) return without;
  const names = found.classes.map(className);
  const places = new Map(found.classes.map((label, index) => [label, index]));
  const counts = names.map(() => names.map(() => 0));
  found.truth.forEach((label, row) => (counts[places.get(label)][answered(found.probabilities[row], found.positive, found.threshold)] += 1));
  const totals = counts.map((row) => row.reduce((sum, each) => sum + each, 0) || 1);
  const right = counts.reduce((sum, row, index) => sum + row[index], 0) / found.truth.length;
  const cells = counts.flatMap((row, truth) => row.map((count, guess) => ({ value: [guess, truth, count / totals[truth]], count })));
  const isFew = names.length <= 12;
  const note = `${rowsText(found)}, accuracy ${number(right, 3)}${Number.isFinite(found.threshold) ? `, threshold ${number(found.threshold, 3)}` : ""}`;
  return {
    height: Math.min(560, 190 + 46 * names.length),
    note,
    summary: `Confusion matrix of ${note}.`,
    table: { columns: ["True \\ predicted", ...names], rows: counts.map((row, index) => [names[index], ...row]) },
    option: (theme) => ({
      grid: grid({ left: 16, bottom: 48, top: 10, containLabel: true }),
      tooltip: { trigger: "item", formatter: ({ data }) => `true ${names[data.value[1]]}, answered ${names[data.value[0]]}\n${number(data.count)} rows, ${Math.round(100 * data.value[2])} % of the class` },
      visualMap: { show: false, min: 0, max: 1, dimension: 2, inRange: { color: [theme.low, theme.high] } },
      xAxis: axis(theme, "predicted class", { type: "category", data: names, nameGap: 32 }),
      yAxis: axis(theme, "", { type: "category", data: names, inverse: true }),
      series: [
        {
          type: "heatmap",
          data: cells.map((cell) => ({ ...cell, label: { color: cell.value[2] > 0.5 ? theme.surface : theme.ink } })),
          label: { show: isFew, formatter: ({ data }) => (data.count || names.length <= 6 ? number(data.count) : ""), fontSize: 13, fontWeight: 600 },
          itemStyle: { borderColor: theme.surface, borderWidth: 2 },
        },
      ],
    }),
  };
}

/** Points and area of a ROC curve; equal scores are one step. */
function rocCurve(scores, isPositive) {
  const order = scores.map((_, index) => index).sort((a, b) => scores[b] - scores[a]);
  const positives = isPositive.filter(Boolean).length;
  const negatives = isPositive.length - positives;
  const points = [[0, 0]];
  let [yes, no, area] = [0, 0, 0];
  order.forEach((row, place) => {
    if (isPositive[row]) yes += 1;
    else no += 1;
    if (place + 1 < order.length && scores[order[place + 1]] === scores[row]) return;
    const [before, height] = points.at(-1);
    points.push([no / negatives, yes / positives]);
    area += ((no / negatives - before) * (yes / positives + height)) / 2;
  });
  return { points, area };
}

/** True against false positives at every threshold, each class against the rest. */
export function rocFigure(found) {
  const without = missing(found);
  if (without) return without;
  const wanted = found.task === "binary" ? [1] : found.classes.map((_, index) => index);
  const curves = wanted
    .map((place) => ({ name: className(found.classes[place]), place, isPositive: found.truth.map((label) => label === found.classes[place]) }))
    .filter(({ isPositive }) => isPositive.some(Boolean) && !isPositive.every(Boolean))
    .map((each) => ({ ...each, ...rocCurve(found.probabilities.map((row) => row[each.place] ?? 0), each.isPositive) }))
    .sort((a, b) => a.area - b.area)
    .slice(0, 12);
  if (!curves.length) return { missing: "The test rows hold one class only." };
  const label = ({ name, area }) => `${name.length > 18 ? `${name.slice(0, 17)}…` : name}: area ${number(area, 3)}`;
  return {
    height: 340,
    note: `${found.task === "binary" ? "" : "Each class against the rest, "}${rowsText(found)}`,
    summary: `ROC curves: ${curves.map(label).join("; ")}.`,
    table: { columns: ["Class", "Area under the curve"], rows: curves.map((each) => [each.name, each.area]) },
    option: (theme) => ({
      legend: legend(theme, { data: curves.map(label), orient: "vertical", left: "auto", right: 24, top: "auto", bottom: 56, itemGap: 6 }),
      grid: grid({ top: 14 }),
      tooltip: { trigger: "item", formatter: ({ seriesName, data }) => `${seriesName}\nfalse positives ${number(data[0], 3)}\ntrue positives ${number(data[1], 3)}` },
      xAxis: axis(theme, "false positives (share of the others)", { type: "value", min: 0, max: 1 }),
      yAxis: axis(theme, "true positives (share of the class)", { min: 0, max: 1, nameGap: 40 }),
      series: [
        ...curves.map((each) => ({ name: label(each), type: "line", data: thinned(each.points, 400), showSymbol: false, symbolSize: 7, lineStyle: { width: 2 } })),
        { type: "line", data: [[0, 0], [1, 1]], showSymbol: false, silent: true, lineStyle: { color: theme.edge, type: "dotted", width: 1.2 }, itemStyle: { color: theme.edge } },
      ],
    }),
  };
}

/** How often what has a probability happens: `calibration` of a version. */
export function reliabilityFigure(calibration, task) {
  if (!calibration?.test) return { missing: calibration ? "There are no answers for test rows." : "The version was saved without it." };
  const { test, untempered, temperature } = calibration;
  const curves = [...(untempered ? [{ name: `without its temperature of ${number(temperature, 3)}`, ...untempered }] : []), { name: "as served", ...test }];
  const most = Math.max(...curves.flatMap((each) => each.bins.map((bin) => bin.rows)), 1);
  const x = task === "binary" ? "probability of the class" : "probability of the answered class";
  const y = task === "binary" ? "share of rows of the class" : "share of right answers";
  return {
    height: 340,
    note: `${number(test.rows)} test rows, expected calibration error ${number(test.ece, 3)}`,
    summary: `Reliability of probabilities: expected calibration error ${number(test.ece, 3)} over ${number(test.rows)} test rows.`,
    table: { columns: ["Curve", x, y, "Rows"], rows: curves.flatMap((each) => each.bins.map((bin) => [each.name, bin.probability, bin.share, bin.rows])) },
    option: (theme) => ({
      legend: legend(theme, { data: curves.map((each) => each.name) }),
      grid: grid({ top: 34 }),
      tooltip: { trigger: "item", formatter: ({ seriesName, data }) => `${seriesName}\nprobability ${number(data.value[0], 3)}\nshare ${number(data.value[1], 3)}\n${number(data.rows)} rows` },
      xAxis: axis(theme, x, { type: "value", min: 0, max: 1 }),
      yAxis: axis(theme, y, { min: 0, max: 1, nameGap: 40 }),
      series: [
        ...curves.map((each, index) => {
          const color = each.name === "as served" ? theme.series[0] : theme.edge;
          return {
            name: each.name, type: "line", lineStyle: { color, width: 2 }, itemStyle: { color }, z: 2 + index, symbol: "circle",
            data: each.bins.map((bin) => ({ value: [bin.probability, bin.share], rows: bin.rows, symbolSize: 5 + 12 * Math.sqrt(bin.rows / most) })),
          };
        }),
        { type: "line", data: [[0, 0], [1, 1]], showSymbol: false, silent: true, lineStyle: { color: theme.edge, type: "dotted", width: 1.2 }, itemStyle: { color: theme.edge } },
      ],
    }),
  };
}
