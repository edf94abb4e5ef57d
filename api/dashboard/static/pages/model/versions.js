// The versions of a model: scores with intervals beside a baseline, evidence, files.
import { html, useMemo, useState } from "../../vendor/preact.js";
import * as api from "../../api.js";
import { Figure } from "../../figures/chart.js";
import { columnsFigure } from "../../figures/columns.js";
import { metricLabel } from "../../figures/scores.js";
import { ago, bytes, number, percent } from "../../format.js";
import { Scores } from "../../scores.js";
import { Table } from "../../table.js";
import { Badge, Button, Confirm, Dialog, Field, Interval, Loading, Notice, Problem, toast, useData } from "../../ui.js";
import { aliasPath } from "./routes.js";

const TREES = { true: ["better than trees", "good"], false: ["worse than trees", "warn"], undecided: ["as good as trees", "calm"] };

export function Versions({ model, onChange }) {
  const [opened, setOpened] = useState(model.aliases.champion ?? model.versions[0]?.version ?? null);
  const [promoted, setPromoted] = useState(null);
  const [removed, setRemoved] = useState(null);
  const metrics = metricsOf(model.versions);
  const aliasesOf = (version) => Object.entries(model.aliases).filter(([alias, main]) => main === version || Object.keys(model.rollouts[alias]?.weights ?? {}).includes(String(version))).map(([alias]) => alias);
  const columns = [
    { key: "version", title: "Version", render: (row) => html`<span class="row"><button type="button" class="button" aria-expanded=${row.version === opened ? "true" : "false"} onClick=${() => setOpened(row.version === opened ? null : row.version)}>Version ${row.version}</button>${aliasesOf(row.version).map((alias) => html`<${Badge} state=${alias} tone=${alias === "champion" ? "good" : "calm"} />`)}</span>` },
    ...metrics.map((name) => ({
      key: name, title: metricLabel(name), numeric: true, value: (row) => row.metrics?.[name],
      render: (row) => (row.metrics ? html`<${Interval} value=${row.metrics[name]} bounds=${row.intervals?.[name]} />` : "–"),
    })),
    { key: "trees", title: "Evidence", sortable: false, value: (row) => row.conclusion ?? "", render: (row) => html`<${Trees} found=${row} />` },
    { key: "created", title: "Made", render: (row) => html`${ago(row.created)}${row.job && html`<br /><a href=${`#/jobs/${row.job}`}>its job</a>`}` },
    { key: "does", title: "Actions", sortable: false, filter: false, render: (row) => html`<span class="actions">
      ${model.aliases.champion !== row.version && html`<${Button} onClick=${() => setPromoted(row.version)} aria-label=${`Promote version ${row.version}`}>Promote<//>`}
      <a class="button" href=${`#/predict?model=${encodeURIComponent(model.name)}&version=${row.version}`} aria-label=${`Predict with version ${row.version}`}>Predict</a>
      ${!aliasesOf(row.version).length && html`<${Button} kind="quiet" onClick=${() => setRemoved(row.version)} aria-label=${`Delete version ${row.version}`}>Delete<//>`}
    </span>` },
  ];
  return html`<section class="card stack" aria-labelledby="versions-title">
    <header><h2 id="versions-title">Versions</h2><p>Scores are those of test rows that no trial saw, with 95 % intervals.</p></header>
    <${Table} caption="Versions and their scores" columns=${columns} rows=${model.versions} keyOf=${(row) => row.version} sort=${{ key: "version", down: true }} pageSize=${10} />
    ${opened !== null && html`<${Detail} key=${opened} model=${model.name} version=${opened} />`}
    ${promoted !== null && html`<${Promote} model=${model} version=${promoted} onChange=${onChange} onClose=${() => setPromoted(null)} />`}
    ${removed !== null && html`<${Confirm} title=${`Delete version ${removed}?`} yes="Delete" onClose=${() => setRemoved(null)} onYes=${async () => { await api.del(`/models/${encodeURIComponent(model.name)}/versions/${removed}`); setOpened(null); onChange(); }}><p>Its files are removed. Its number is not used again.</p><//>`}
  </section>`;
}

/** At most three metrics that say most, of those that the versions have. */
function metricsOf(versions) {
  const names = new Set(versions.flatMap((each) => Object.keys(each.metrics ?? {})));
  return ["rmse", "r2", "accuracy", "auc", "f1", "mae", "log_loss", "loss"].filter((name) => names.has(name)).slice(0, 3);
}

function Trees({ found }) {
  if (found.unreadable) return html`<span class="error">${found.unreadable}</span>`;
  const [text, tone] = TREES[String(found.better_than_trees)] ?? [found.source === "imported" ? "imported" : "not compared", "calm"];
  return html`<span title=${found.conclusion ?? ""}><${Badge} state=${text} tone=${tone} /></span>`;
}

function Promote({ model, version, onChange, onClose }) {
  const [reason, setReason] = useState("");
  const now = model.aliases.champion;
  const promote = async () => {
    const tag = now === undefined ? null : (await api.request("GET", aliasPath(model.name, "champion"))).headers.get("ETag");
    await api.put(aliasPath(model.name, "champion"), { version, ...(reason.trim() ? { reason: reason.trim() } : {}) }, { headers: tag ? { "If-Match": tag } : {} });
    toast(`Version ${version} is the champion.`);
    onChange();
  };
  return html`<${Confirm} title=${`Promote version ${version}?`} yes="Promote" kind="primary" onYes=${promote} onClose=${onClose}>
    <div class="stack">
      <p>It answers all predictions that name no other version${now === undefined ? "" : `, in place of version ${now}`}. You can roll back.</p>
      <${Field} label="Reason" hint="For the history.">${(control) => html`<input ...${control} maxlength="2000" value=${reason} onInput=${(event) => setReason(event.target.value)} />`}<//>
    </div>
  <//>`;
}

function Detail({ model, version }) {
  const { data, error } = useData(`/models/${encodeURIComponent(model)}/versions/${version}`);
  const importance = useMemo(() => data && columnsFigure(data.column_importance), [data]);
  const [shown, setShown] = useState(false);
  if (error) return html`<${Problem} error=${error} />`;
  if (!data) return html`<${Loading} what=${`Loading version ${version}`} />`;
  return html`<div class="stack">
    <h3>Version ${version}</h3>
    ${data.conclusion && html`<${Notice} kind=${data.better_than_trees === false ? "warn" : "info"}><p>${data.conclusion}</p>${data.promotion?.reason && html`<p>${data.promotion.reason}</p>`}<//>`}
    <${Scores} version=${data} />
    <dl class="pairs">
        <dt>Task</dt><dd>${data.task}${data.signature.target ? `, of ${data.signature.target.name ?? data.signature.target}` : ""}</dd>
        <dt>Parameters</dt><dd>${number(data.parameters)}</dd>
        ${data.optimism && html`<dt>Search score</dt><dd>${number(data.optimism.search)}, on the test ${number(data.optimism.test)}</dd>`}
        ${data.calibration?.test && html`<dt>Calibration error</dt><dd>${number(data.calibration.test.ece)}</dd>`}
        ${(data.coverage ?? []).map((each) => html`<dt>Intervals of ${percent(each.level)}</dt><dd>hold ${percent(each.coverage, 1)} of the test rows; mean size ${number(each.size)}</dd>`)}
        ${data.created_by && html`<dt>Made by</dt><dd>${data.created_by}</dd>`}
    </dl>
    ${data.column_importance && html`<${Figure} title="What the answers depend on" note=${data.column_importance.note} figure=${importance} />`}
    <${Files} model=${model} version=${version} files=${data.files} />
    ${data.summary && html`<p><${Button} onClick=${() => setShown(true)}>Layers<//></p>`}
    ${shown && html`<${Dialog} title=${`Layers of version ${version}`} onClose=${() => setShown(false)}><pre class="wide" tabindex="0">${data.summary}</pre><//>`}
  </div>`;
}

function Files({ model, version, files }) {
  const path = (name) => `/models/${encodeURIComponent(model)}/versions/${version}/artifacts/${encodeURIComponent(name)}`;
  return html`<div><h3 id="files-title">Files</h3>
    <p class="actions">${Object.entries(files).map(([name, file]) => html`<${Button} title=${`SHA-256 ${file.sha256}`} onClick=${() => api.download(path(name), name).catch((error) => toast(error.message, "bad"))}>${name} <small class="muted">${bytes(file.bytes)}</small><//>`)}</p>
  </div>`;
}
