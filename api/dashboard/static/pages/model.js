// One model: its aliases, versions, settings, history and monitor.
import { html, useState } from "../vendor/preact.js";
import * as api from "../api.js";
import { bytes, plural } from "../format.js";
import { Button, Confirm, Field, Loading, Problem, toast, useData, useTitle } from "../ui.js";
import { History, Monitor } from "./model/monitor.js";
import { Aliases } from "./model/routes.js";
import { Settings } from "./model/settings.js";
import { Versions } from "./model/versions.js";
import { Import } from "./models/import.js";

export default function Page({ params }) {
  useTitle(params.model);
  const path = `/models/${encodeURIComponent(params.model)}`;
  const { data, error, reload } = useData(path);
  const [moves, setMoves] = useState(0);
  const [asked, setAsked] = useState(null);
  const changed = () => {
    reload();
    setMoves((old) => old + 1);
  };
  if (error && !data) return html`<h1>${params.model}</h1><${Problem} error=${error} onRetry=${reload} />`;
  if (!data) return html`<h1>${params.model}</h1><${Loading} />`;
  return html`<div class="stack">
    <div class="page-head">
      <div><p class="crumbs"><a href="#/models">Models</a></p><h1>${data.name}</h1>
        <p>${plural(data.versions.length, "version")}, ${bytes(data.bytes)}</p></div>
      <div class="actions">
        <a class="button primary" href=${`#/predict?model=${encodeURIComponent(data.name)}`}>Predict</a>
        <${Button} onClick=${() => setAsked("rollback")} disabled=${data.aliases.champion === undefined || data.versions.length < 2}>Roll back<//>
        <${Button} onClick=${() => setAsked("import")}>Import<//>
        <${Button} kind="danger" onClick=${() => setAsked("delete")}>Delete<//>
      </div>
    </div>
    <${Aliases} model=${data} onChange=${changed} />
    <${Versions} model=${data} onChange=${changed} />
    <${Settings} model=${data} onChange=${reload} />
    <${Monitor} model=${data.name} />
    <${History} key=${moves} model=${data.name} aliases=${data.aliases} />
    ${asked === "rollback" && html`<${RollBack} model=${data} onChange=${changed} onClose=${() => setAsked(null)} />`}
    ${asked === "import" && html`<${Import} model=${data.name} onImported=${changed} onClose=${() => setAsked(null)} />`}
    ${asked === "delete" && html`<${Confirm} title=${`Delete ${data.name}?`} yes="Delete" onClose=${() => setAsked(null)} onYes=${async () => { await api.del(path); location.hash = "#/models"; }}>
      <p>All its versions, files and aliases are removed. Predictions with it are refused. This cannot be undone.</p><//>`}
  </div>`;
}

function RollBack({ model, onChange, onClose }) {
  const [reason, setReason] = useState("");
  const now = model.aliases.champion;
  const go = async () => {
    const after = await api.post(`/models/${encodeURIComponent(model.name)}/rollback`, { from: now, ...(reason.trim() ? { reason: reason.trim() } : {}) });
    toast(`The champion is version ${after.aliases.champion} again.`);
    onChange();
  };
  return html`<${Confirm} title="Roll back?" yes="Roll back" kind="primary" onYes=${go} onClose=${onClose}>
    <div class="stack">
      <p>The champion goes back from version ${now} to what answered before. Nothing is deleted.</p>
      <${Field} label="Reason" hint="For the history.">${(control) => html`<input ...${control} maxlength="2000" value=${reason} onInput=${(event) => setReason(event.target.value)} />`}<//>
    </div>
  <//>`;
}
