// The scores of a version on its test rows, beside those of simpler models.
import { html } from "./vendor/preact.js";
import { metricLabel } from "./figures/scores.js";
import { number } from "./format.js";
import { Interval } from "./ui.js";

/** A row a metric; a column each for validation, the test, and the simpler models on the same rows. */
export function Scores({ version }) {
  const validation = version.evidence?.validation?.metrics ?? {};
  const columns = [
    ["This version", { metrics: version.metrics, intervals: version.intervals }],
    ["Baseline", { metrics: version.baseline, intervals: version.baseline_intervals }],
    ["Linear", version.baselines?.linear],
    ["Trees", version.baselines?.trees],
  ].filter(([, each]) => each?.metrics);
  const metrics = version.metrics ?? validation;
  // The loss is one of the others under its name in training.
  const names = Object.keys(metrics).filter((name) => name !== "loss" || !["mse", "log_loss"].some((other) => metrics[other] === metrics.loss));
  if (!names.length) return html`<p class="muted">There are no scores: ${version.source === "imported" ? "the version was imported" : "no rows were held out for a test"}.</p>`;
  const notes = Object.entries(version.baselines ?? {}).map(([, each]) => each?.note).filter(Boolean);
  return html`<div>
    <p class="muted">${version.metrics ? `On ${number(version.evidence?.test?.rows)} test rows that the search never saw, with 95 % intervals.` : "No rows were held out for a test."}</p>
    <div class="wide" tabindex="0" role="region" aria-label="Scores beside simpler models"><table>
      <thead><tr><th scope="col">Metric</th><th scope="col" class="figure">Validation</th>${columns.map(([name]) => html`<th scope="col" class="figure">${name}</th>`)}</tr></thead>
      <tbody>${names.map((name) => html`<tr>
        <th scope="row">${metricLabel(name)}</th>
        <td class="figure">${number(validation[name])}</td>
        ${columns.map(([title, each]) => html`<td class="figure ${title === "This version" ? "strong" : ""}"><${Interval} value=${each.metrics[name]} bounds=${each.intervals?.[name]} /></td>`)}
      </tr>`)}</tbody>
    </table></div>
    ${notes.map((note) => html`<p class="muted">${note}</p>`)}
    ${version.evidence?.test?.note && html`<p class="muted">${version.evidence.test.note}</p>`}
  </div>`;
}
