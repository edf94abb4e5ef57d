// Where the rows come from: a file, a stored dataset, or one that Luthier brings along.
import { html, useRef, useState } from "../../vendor/preact.js";
import * as api from "../../api.js";
import { ago, number } from "../../format.js";
import { Button, Field, Problem, Progress, useAction, useData } from "../../ui.js";

/** Name, what it is, and the rows of each built-in dataset; the column to predict is `target`. */
export const BUILTINS = [
  ["iris", "3 kinds of flowers", 150],
  ["wine", "3 cultivars by their chemistry", 178],
  ["breast_cancer", "benign or malignant", 569],
  ["digits", "images of 8 × 8", 1797],
  ["diabetes", "progression after a year", 442],
  ["xor", "4 rows", 4],
  ["mnist", "images of 28 × 28", 70000],
  ["fashion_mnist", "images of 28 × 28", 70000],
  ["california_housing", "house values by district", 20640],
  ["boston_housing", "house values by suburb", 506],
];
const TYPES = ".csv,.tsv,.tab,.txt,.data,.arff,.xlsx,.xls,.ods,.json,.jsonl,.ndjson,.parquet,.feather,.arrow,.npz,.gz,.bz2,.xz,.zip";

/** Calls `onSource` with a dataset as the API shows it, or {builtin, name, columns: null}. */
export function Source({ onSource }) {
  const [part, setPart] = useState(null);
  const [error, setError] = useState(null);
  const send = async (file) => {
    setError(null);
    const form = new FormData();
    form.append("file", file);
    setPart(0);
    try {
      onSource(await api.upload("/datasets", form, { onProgress: setPart }));
    } catch (failed) {
      setError(failed);
    }
    setPart(null);
  };
  return html`<section class="card stack" aria-labelledby="data-title">
    <h2 id="data-title">1. Choose the data</h2>
    <${Problem} error=${error} />
    ${part === null ? html`<${Drop} onFile=${send} label="a table" accept=${TYPES} hint="CSV, Excel, JSON, Parquet and others, compressed or not. You see what Luthier guessed about it." />` : html`<div role="status"><p>${part < 1 ? "Sending the file" : "Reading the table"}…</p><${Progress} value=${part} max=${1} label="Sent" /></div>`}
    <div class="grid three">
      <${Stored} onSource=${onSource} />
      <${Builtin} onSource=${onSource} />
    </div>
  </section>`;
}

/** A place to drop a file on, with a button for those who do not drag. */
export function Drop({ onFile, label, hint, accept }) {
  const input = useRef(null);
  const [isOver, setOver] = useState(false);
  const drop = (event) => {
    event.preventDefault();
    setOver(false);
    const file = event.dataTransfer.files[0];
    if (file) onFile(file);
  };
  const choose = (event) => {
    const file = event.target.files[0];
    event.target.value = "";
    if (file) onFile(file);
  };
  return html`<div class="drop ${isOver ? "over" : ""}" onDragOver=${(event) => { event.preventDefault(); setOver(true); }} onDragLeave=${() => setOver(false)} onDrop=${drop}>
    <p><strong>Drop ${label} here</strong> or</p>
    <input ref=${input} type="file" class="hidden" tabindex="-1" aria-label=${`File with ${label}`} accept=${accept} onChange=${choose} />
    <${Button} kind="primary" onClick=${() => input.current.click()}>Choose a file<//>
    ${hint && html`<p class="muted"><small>${hint}</small></p>`}
  </div>`;
}

function Stored({ onSource }) {
  const { data } = useData("/datasets", { query: { limit: 100 } });
  const [chosen, setChosen] = useState("");
  const found = (data?.items ?? []).filter((each) => !each.error);
  const [open, isBusy] = useAction(async () => onSource(await api.get(`/datasets/${chosen}`)));
  if (!found.length) return null;
  return html`<form class="row-field" onSubmit=${(event) => { event.preventDefault(); open(); }}>
    <${Field} label="A stored dataset">
      ${(control) => html`<select ...${control} value=${chosen} onChange=${(event) => setChosen(event.target.value)}>
        <option value="">Choose…</option>
        ${found.map((each) => html`<option value=${each.id}>${each.name || each.builtin || each.id} · ${number(each.rows)} rows · ${ago(each.created)}</option>`)}
      </select>`}
    <//>
    <${Button} type="submit" disabled=${!chosen} busy=${isBusy}>Use it<//>
  </form>`;
}

function Builtin({ onSource }) {
  const [chosen, setChosen] = useState("");
  const [open, isBusy] = useAction(async () => {
    const stored = await api.get("/datasets", { query: { limit: 100 } });
    const known = stored.items.find((each) => each.builtin === chosen && !each.error);
    const rows = BUILTINS.find(([name]) => name === chosen)[2];
    onSource({ ...(known ?? { columns: null, warnings: [], rows, name: chosen }), builtin: chosen });
  });
  return html`<form class="row-field" onSubmit=${(event) => { event.preventDefault(); open(); }}>
    <${Field} label="A built-in dataset">
      ${(control) => html`<select ...${control} value=${chosen} onChange=${(event) => setChosen(event.target.value)}>
        <option value="">Choose…</option>
        ${BUILTINS.map(([name, about, rows]) => html`<option value=${name}>${name} · ${about} · ${number(rows)} rows</option>`)}
      </select>`}
    <//>
    <${Button} type="submit" disabled=${!chosen} busy=${isBusy}>Use this<//>
  </form>`;
}
