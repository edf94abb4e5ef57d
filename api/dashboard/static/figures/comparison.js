// Figures of jobs side by side, from what `GET /compare` answers.
import { number } from "../format.js";
import { axis, grid, legend } from "./chart.js";
import { betterIs, calmRange, metricLabel } from "./scores.js";

export const jobNames = (items) => items.map((job) => `${job.model} (${job.id.slice(4, 10)})`);

export const haveOneObjective = (items) => items.every((job) => job.objective.metric === items[0].objective.metric);

/** The best score so far of each job, over `by`: "trials" or "seconds". */
export function curvesFigure(items, by) {
  const names = jobNames(items);
  const curves = items.map((job) => job.curve.best.map((best, index) => [job.curve[by][index], best]).filter(([, best]) => best !== null));
  if (!haveOneObjective(items)) return { missing: "These jobs have different objectives, so their curves have no common axis." };
  if (curves.every((curve) => !curve.length)) return { missing: "No trial has a score yet." };
  const { metric, direction } = items[0].objective;
  const label = metricLabel(metric);
  const all = curves.flat().map(([, best]) => best);
  return {
    height: 340,
    summary: `Best ${label} so far over ${by}: ${names.map((name, index) => `${name} ${number(curves[index].at(-1)?.[1])}`).join("; ")}.`,
    table: { columns: ["Job", by === "trials" ? "Trial" : "Second", `Best ${label}`], rows: curves.flatMap((curve, index) => curve.map((point) => [names[index], ...point])) },
    option: (theme) => ({
      legend: legend(theme, { data: names }),
      grid: grid({ top: 24 + 22 * Math.ceil(names.length / 3) }),
      tooltip: { trigger: "item", formatter: ({ seriesName, data }) => `${seriesName}\n${number(data[0])} ${by}\nbest ${number(data[1])}` },
      xAxis: axis(theme, by === "trials" ? "trials that have ended" : "seconds", { type: "value", min: 0 }),
      yAxis: axis(theme, `${label} (${betterIs(direction)})`, { nameGap: 46, ...calmRange(all, direction) }),
      series: curves.map((curve, index) => ({ name: names[index], type: "line", step: "end", showSymbol: curve.length < 2, symbolSize: 6, lineStyle: { width: 2.2 }, data: curve })),
    }),
  };
}
