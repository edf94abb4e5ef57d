// What the versions of a model do: traffic, latency, live score, drift by column. And the moves of an alias.
import { html, useState } from "../../vendor/preact.js";
import { date, number, percent } from "../../format.js";
import { Table } from "../../table.js";
import { Badge, Field, Loading, Problem, useData } from "../../ui.js";
import { aliasPath, shares } from "./routes.js";

const TIMES = [["1", "the last hour"], ["24", "the last day"], ["168", "the last week"], ["720", "the last 30 days"]];

export function Monitor({ model }) {
  const [hours, setHours] = useState("24");
  const { data, error } = useData(`/models/${encodeURIComponent(model)}/monitor`, { query: { hours }, every: 10_000 });
  const tone = !data ? "calm" : data.verdict === "no drift" ? "good" : data.verdict.startsWith("drift") ? "bad" : "calm";
  return html`<section class="card stack" aria-labelledby="monitor-title">
    <header><h2 id="monitor-title">Monitor</h2>${data && html`<${Badge} state=${data.verdict} tone=${tone} />`}</header>
    <div class="short"><${Field} label="Time">${(control) => html`<select ...${control} value=${hours} onChange=${(event) => setHours(event.target.value)}>${TIMES.map(([value, title]) => html`<option value=${value} selected=${value === hours}>${title}</option>`)}</select>`}<//></div>
    <${Problem} error=${error} />
    ${!data && !error && html`<${Loading} />`}
    ${data && html`<${Traffic} versions=${data.versions} />`}
    ${(data?.versions ?? []).filter((each) => each.drift?.columns?.length).slice(0, 1).map((each) => html`<${Drift} version=${each} />`)}
  </section>`;
}

function Traffic({ versions }) {
  const columns = [
    { key: "version", title: "Version", render: (row) => html`${row.version} ${row.aliases.map((alias) => html`<${Badge} state=${alias} tone=${alias === "champion" ? "good" : "calm"} /> `)}` },
    { key: "requests", title: "Requests", numeric: true },
    { key: "rows", title: "Rows", numeric: true },
    { key: "rate", title: "per second", numeric: true },
    { key: "p50", title: "p50, ms", numeric: true, value: (row) => row.latency_ms?.p50 },
    { key: "p99", title: "p99, ms", numeric: true, value: (row) => row.latency_ms?.p99 },
    { key: "error_rate", title: "Errors", numeric: true, render: (row) => percent(row.error_rate, 1) },
    { key: "live", title: "Live score", sortable: false, value: (row) => row.live_score?.rows ?? 0, render: (row) => html`<${Live} version=${row} />` },
  ];
  return html`<${Table} caption="Traffic by version" columns=${columns} rows=${versions} keyOf=${(row) => row.version} empty="No predictions in this time." />`;
}

function Live({ version }) {
  const live = version.live_score;
  if (!live?.metrics) return html`<small class="muted">${live?.note ?? "no true values were sent"}</small>`;
  const name = ["rmse", "accuracy", "auc", "mae"].find((each) => each in live.metrics) ?? Object.keys(live.metrics)[0];
  const test = version.test_score?.[name];
  return html`<span>${name} ${number(live.metrics[name])} <small class="muted">${number(live.rows)} rows${test === undefined ? "" : `, test ${number(test)}`}</small></span>`;
}

function Drift({ version }) {
  const columns = [
    { key: "column", title: "Column" },
    { key: "verdict", title: "Verdict", render: (row) => html`<${Badge} state=${row.verdict} tone=${row.verdict === "drift" ? "bad" : row.verdict === "no drift" ? "good" : "calm"} />` },
    { key: "psi", title: "Stability index", numeric: true, render: (row) => (row.psi === null ? "–" : html`${number(row.psi, 3)}<small class="muted">limit ${number(row.limit, 3)}</small>`) },
    { key: "missing", title: "Missing", numeric: true, render: (row) => html`${percent(row.missing, 1)}<small class="muted">${percent(row.missing_in_training, 1)} in training</small>` },
    { key: "unseen", title: "Unknown", numeric: true, render: (row) => percent(row.unseen, 1) },
    { key: "out_of_range", title: "Out of range", numeric: true, render: (row) => percent(row.out_of_range, 1) },
  ];
  return html`<div class="stack"><h3>Drift of version ${version.version}, ${number(version.drift.rows)} rows</h3>
    <${Table} caption="Drift by column" columns=${columns} rows=${version.drift.columns} keyOf=${(row) => row.column} sort=${{ key: "psi", down: true }} pageSize=${12} /></div>`;
}

export function History({ model, aliases }) {
  const names = Object.keys(aliases).includes("champion") ? Object.keys(aliases) : ["champion", ...Object.keys(aliases)];
  const [alias, setAlias] = useState("champion");
  const { data, error } = useData(`${aliasPath(model, alias)}/history`, { query: { limit: 100 } });
  const columns = [
    { key: "id", title: "When", render: (row) => date(row.time) },
    { key: "to", title: "Move", render: (row) => moveText(row) },
    { key: "by", title: "By", render: (row) => html`${row.by ?? "–"}${row.job && html` <a href=${`#/jobs/${row.job}`}>job</a>`}` },
    { key: "reason", title: "Reason", render: (row) => html`<span class="reason">${row.reason || row.promotion?.reason || "–"}</span>` },
  ];
  return html`<section class="card stack" aria-labelledby="history-title">
    <header><h2 id="history-title">History</h2></header>
    ${names.length > 1 && html`<div class="short"><${Field} label="Alias">${(control) => html`<select ...${control} value=${alias} onChange=${(event) => setAlias(event.target.value)}>${names.map((each) => html`<option value=${each} selected=${each === alias}>${each}</option>`)}</select>`}<//></div>`}
    <${Problem} error=${error} />
    ${data && html`<${Table} caption=${`Moves of ${alias}`} columns=${columns} rows=${data.items} keyOf=${(row) => row.id} pageSize=${10} empty="It has not moved." />`}
  </section>`;
}

function moveText(move) {
  const to = move.to === null ? "removed" : shares({ version: move.to, weights: move.weights ?? undefined });
  return `${move.from === null ? "" : `version ${move.from} → `}${to}${move.shadow ? `, shadow ${move.shadow}` : ""}`;
}
