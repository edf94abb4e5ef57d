// The trials of a job as a table, and one of them in a dialog.
import { html, useMemo, useState } from "../../vendor/preact.js";
import * as api from "../../api.js";
import { metricLabel, objectivesOf, scored } from "../../figures/scores.js";
import { bytes, duration, number, value } from "../../format.js";
import { isFinal } from "../../live.js";
import { Table } from "../../table.js";
import { Badge, Button, Dialog, Loading, Notice, Problem, toast, useAction, useData } from "../../ui.js";

const MAX_LEADERS = 10;
const MAX_VALUES = 14; // columns of hyperparameters

const stateOf = (trial, epochs) => {
  const epoch = trial.state === "running" ? epochs.get(trial.number) : null;
  return html`<${Badge} state=${trial.state} />${epoch ? html` <small class="muted">epoch ${number(epoch)}</small>` : ""}`;
};

/** Hyperparameters that differ between trials; all, of a single one. */
function varying(trials) {
  const names = [...new Set(trials.flatMap((trial) => Object.keys(trial.values)))];
  const differs = (name) => trials.length < 2 || new Set(trials.map((trial) => JSON.stringify(trial.values[name]))).size > 1;
  return names.filter(differs).slice(0, MAX_VALUES);
}

export function TrialsTable({ job, trials, epochs, chosen, onChoose }) {
  const [open, setOpen] = useState(null);
  const objectives = objectivesOf(job.request);
  const names = useMemo(() => varying(trials), [trials.length, trials[0]?.number]);
  const best = new Set(job.front?.length ? job.front : [job.chosen_trial ?? job.best_trial?.number]);
  const columns = [
    { key: "number", title: "Trial", numeric: true, render: (trial) => html`<button type="button" class="link" onClick=${() => setOpen(trial.number)}>${trial.number}</button>` },
    { key: "state", title: "State", render: (trial) => stateOf(trial, epochs) },
    ...(objectives.length > 1
      ? objectives.map(({ metric }) => ({ key: metric, title: metricLabel(metric), numeric: true, value: (trial) => trial.scores?.[metric] }))
      : [{ key: "score", title: metricLabel(objectives[0].metric), numeric: true, render: (trial) => html`<span>${number(trial.score)}</span>${trial.fits === false ? html`<small class="error">breaks a constraint</small>` : ""}` }]),
    { key: "overfit_gap", title: "Overfit gap", numeric: true, render: (trial) => html`<span class=${trial.overfit ? "error" : ""}>${number(trial.overfit_gap, 3)}</span>` },
    { key: "epochs_trained", title: "Epochs", numeric: true },
    { key: "seconds", title: "Time", numeric: true, render: (trial) => duration(trial.seconds) },
    ...names.map((name) => ({ key: `value:${name}`, title: name, numeric: typeof trials.find((trial) => name in trial.values)?.values[name] === "number", value: (trial) => trial.values[name], render: (trial) => value(trial.values[name]) })),
  ];
  return html`<section class="card" aria-label="Trials">
    <header><h2>Trials</h2><p>Filter by words or by values, such as <code>optimizer=adam units>64 completed</code>.</p></header>
    <${Table} caption="Trials" columns=${columns} rows=${trials} keyOf=${(trial) => trial.number} filterable=${true} filterHint="Filter trials" sort=${{ key: "number", down: true }}
      selected=${chosen} onSelect=${onChoose} rowClass=${(trial) => (best.has(trial.number) ? "best" : "")} empty="No trial has been proposed yet."
      tools=${chosen.size > 0 && html`<${Button} kind="quiet" onClick=${() => onChoose(new Set())}>Choose none (${chosen.size})<//>`} />
    ${open !== null && html`<${Trial} job=${job} number=${open} onClose=${() => setOpen(null)} />`}
  </section>`;
}

/** The best trials, for a report. */
export function Leaders({ job, trials }) {
  const [first] = objectivesOf(job.request);
  const sign = first.direction === "max" ? -1 : 1;
  const best = useMemo(() => scored(trials, false).sort((a, b) => sign * (a.score - b.score)).slice(0, MAX_LEADERS), [trials]);
  const columns = [
    { key: "number", title: "Trial", numeric: true },
    { key: "score", title: metricLabel(first.metric), numeric: true },
    { key: "spread", title: "Spread", numeric: true },
    { key: "epochs_trained", title: "Epochs", numeric: true },
    { key: "parameters", title: "Parameters", numeric: true },
    { key: "seconds", title: "Time", numeric: true, render: (trial) => duration(trial.seconds) },
    { key: "values", title: "Values", sortable: false, render: (trial) => Object.entries(trial.values).map(([name, each]) => `${name} ${value(each)}`).join(", ") },
  ];
  return html`<section class="card" aria-label="Best trials">
    <header><h2>Best trials</h2><p>${number(best.length)} of ${number(trials.length)}</p></header>
    <${Table} caption="Best trials" columns=${columns} rows=${best} keyOf=${(trial) => trial.number} empty="No trial has a score." />
  </section>`;
}

function Trial({ job, number: which, onClose }) {
  const path = `/tune/${encodeURIComponent(job.id)}`;
  const { data: trial, error } = useData(`${path}/trials/${which}`);
  const [build, busy] = useAction(async () => {
    await api.post(`${path}/finish`, { trial: which });
    toast(`A version of trial ${which} is being made.`);
    onClose();
  });
  return html`<${Dialog} title=${`Trial ${which}`} onClose=${onClose}
    actions=${trial && isFinal(job) && trial.score !== null && html`<${Button} busy=${busy} onClick=${build}>Make a version of this trial<//>`}>
    <${Problem} error=${error} />
    ${!trial && !error && html`<${Loading} />`}
    ${trial && html`<div class="stack">
      <div class="row"><${Badge} state=${trial.state} />${trial.reused_from && html`<span class="muted">Its result was taken from trial ${trial.reused_from.trial} of ${trial.reused_from.job === job.id ? "this job" : trial.reused_from.job}.</span>`}</div>
      ${trial.failure && html`<${Notice} kind="bad"><strong>${trial.failure.kind.replaceAll("_", " ")}</strong><pre>${trial.failure.message}</pre><//>`}
      <dl class="pairs">
        ${Object.entries(trial.values).map(([name, each]) => html`<dt>${name}</dt><dd>${value(each)}</dd>`)}
      </dl>
      ${trial.metrics && html`<h3>Validation</h3><dl class="pairs">${Object.entries(trial.metrics).map(([name, each]) => html`<dt>${metricLabel(name)}</dt><dd>${number(each)}</dd>`)}</dl>`}
      <dl class="pairs">
        <dt>Parameters</dt><dd>${number(trial.parameters)}</dd>
        <dt>Epochs</dt><dd>${number(trial.epochs_trained)} of ${number(trial.epochs)}${trial.best_epoch ? `, best ${number(trial.best_epoch)}` : ""}</dd>
        <dt>Time</dt><dd>${duration(trial.seconds)}${trial.trainer ? `, trained by ${trial.trainer}` : ""}</dd>
        <dt>Memory</dt><dd>${bytes(trial.memory_bytes)}</dd>
      </dl>
    </div>`}
  <//>`;
}
