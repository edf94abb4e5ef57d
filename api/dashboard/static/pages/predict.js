// Predict rows with a model: one by a form, many by a file.
import { html, useState } from "../vendor/preact.js";
import * as api from "../api.js";
import { Empty, Field, Loading, Problem, useData, useTitle } from "../ui.js";
import { Batch } from "./predict/batch.js";
import { RowForm } from "./predict/form.js";

export default function Page({ params }) {
  useTitle("Predict");
  const { data, error, reload } = useData("/models", { query: { limit: 200 } });
  const names = (data?.items ?? []).map((each) => each.name);
  const model = params.model ?? names[0];
  const choose = (name, version) => (location.hash = api.address("#/predict", { model: name, version }));
  return html`<div class="stack">
    <div class="page-head"><div><h1>Predict</h1><p>With one row, or with a whole file.</p></div></div>
    <${Problem} error=${error} onRetry=${reload} />
    ${!data && !error && html`<${Loading} />`}
    ${data && !model && html`<${Empty} title="No model yet" action=${html`<a class="button primary" href="#/start">Start from a table</a>`}>A job that succeeds registers its best network as a model.<//>`}
    ${data && model && html`<${Model} names=${names.includes(model) ? names : [model, ...names]} model=${model} version=${params.version} onChoose=${choose} />`}
  </div>`;
}

function Model({ names, model, version, onChoose }) {
  const found = useData(`/models/${encodeURIComponent(model)}`);
  const data = found.data?.name === model ? found.data : null; // else that of the model before
  const chosen = data?.versions.find((each) => String(each.version) === (version ?? String(data.aliases.champion)));
  return html`<div class="stack">
    <${Choice} names=${names} model=${model} version=${version} versions=${data?.versions ?? []} onChoose=${onChoose} />
    <${Problem} error=${found.error} />
    ${!data && !found.error && html`<${Loading} />`}
    ${data && html`<${Chosen} key=${`${model} ${version}`} model=${model} version=${version} isImported=${chosen?.source === "imported"} />`}
  </div>`;
}

function Choice({ names, model, version, versions, onChoose }) {
  return html`<section class="card grid three" aria-label="Model">
    <${Field} label="Model">${(control) => html`<select ...${control} value=${model} onChange=${(event) => onChoose(event.target.value)}>
      ${names.map((name) => html`<option key=${name} value=${name} selected=${name === model}>${name}</option>`)}</select>`}<//>
    <${Field} label="Version">${(control) => html`<select ...${control} value=${version ?? ""} onChange=${(event) => onChoose(model, event.target.value)}>
      <option value="" selected=${!version}>champion</option>
      ${versions.map((each) => html`<option key=${each.version} value=${String(each.version)} selected=${String(each.version) === version}>version ${each.version}</option>`)}</select>`}<//>
  </section>`;
}

/** An imported version has no intervals, which come from the calibration on rows of its own. */
function Chosen({ model, version, isImported }) {
  const { data: schema, error } = useData(`/models/${encodeURIComponent(model)}/schema`, { query: { version } });
  const [level, setLevel] = useState(isImported ? "" : "0.9");
  if (error) return html`<${Problem} error=${error} />`;
  if (!schema) return html`<${Loading} what="Loading its columns" />`;
  const number = version ? Number(version) : undefined;
  return html`<div class="stack">
    <${RowForm} model=${model} version=${number} schema=${schema} isImported=${isImported} level=${level} onLevel=${setLevel} />
    <${Batch} model=${model} version=${number} />
  </div>`;
}
