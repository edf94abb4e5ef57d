import { html, useMemo } from "../vendor/preact.js";
import { Figure } from "../figures/chart.js";
import { curvesFigure, haveOneObjective, jobNames } from "../figures/comparison.js";
import { betterIs, metricLabel } from "../figures/scores.js";
import { duration, number } from "../format.js";
import { Badge, Empty, Interval, Loading, Notice, Problem, useData, useTitle } from "../ui.js";

const EVERY = 5000; // milliseconds

export default function Compare({ params }) {
  useTitle("Compare jobs");
  const jobs = (params.jobs ?? "").split(",").filter(Boolean);
  const { data, error, loading, reload } = useData(jobs.length > 1 ? "/compare" : null, { query: { jobs: jobs.join(","), force: true }, every: EVERY });
  const head = html`<div class="page-head"><div>
    <p class="crumbs"><a href="#/jobs">Jobs</a> / Compare</p><h1>Compare jobs</h1>
    ${data && haveOneObjective(data.items) && html`<p>${metricLabel(data.items[0].objective.metric)}, ${betterIs(data.items[0].objective.direction)}</p>`}
  </div></div>`;
  if (jobs.length < 2)
    return html`${head}<${Empty} title="Choose two jobs or more" action=${html`<a class="button primary" href="#/jobs">Choose them in the list</a>`}>Tick jobs in the list of jobs, then press Compare.<//>`;
  if (error && !data)
    return html`${head}<${Problem} error=${error} onRetry=${reload} />`;
  if (!data) return html`${head}${loading && html`<${Loading} />`}`;
  return html`${head}<div class="stack">
    ${data.differences.length > 0 && html`<${Notice} kind="warn"><p>The scores of these jobs do not mean the same:</p><ul>${data.differences.map((each) => html`<li>${each}</li>`)}</ul><//>`}
    <${Results} items=${data.items} isSame=${haveOneObjective(data.items) && data.differences.length === 0} />
    <${Curves} items=${data.items} />
  </div>`;
}

function Curves({ items }) {
  const mark = items.map((job) => `${job.id}:${job.curve.trials.length}`).join();
  const figures = useMemo(() => [curvesFigure(items, "trials"), curvesFigure(items, "seconds")], [mark]);
  return html`<div class="grid">
    <${Figure} title="Best score over trials" figure=${figures[0]} />
    <${Figure} title="Best score over time" figure=${figures[1]} note="From the start of the first trial, pauses included." />
  </div>`;
}

/** The best value of a row is bold; `better` is "min", "max" or null for rows that are no contest. */
function bestOf(values, better) {
  const known = values.filter(Number.isFinite);
  if (!better || known.length < 2) return null;
  return better === "max" ? Math.max(...known) : Math.min(...known);
}

function Results({ items, isSame }) {
  const better = isSame ? items[0].objective.direction : null;
  const rows = [
    ["Best score", (job) => job.best_score, better, number],
    ["Spread over folds", (job) => job.spread, null, number],
    ["Trials that have ended", (job) => job.trials.completed + job.trials.stopped + job.trials.failed, null, number],
    ["Failed trials", (job) => job.trials.failed, null, number],
    ["Time", (job) => job.seconds, "min", duration],
    ["Time to the best", (job) => job.seconds_to_best, "min", duration],
    ["Trials to the best", (job) => job.trials_to_best, "min", number],
    ["Regret over trials", (job) => job.area_over_trials, isSame ? "min" : null, number],
    ["Regret over time", (job) => job.area_over_seconds, isSame ? "min" : null, number],
    ["Test score", (job) => job.held_out?.score, better, null, (job) => job.held_out && html`<${Interval} value=${job.held_out.score} bounds=${job.held_out.interval} />`],
    ["Baseline on the test", (job) => job.held_out?.baseline, null, number],
  ].filter(([, read]) => items.some((job) => read(job) !== null && read(job) !== undefined));
  const names = jobNames(items);
  return html`<section class="card" aria-label="Results">
    <header><h2>Results</h2><p>Bold: the best of a row. Regret: 0 for the best score of all these jobs at once, 1 for none better than their median.</p></header>
    <div class="wide" tabindex="0" role="region" aria-label="Results of the jobs"><table>
      <thead><tr><td></td>${items.map((job, index) => html`<th scope="col" class="figure"><a href="#/jobs/${encodeURIComponent(job.id)}">${names[index]}</a><br /><span class="muted">${job.strategy}</span> <${Badge} state=${job.state} /></th>`)}</tr></thead>
      <tbody>${rows.map(([title, read, contest, format, render]) => {
        const best = bestOf(items.map(read), contest);
        return html`<tr><th scope="row">${title}</th>${items.map((job) => html`<td class="figure ${best !== null && read(job) === best ? "strong" : ""}">${render ? (render(job) ?? "–") : format(read(job))}</td>`)}</tr>`;
      })}</tbody>
    </table></div>
  </section>`;
}
