// Figures of what a version's answers depend on: raw columns of the table.
import { number } from "../format.js";
import { axis, grid, legend } from "./chart.js";
import { metricLabel } from "./scores.js";
import { barsFigure } from "./search.js";

/** `column_importance` of a version: what the metric loses when a column is shuffled. */
export function columnsFigure(found, direction) {
  if (!found) return { missing: "The version was saved without the importance of its columns." };
  if (!found.items.length) return { missing: found.note ?? "No column could be measured." };
  const items = found.items.map((each) => ({ name: each.column, value: each.importance, bounds: each.interval, isSure: !each.interval || each.interval[0] > 0 }));
  return barsFigure(items, {
    label: `${direction === "max" ? "drop" : "rise"} of the ${metricLabel(found.metric)}`,
    summary: `Most important column: ${items[0].name}. Measured on ${number(found.rows)} held-out rows.`,
    columns: ["Column", "Importance"],
  });
}

/** One panel of `partial_dependence`: the mean answer for values of one column. */
export function dependenceFigure(panel, target) {
  const isNumber = panel.type === "number";
  const names = panel.values.map((each) => (panel.type === "datetime" ? String(each).slice(0, 10) : String(each)));
  const curves = panel.probabilities
    ? panel.classes.map((label, index) => ({ name: String(label), values: panel.probabilities[index] }))
    : [{ name: target, values: panel.predictions }];
  const span = ({ values }) => Math.max(...values) - Math.min(...values);
  const shown = curves.sort((a, b) => span(b) - span(a)).slice(0, 6);
  const y = panel.probabilities ? "mean probability" : `mean predicted ${target}`;
  return {
    height: 250,
    summary: `${y} for values of ${panel.column}, from ${number(Math.min(...shown[0].values))} to ${number(Math.max(...shown[0].values))}.`,
    table: { columns: [panel.column, ...shown.map((each) => each.name)], rows: names.map((name, index) => [isNumber ? panel.values[index] : name, ...shown.map((each) => each.values[index])]) },
    option: (theme) => ({
      ...(shown.length > 1 ? { legend: legend(theme, { data: shown.map((each) => each.name) }) } : {}),
      grid: grid({ top: shown.length > 1 ? 34 : 14 }),
      tooltip: { trigger: "item", formatter: ({ seriesName, data, dataIndex }) => `${panel.column} ${isNumber ? number(data[0]) : names[dataIndex]}\n${seriesName} ${number(isNumber ? data[1] : data)}` },
      xAxis: axis(theme, panel.column, isNumber ? { type: "value" } : { type: "category", data: names }),
      yAxis: axis(theme, y, { nameGap: 44 }),
      series: shown.map((each) => ({
        name: each.name, type: panel.type === "category" ? "scatter" : "line", symbol: "circle", symbolSize: 7, lineStyle: { width: 2 },
        data: isNumber ? each.values.map((value, index) => [panel.values[index], value]) : each.values,
      })),
    }),
  };
}
