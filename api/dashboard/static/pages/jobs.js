import { html, useEffect, useMemo, useRef, useState } from "../vendor/preact.js";
import * as api from "../api.js";
import { Spark } from "../figures/chart.js";
import { metricLabel, objectivesOf } from "../figures/scores.js";
import { ago, date, duration, number } from "../format.js";
import { Table } from "../table.js";
import { Badge, Button, Empty, Loading, Problem, Progress, useData, useTitle } from "../ui.js";

const STATES = ["queued", "running", "paused", "succeeded", "failed", "cancelled"];
const LIMIT = 20;
const EVERY = 4000; // milliseconds

const done = ({ completed, stopped, failed }) => completed + stopped + failed;

/** Best-so-far curves by job, read again only for jobs whose number of ended trials changed. */
function useCurves(items) {
  const [curves, setCurves] = useState(new Map());
  const seen = useRef(new Map());
  const mark = items?.map((job) => `${job.id}:${done(job.progress)}`).join() ?? "";
  useEffect(() => {
    const changed = (items ?? []).filter((job) => done(job.progress) >= 2 && seen.current.get(job.id) !== done(job.progress));
    // A comparison takes two jobs or more.
    const companion = (items ?? []).find((job) => job.id !== changed[0]?.id);
    const asked = changed.length === 1 && companion ? [changed[0], companion] : changed;
    if (asked.length < 2) return undefined;
    const stop = new AbortController();
    const query = { jobs: asked.map((job) => job.id).join(","), force: true };
    api.get("/compare", { query, signal: stop.signal }).then(
      (found) => {
        asked.forEach((job) => seen.current.set(job.id, done(job.progress)));
        setCurves((old) => new Map([...old, ...found.items.map((job) => [job.id, job.curve.best])]));
      },
      () => {},
    );
    return () => stop.abort();
  }, [mark]);
  return curves;
}

export default function Jobs({ params }) {
  useTitle("Jobs");
  const { state = "", tag = "", model = "", after = "" } = params;
  const [cursors, setCursors] = useState([]);
  const query = { limit: LIMIT, state, tag, model, after };
  const { data, error, loading, reload } = useData("/tune", { query, every: EVERY });
  const curves = useCurves(data?.items);
  const [chosen, setChosen] = useState(new Set());
  const isFiltered = Boolean(state || tag || model);
  const go = (change) => (location.hash = api.address("#/jobs", { state, tag, model, after: "", ...change }));
  const tags = useMemo(() => [...new Set([tag, ...(data?.items ?? []).flatMap((job) => job.tags)])].filter(Boolean).sort(), [data, tag]);

  const columns = [
    { key: "model", title: "Job", value: (job) => job.model, render: (job) => html`<${Name} job=${job} />` },
    { key: "state", title: "State", render: (job) => html`<${Badge} state=${job.state} />` },
    { key: "progress", title: "Trials", value: (job) => done(job.progress), render: (job) => html`<${Trials} job=${job} />` },
    { key: "best", title: "Best score", numeric: true, value: (job) => job.best_trial?.score, render: (job) => html`<${Best} job=${job} />` },
    { key: "spark", title: "Best so far", sortable: false, render: (job) => html`<${Spark} points=${curves.get(job.id)} label="Best score so far" />` },
    { key: "tags", title: "Tags", sortable: false, value: (job) => job.tags.join(" "), render: (job) => html`<div class="row tags">${job.tags.map((each) => html`<button type="button" class="tag" aria-pressed=${each === tag ? "true" : "false"} onClick=${() => go({ tag: each === tag ? "" : each })}>${each}</button>`)}</div>` },
    { key: "created", title: "Created", numeric: true, value: (job) => Date.parse(job.created), render: (job) => html`<span title=${date(job.created)}>${ago(job.created)}</span>` },
    { key: "seconds", title: "Searched", numeric: true, render: (job) => duration(job.seconds) },
  ];

  const older = () => {
    setCursors([...cursors, after]);
    go({ after: data.next });
  };
  const newer = () => {
    go({ after: cursors.at(-1) ?? "" });
    setCursors(cursors.slice(0, -1));
  };
  const compare = html`<${Button} disabled=${chosen.size < 2} onClick=${() => (location.hash = `#/compare?jobs=${[...chosen].join(",")}`)}>
    ${chosen.size < 2 ? "Choose two to compare" : `Compare ${chosen.size} jobs`}<//>`;

  return html`<div class="page-head">
      <div><h1>Jobs</h1><p>Every search, newest first.</p></div>
      <div class="actions"><a class="button primary" href="#/start">New job</a></div>
    </div>
    ${error && html`<${Problem} error=${error} onRetry=${reload} />`}
    ${loading && !data && html`<${Loading} />`}
    ${data && data.items.length === 0 && !isFiltered && !after
      ? html`<${Empty} title="No jobs yet" action=${html`<a class="button primary" href="#/start">Start the first one</a>`}>
          Drop a table, pick the column to predict, and Luthier tunes a network for it.<//>`
      : data && html`<div class="card">
          <${Table} caption="Jobs" columns=${columns} rows=${data.items} keyOf=${(job) => job.id} pageSize=${LIMIT} selected=${chosen} onSelect=${setChosen}
            onOpen=${(job) => (location.hash = `#/jobs/${encodeURIComponent(job.id)}`)}
            empty=${isFiltered ? "No job matches these filters." : "No older jobs."}
            tools=${html`<${Filters} state=${state} tag=${tag} model=${model} tags=${tags} onChange=${go} /><span class="grow"></span>${compare}`} />
          ${(after || data.next) && html`<nav class="pager" aria-label="Pages of jobs">
            <${Button} disabled=${!after} onClick=${newer}>Newer<//><${Button} disabled=${!data.next} onClick=${older}>Older<//>
          </nav>`}
        </div>`}`;
}

const Name = ({ job }) => html`<a class="job-name" href="#/jobs/${encodeURIComponent(job.id)}">${job.model}</a>
  <small class="muted block">${job.description ?? `${job.request?.target ?? ""} · ${job.request?.strategy?.name ?? ""}`}</small>`;

const Trials = ({ job }) => html`<span class="figure">${number(done(job.progress))} <span class="muted">of ${number(job.progress.total)}</span></span>
  ${!["succeeded", "failed", "cancelled"].includes(job.state) && html`<${Progress} value=${done(job.progress)} max=${job.progress.total} label="Trials that have ended" />`}
  ${job.progress.failed > 0 && html`<small class="error block">${number(job.progress.failed)} failed</small>`}`;

const Best = ({ job }) => html`<span>${number(job.best_trial?.score)}</span><small class="muted">${metricLabel(objectivesOf(job.request)[0].metric)}</small>`;

function Filters({ state, tag, model, tags, onChange }) {
  return html`<label class="hidden" for="filter-state">State</label>
    <select id="filter-state" class="narrow" value=${state} onChange=${(event) => onChange({ state: event.target.value })}>
      <option value="">All states</option>
      ${STATES.map((each) => html`<option value=${each} selected=${each === state}>${each}</option>`)}
    </select>
    ${tags.length > 0 && html`<label class="hidden" for="filter-tag">Tag</label>
      <select id="filter-tag" class="narrow" value=${tag} onChange=${(event) => onChange({ tag: event.target.value })}>
        <option value="">All tags</option>
        ${tags.map((each) => html`<option value=${each} selected=${each === tag}>${each}</option>`)}
      </select>`}
    ${model && html`<button type="button" class="tag" aria-pressed="true" onClick=${() => onChange({ model: "" })}>model ${model} ×</button>`}`;
}
