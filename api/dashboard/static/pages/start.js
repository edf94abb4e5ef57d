// From a file to a job: its columns, what to predict, a forecast, and the start.
import { html, useCallback, useEffect, useMemo, useRef, useState } from "../vendor/preact.js";
import * as api from "../api.js";
import { plural } from "../format.js";
import { Button, Problem, useTitle } from "../ui.js";
import { Columns } from "./start/columns.js";
import { Plan, useDryRun } from "./start/plan.js";
import { EMPTY, modelName, requestOf } from "./start/request.js";
import { Settings } from "./start/settings.js";
import { Source } from "./start/source.js";

const HOW = "Luthier searches a network that predicts one of its columns, and serves the best.";

export default function Page({ params }) {
  useTitle("Start");
  const [dataset, setDataset] = useState(null);
  const [failed, setFailed] = useState(null);
  useEffect(() => {
    if (params.dataset) api.get(`/datasets/${encodeURIComponent(params.dataset)}`).then(setDataset, setFailed);
  }, [params.dataset]);
  return html`<div class="stack">
    <div class="page-head"><div><h1>Start from a table</h1><p>${HOW}</p></div></div>
    <${Problem} error=${failed} />
    ${dataset ? html`<${Chosen} first=${dataset} onAgain=${() => setDataset(null)} />` : html`<${Source} onSource=${setDataset} />`}
  </div>`;
}

function Chosen({ first, onAgain }) {
  const [dataset, setDataset] = useState(first);
  const [types, setTypes] = useState({});
  const [excluded, setExcluded] = useState(new Set());
  const [form, setForm] = useState({ ...EMPTY, target: first.builtin ? "target" : "", model: modelName(first.builtin || first.name || "") });
  const [refused, setRefused] = useState(null);
  const top = useRef(null);
  useEffect(() => top.current?.focus({ preventScroll: true }), []);

  const change = useCallback((name, text) => {
    setRefused(null);
    setForm((old) => ({ ...old, [name]: text }));
  }, []);
  const exclude = useCallback((name) => setExcluded((old) => {
    const next = new Set(old);
    if (!next.delete(name)) next.add(name);
    return next;
  }), []);
  const reread = (read, wanted) => {
    setTypes(wanted);
    setDataset(read);
  };

  const left = useMemo(() => new Set([...excluded].filter((name) => name !== form.target)), [excluded, form.target]);
  const { request, error: moreError } = useMemo(() => requestOf(dataset, form, left), [dataset, form, left]);
  const isReady = form.target && form.model.trim() && !moreError;
  const dryRun = useDryRun(isReady ? request : null);
  const error = refused ?? dryRun.error;
  return html`<div class="stack" ref=${top} tabindex="-1">
    ${dataset.columns
      ? html`<${Columns} dataset=${dataset} types=${types} target=${form.target} excluded=${excluded} onExclude=${exclude} onRead=${reread} onAgain=${onAgain} />`
      : html`<section class="card stack"><header><h2>2. ${dataset.builtin}</h2><${Button} kind="quiet" onClick=${onAgain}>Choose other data<//>
          <p>A built-in dataset of ${plural(dataset.rows, "row")}. A job loads it, and then its columns are known.</p></header></section>`}
    <${Settings} columns=${dataset.columns} form=${form} onChange=${change} errors=${error?.fields ?? {}} moreError=${moreError} />
    <${Plan} request=${isReady ? request : null} dryRun=${{ ...dryRun, error }} onFailed=${setRefused} />
  </div>`;
}
