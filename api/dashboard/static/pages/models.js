// Every model with the version that answers, and how it scored.
import { html, useState } from "../vendor/preact.js";
import { ago, bytes, number } from "../format.js";
import { Table } from "../table.js";
import { Badge, Button, Empty, Loading, Problem, useData, useTitle } from "../ui.js";
import { shares } from "./model/routes.js";
import { Import } from "./models/import.js";

export default function Page() {
  useTitle("Models");
  const { data, error, reload } = useData("/models", { query: { limit: 200 } });
  const [isImporting, setImporting] = useState(false);
  return html`<div class="stack">
    <div class="page-head"><div><h1>Models</h1><p>What the jobs have made, and what answers predictions.</p></div>
      <div class="actions"><${Button} onClick=${() => setImporting(true)}>Import an ONNX file<//><a class="button primary" href="#/start">Start a job</a></div></div>
    <${Problem} error=${error} onRetry=${reload} />
    ${!data && !error && html`<${Loading} />`}
    ${data && (data.items.length ? html`<section class="card"><${List} models=${data.items} /></section>` : html`<${None} />`)}
    ${data?.next && html`<p class="muted">Only the first ${number(data.items.length)} are shown.</p>`}
    ${isImporting && html`<${Import} onImported=${reload} onClose=${() => setImporting(false)} />`}
  </div>`;
}

const None = () => html`<${Empty} title="No model yet" action=${html`<${Button} kind="primary" onClick=${() => (location.hash = "#/start")}>Start from a table<//>`}>
  A job that succeeds registers its best network here.
<//>`;

function List({ models }) {
  const columns = [
    { key: "name", title: "Model", render: (row) => html`<a href=${`#/models/${encodeURIComponent(row.name)}`}><strong>${row.name}</strong></a>` },
    { key: "champion", title: "Champion", value: (row) => row.aliases.champion ?? 0, render: (row) => html`<${Route} model=${row} alias="champion" />` },
    { key: "aliases", title: "Other aliases", sortable: false, value: (row) => others(row).join(" "), render: (row) => (others(row).length ? others(row).map((alias) => html`<div class="row"><span class="tag">${alias}</span> <${Route} model=${row} alias=${alias} /></div>`) : "–") },
    { key: "latest_version", title: "Versions", numeric: true },
    { key: "bytes", title: "Size", numeric: true, render: (row) => bytes(row.bytes) },
    { key: "created", title: "Newest", render: (row) => ago(row.created) },
    { key: "predict", title: "Predict", sortable: false, filter: false, render: (row) => html`<a class="button" href=${`#/predict?model=${encodeURIComponent(row.name)}`} aria-label=${`Predict with ${row.name}`}>Predict</a>` },
  ];
  return html`<${Table} caption="Models" columns=${columns} rows=${models} keyOf=${(row) => row.name} filterable=${models.length > 8} filterHint="Find a model" sort=${{ key: "created", down: true }} onOpen=${(row) => (location.hash = `#/models/${encodeURIComponent(row.name)}`)} />`;
}

const others = (model) => Object.keys(model.aliases).filter((alias) => alias !== "champion");

function Route({ model, alias }) {
  const version = model.aliases[alias];
  if (version === undefined) return html`<span class="muted">none</span>`;
  const route = model.rollouts[alias];
  return html`<span>${shares(route ?? { weights: { [version]: 1 } })}${route?.shadow ? html` <${Badge} state=${`shadow: version ${route.shadow}`} /> ` : ""}</span>`;
}
