// A whole file: pasted or dropped, predicted by a batch, downloaded with its columns and the predictions.
import { html, useEffect, useRef, useState } from "../../vendor/preact.js";
import * as api from "../../api.js";
import { number, plural } from "../../format.js";
import { Button, Field, Notice, Problem, Progress, toast, useAction } from "../../ui.js";
import { Drop } from "../start/source.js";
import { LEVELS } from "./form.js";

const EVERY = 700; // ms between questions about the batch
const OPEN = new Set(["queued", "running"]);

export function Batch({ model, version }) {
  const [level, setLevel] = useState("");
  const [pasted, setPasted] = useState("");
  const [batch, setBatch] = useState(null);
  const [failed, setFailed] = useState(null);
  const name = useRef("predictions");
  useFollowed(batch, setBatch, setFailed);
  const [send, isSending] = useAction(async (file) => {
    setFailed(null);
    setBatch(null);
    name.current = `${file.name.replace(/\.[^.]+$/, "")}-predicted.csv`;
    const form = new FormData();
    form.append("file", file);
    form.append("keep", "all");
    if (version) form.append("version", String(version));
    if (level) form.append("interval", level);
    setBatch(await api.upload(`/models/${encodeURIComponent(model)}/batch`, form));
  }, setFailed);
  const paste = (event) => {
    event.preventDefault();
    send(new File([pasted], "rows.csv", { type: "text/csv" }));
  };
  const isBusy = isSending || (batch && OPEN.has(batch.state));
  return html`<section class="card stack" aria-labelledby="file-title">
    <header><h2 id="file-title">A whole file</h2><p>You get it back as CSV with all its columns and the predictions. It may have more columns than the model takes.</p></header>
    <div class="grid">
      <${Drop} onFile=${send} label="a table" hint="CSV, Excel, JSON, Parquet and others." />
      <form class="stack" onSubmit=${paste}>
        <${Field} label="Or paste rows with a header">
          ${(control) => html`<textarea ...${control} spellcheck="false" value=${pasted} onInput=${(event) => setPasted(event.target.value)} />`}
        <//>
        <div class="row-field">
          <${Field} label="Interval of the file">
            ${(control) => html`<select ...${control} value=${level} onChange=${(event) => setLevel(event.target.value)}>${LEVELS.map(([value, title]) => html`<option key=${value} value=${value} selected=${value === level}>${title}</option>`)}</select>`}
          <//>
          <${Button} type="submit" disabled=${!pasted.trim()} busy=${isBusy}>Predict these rows<//>
        </div>
      </form>
    </div>
    <${Problem} error=${failed} />
    <div aria-live="polite">${batch && html`<${Result} batch=${batch} name=${name.current} />`}</div>
  </section>`;
}

/** Ask for the state of a batch until it has ended. */
function useFollowed(batch, setBatch, setFailed) {
  const id = batch && OPEN.has(batch.state) ? batch.id : null;
  useEffect(() => {
    if (!id) return undefined;
    let isOver = false;
    const ask = async () => {
      try {
        const found = await api.get(`/batches/${id}`);
        if (isOver) return;
        setBatch(found);
        if (OPEN.has(found.state)) setTimeout(ask, EVERY);
      } catch (error) {
        if (!isOver) setFailed(error);
      }
    };
    const timer = setTimeout(ask, EVERY);
    return () => {
      isOver = true;
      clearTimeout(timer);
    };
  }, [id]);
}

function Result({ batch, name }) {
  const fetchFile = () => api.download(`/batches/${batch.id}/file`, name).catch((error) => toast(error.message, "bad"));
  if (OPEN.has(batch.state)) return html`<div><p>${number(batch.rows_done)} of ${plural(batch.rows, "row")} predicted…</p><${Progress} value=${batch.rows_done} max=${batch.rows} label="Rows predicted" /></div>`;
  if (batch.state !== "succeeded") return html`<${Notice} kind="bad"><p>The batch ${batch.state === "failed" ? "failed" : "was cancelled"}. ${batch.error ?? ""}</p><//>`;
  return html`<${Notice} kind=${batch.rows_failed ? "warn" : "info"}>
    <p>${plural(batch.rows, "row")} predicted by version ${batch.version}.${batch.rows_failed ? ` ${plural(batch.rows_failed, "row")} without an answer; the column “error” says why.` : ""}</p>
    <p><${Button} kind="primary" onClick=${fetchFile}>Download ${name}<//></p>
  <//>`;
}
