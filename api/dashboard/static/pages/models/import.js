// A dialog that makes a version of an ONNX file, of a new model or one that is there.
import { html, useState } from "../../vendor/preact.js";
import * as api from "../../api.js";
import { bytes, plural } from "../../format.js";
import { Table } from "../../table.js";
import { Button, Dialog, Field, Notice, Problem, Progress, useAction } from "../../ui.js";
import { modelName, whole } from "../start/request.js";
import { Drop } from "../start/source.js";

const TASKS = [["", "as the graph says"], ["regression", "regression"], ["binary", "binary"], ["multiclass", "multiclass"]];
const SHOWN = ["file", "model", "request.target", "request.task", "request.classes", "request.columns", "request.output", "request.description"];
const lines = (text) => text.split("\n").map((each) => each.trim()).filter(Boolean);

/** What the fields say beside the graph; classes are numbers if all of them are. */
function requestOf(form) {
  const classes = lines(form.classes);
  const isNumbered = classes.every((each) => typeof whole(each) === "number");
  const known = {
    task: form.task, target: form.target.trim(), output: form.output.trim(), description: form.description.trim(),
    columns: lines(form.columns), classes: isNumbered ? classes.map(whole) : classes,
  };
  return Object.fromEntries(Object.entries(known).filter(([, each]) => each.length));
}

/** `model` is that of the page, or "" for any; `onImported` is called once a version is made. */
export function Import({ model = "", onImported, onClose }) {
  const [made, setMade] = useState(null);
  const done = (version) => {
    setMade(version);
    onImported();
  };
  return html`<${Dialog} title="Import an ONNX file" onClose=${onClose}>
    ${!made && html`<${Form} first=${model} onMade=${done} />`}
    <div aria-live="polite">${made && html`<${Made} ...${made} onClose=${onClose} />`}</div>
  <//>`;
}

function Form({ first, onMade }) {
  const [file, setFile] = useState(null);
  const [model, setModel] = useState(first);
  const [form, setForm] = useState({ task: "", target: "", classes: "", columns: "", output: "", description: "" });
  const [isOpen, setOpen] = useState(false);
  const [part, setPart] = useState(null);
  const [failed, setFailed] = useState(null);
  const [send, isBusy] = useAction(async () => {
    setFailed(null);
    setPart(0);
    const body = new FormData();
    body.append("file", file);
    body.append("request", JSON.stringify(requestOf(form)));
    const name = model.trim();
    onMade({ model: name, version: await api.upload(`/models/${encodeURIComponent(name)}/versions`, body, { onProgress: setPart }) });
  }, (error) => {
    setPart(null);
    setFailed(error);
  });
  const choose = (chosen) => {
    setFile(chosen);
    setFailed(null);
    if (!model.trim()) setModel(modelName(chosen.name));
  };
  // The API tells of one class or column by its index.
  const within = (path) => Object.entries(failed?.fields ?? {}).filter(([name]) => name === path || name.startsWith(`${path}.`));
  const errors = (path) => within(path).flatMap(([, texts]) => texts);
  const field = (name, label, hint, control) => html`<${Field} label=${label} hint=${hint} errors=${errors(`request.${name}`)}>
    ${(more) => control({ ...more, value: form[name], onInput: (event) => setForm({ ...form, [name]: event.target.value }) })}
  <//>`;
  const input = (more) => html`<input ...${more} />`;
  const area = (more) => html`<textarea ...${more} class="low" spellcheck=${false}></textarea>`;
  return html`<form class="stack" onSubmit=${(event) => { event.preventDefault(); send(); }}>
    <${Problem} error=${failed} shown=${SHOWN.flatMap(within).map(([path]) => path)} />
    <${Drop} onFile=${choose} label="an ONNX file" accept=".onnx" hint=${file ? html`<strong>${file.name}</strong>, ${bytes(file.size)}` : "A whole model in one file. It is run on rows before it becomes a version."} />
    <${Field} label="Model" hint="A new name, or one that gets another version." errors=${errors("model")}>
      ${(control) => html`<input ...${control} required value=${model} onInput=${(event) => setModel(event.target.value)} />`}
    <//>
    <details open=${isOpen || errors("request").length > 0} onToggle=${(event) => setOpen(event.target.open)}><summary>What the graph does not say</summary>
      <div class="cells settings-more">
        ${field("target", "What it predicts", "The name of the target.", input)}
        ${field("task", "Task", null, (more) => html`<select ...${more}>${TASKS.map(([value, title]) => html`<option value=${value} selected=${value === form.task}>${title}</option>`)}</select>`)}
        ${field("columns", "Columns", "Of a matrix, one a line, in its order.", area)}
        ${field("classes", "Classes", "One a line, in the order of the probabilities.", area)}
        ${field("output", "Output", "That answers, if there are several.", input)}
        ${field("description", "Description", null, input)}
      </div>
    </details>
    ${part !== null && html`<div role="status"><p>${part < 1 ? "Sending the file" : "Running the graph"}…</p><${Progress} value=${part} max=${1} label="Sent" /></div>`}
    <p class="actions row end"><${Button} type="submit" kind="primary" disabled=${!file || !model.trim()} busy=${isBusy}>Import<//></p>
  </form>`;
}

function Made({ model, version, onClose }) {
  const { signature } = version;
  const columns = [{ key: "name", title: "Column" }, { key: "type", title: "Type" }];
  return html`<div class="stack">
    <${Notice}><p><strong>${model}</strong> has version ${version.version}, without evidence.</p><p>${version.promotion?.reason}</p><//>
    <dl class="pairs">
      <dt>Task</dt><dd>${version.task}, of ${signature.target}</dd>
      ${signature.classes && html`<dt>Classes</dt><dd>${signature.classes.join(", ")}</dd>`}
    </dl>
    <h3>${plural(signature.columns.length, "column")}</h3>
    <${Table} caption="Columns of the graph" columns=${columns} rows=${signature.columns} keyOf=${(row) => row.name} pageSize=${8} />
    <p class="actions row end">
      <a class="button" href=${`#/models/${encodeURIComponent(model)}`} onClick=${onClose}>Show the model</a>
      <a class="button primary" href=${`#/predict?model=${encodeURIComponent(model)}&version=${version.version}`}>Predict</a>
    </p>
  </div>`;
}
