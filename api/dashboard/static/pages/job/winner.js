// The version that a job made: its evidence beside simpler models, and the figures of its answers.
import { html, useMemo } from "../../vendor/preact.js";
import { columnsFigure, dependenceFigure } from "../../figures/columns.js";
import { Figure } from "../../figures/chart.js";
import { confusionFigure, predictedFigure, reliabilityFigure, rocFigure } from "../../figures/held_out.js";
import { metricLabel } from "../../figures/scores.js";
import { Scores } from "../../scores.js";
import { bytes, number, value } from "../../format.js";
import { Badge, Loading, Notice, Problem, useData } from "../../ui.js";

const VERDICTS = { true: ["better than boosted trees", "good"], false: ["not better than boosted trees", "bad"], undecided: ["as good as boosted trees, as far as the rows tell", "warn"] };

export function Winner({ job }) {
  const path = `/models/${encodeURIComponent(job.model)}/versions/${job.version}`;
  const { data: version, error } = useData(path);
  const hasAnswers = Boolean(version?.files?.["held_out.json"]);
  const heldOut = useData(hasAnswers ? `${path}/artifacts/held_out.json` : null);
  if (error) return html`<${Problem} error=${error} />`;
  if (!version) return html`<${Loading} what="Reading the version" />`;
  return html`<section class="stack" aria-label="Winner">
    <${Summary} job=${job} version=${version} />
    <section class="card" aria-label="Evidence">
      <header><h2>Evidence</h2></header>
      <${Scores} version=${version} />
    </section>
    <div class="grid">
      <${Answers} version=${version} found=${heldOut.data} error=${heldOut.error} hasAnswers=${hasAnswers} />
      <${Columns} version=${version} />
    </div>
  </section>`;
}

function Summary({ job, version }) {
  const verdict = VERDICTS[String(version.better_than_trees)];
  const { evidence } = version;
  const members = evidence.ensemble?.members ?? evidence.members ?? [];
  const model = encodeURIComponent(version.model);
  return html`<div class="card winner">
    <header>
      <h2>Winner: version ${version.version} of ${version.model}</h2>
      ${version.aliases.map((alias) => html`<${Badge} state=${alias} />`)}
      ${verdict && html`<${Badge} state=${verdict[0]} tone=${verdict[1]} />`}
    </header>
    ${version.conclusion && html`<p class="conclusion">${version.conclusion}</p>`}
    ${version.promotion?.reason && html`<p class="muted">${version.promotion.reason}</p>`}
    ${version.optimism && html`<${Optimism} found=${version.optimism} />`}
    <dl class="pairs">
      <dt>Trial</dt><dd>${number(version.trial)}${members.length > 1 ? `, and ${members.length - 1} more in an ensemble` : ""}</dd>
      ${members.length > 1 && html`<dt>Members</dt><dd>${members.map((member) => `trial ${member.trial}${member.weight !== undefined ? ` (weight ${number(member.weight, 2)})` : ""}`).join(", ")}</dd>`}
      <dt>Parameters</dt><dd>${number(version.parameters)}</dd>
      <dt>Size</dt><dd>${bytes(version.bytes)}</dd>
      ${!members.length && job.best_trial && html`<dt>Values</dt><dd>${Object.entries(job.best_trial.values).map(([name, each]) => `${name} ${value(each)}`).join(", ")}</dd>`}
    </dl>
    <p class="actions no-print winner-actions">
      <a class="button primary" href="#/predict?model=${model}">Predict with it</a>
      <a class="button" href="#/models/${model}">Open the model</a>
    </p>
  </div>`;
}

function Optimism({ found }) {
  const verdict = found.gap > 0 ? "worse, as is usual for the best of many trials" : "no worse";
  return html`<p class="muted">In the search its ${metricLabel(found.metric)} was ${number(found.search)}; on the test rows it is ${number(found.test)}${found.interval ? ` (95 % interval ${found.interval.map((end) => number(end)).join(" to ")})` : ""}: ${verdict}.</p>`;
}

function Answers({ version, found, error, hasAnswers }) {
  const isRegression = version.task === "regression";
  const figures = useMemo(() => {
    if (!found) return null;
    return isRegression ? { predicted: predictedFigure(found) } : { confusion: confusionFigure(found), roc: rocFigure(found) };
  }, [found]);
  const reliability = useMemo(() => (isRegression ? null : reliabilityFigure(version.calibration, version.task)), [version]);
  if (error) return html`<${Notice} kind="warn">The answers on test rows cannot be read: ${error.message}<//>`;
  if (!hasAnswers) return html`<${Notice}>This version was saved without its answers on test rows.<//>`;
  if (!figures) return html`<${Loading} what="Reading the answers on test rows" />`;
  if (found.truth.length === 0) return html`<${Notice}>${found.note ?? "No rows were held out for a test."}<//>`;
  return html`
    ${figures.predicted && html`<${Figure} title="Predicted against true" note=${figures.predicted.note} figure=${figures.predicted} />`}
    ${figures.confusion && html`<${Figure} title="Confusion matrix" note=${figures.confusion.note} figure=${figures.confusion} />`}
    ${figures.roc && html`<${Figure} title="ROC curve" note=${figures.roc.note} figure=${figures.roc} />`}
    ${reliability && html`<${Figure} title="Calibration" note=${reliability.note} figure=${reliability} />`}
    ${isRegression && version.coverage && html`<${Coverage} rows=${version.coverage} />`}`;
}

const Coverage = ({ rows }) => html`<section class="card" aria-label="Coverage">
  <header><h2>Coverage of intervals</h2><p>How many test rows lie inside the intervals that predictions may ask for.</p></header>
  <table><thead><tr><th scope="col" class="figure">Level</th><th scope="col" class="figure">Covered</th><th scope="col" class="figure">Mean width</th></tr></thead>
    <tbody>${rows.map((row) => html`<tr><td class="figure">${number(100 * row.level)} %</td><td class="figure">${number(100 * row.coverage, 3)} %</td><td class="figure">${number(row.size)}</td></tr>`)}</tbody>
  </table>
</section>`;

function Columns({ version }) {
  const panels = version.evidence.partial_dependence ?? [];
  const importance = useMemo(() => columnsFigure(version.column_importance, version.evidence.objective?.direction), [version]);
  const dependence = useMemo(() => panels.map((panel) => [panel, dependenceFigure(panel, version.signature.target)]), [version]);
  return html`
    <${Figure} title="Importance of columns" figure=${importance} note=${version.column_importance?.note ?? "When its cells are shuffled between rows. Lines: 95 % intervals. Grey: the interval contains 0."} />
    ${dependence.map(([panel, figure]) => html`<${Figure} key=${panel.column} title=${`Answers by ${panel.column}`} figure=${figure} note="Partial dependence: the mean answer for values of the column." />`)}`;
}
