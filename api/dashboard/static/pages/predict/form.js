// A form for one row, made from the schema of a version, with a row of its training data filled in.
import { html, useState } from "../../vendor/preact.js";
import * as api from "../../api.js";
import { number, percent } from "../../format.js";
import { Button, Code, Field, Problem, useAction } from "../../ui.js";

export const LEVELS = [["", "none"], ["0.8", "80 %"], ["0.9", "90 %"], ["0.95", "95 %"], ["0.99", "99 %"]];

export function RowForm({ model, version, schema, isImported, level, onLevel }) {
  const names = schema.required;
  const sample = schema.examples?.[0] ?? {};
  const [cells, setCells] = useState(() => Object.fromEntries(names.map((name) => [name, textOf(sample[name])])));
  const [answer, setAnswer] = useState(null);
  const [failed, setFailed] = useState(null);
  const body = () => ({
    model, ...(version ? { version } : {}), ...(level ? { interval: Number(level) } : {}),
    instances: [Object.fromEntries(names.map((name) => [name, cellOf(cells[name], schema.properties[name])]))],
  });
  const [predict, isBusy] = useAction(async () => {
    setFailed(null);
    setAnswer(await api.post("/predict", body()));
  }, (error) => {
    setAnswer(null);
    setFailed(error);
  });
  const paths = names.map((name) => `instances.0.${name}`);
  return html`<section class="card stack" aria-labelledby="row-title">
    <header><h2 id="row-title">One row</h2><p>${schema.description} ${isImported ? "The cells are examples of the right type" : "A row of the training data is filled in"}; an empty field is a missing cell.</p></header>
    <form class="stack" onSubmit=${(event) => { event.preventDefault(); predict(); }}>
      <div class="cells">
        ${names.map((name) => html`<${Cell} key=${name} name=${name} schema=${schema.properties[name]} text=${cells[name]} errors=${failed?.fields?.[`instances.0.${name}`]} onChange=${(text) => setCells((old) => ({ ...old, [name]: text }))} />`)}
        <${Field} label="Interval" errors=${failed?.fields?.interval} hint="How often the true value lies inside.">
          ${(control) => html`<select ...${control} value=${level} onChange=${(event) => onLevel(event.target.value)}>${LEVELS.map(([value, title]) => html`<option key=${value} value=${value} selected=${value === level}>${title}</option>`)}</select>`}
        <//>
      </div>
      <${Problem} error=${failed} shown=${[...paths, "interval"]} />
      <p class="actions"><${Button} kind="primary" type="submit" busy=${isBusy}>Predict<//></p>
    </form>
    <div aria-live="polite">${answer && html`<${Answer} answer=${answer} />`}</div>
    <details><summary>The same as a command</summary><${Code} label="Copy as curl" text=${api.curlOf("/predict", body(), 0)} /></details>
  </section>`;
}

const textOf = (cell) => (cell === null || cell === undefined ? "" : typeof cell === "object" ? JSON.stringify(cell) : String(cell));
const isNumber = (schema) => schema.type?.[0] === "number" && !schema.type.includes("string");
const isImage = (schema) => schema.type === "array";
const isBoolean = (schema) => schema.type?.[0] === "boolean";

/** The JSON value of a field; what is no number goes as it is, so that the service says the rule. */
function cellOf(text, schema) {
  if (text.trim() === "") return null;
  if (isNumber(schema)) return Number.isFinite(Number(text)) ? Number(text) : text;
  if (isBoolean(schema)) return text === "true" ? true : text === "false" ? false : text;
  if (!isImage(schema)) return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function Cell({ name, schema, text, errors, onChange }) {
  const change = (event) => onChange(event.target.value);
  const known = schema.examples ?? [];
  return html`<${Field} label=${name} errors=${errors}>${(control) => {
    if (isBoolean(schema)) return html`<select ...${control} value=${text} onChange=${change}>${[["", "missing"], ["true", "true"], ["false", "false"]].map(([value, title]) => html`<option key=${value} value=${value} selected=${value === text}>${title}</option>`)}</select>`;
    if (isImage(schema)) return html`<textarea ...${control} spellcheck="false" value=${text} onInput=${change} />`;
    if (isNumber(schema)) return html`<input ...${control} type="text" inputmode="decimal" autocomplete="off" placeholder="missing" value=${text} onInput=${change} />`;
    return html`<input ...${control} type="text" autocomplete="off" placeholder="missing" list=${known.length ? `${control.id}-known` : null} value=${text} onInput=${change} />
      ${known.length > 0 && html`<datalist id=${`${control.id}-known`}>${known.slice(0, 200).map((each) => html`<option value=${each} />`)}</datalist>`}`;
  }}<//>`;
}

export function Answer({ answer }) {
  const shares = answer.probabilities?.[0];
  const ranked = shares?.map((share, index) => [String(answer.classes[index]), share]).sort(([, a], [, b]) => b - a).slice(0, 8);
  return html`<div class="stack answer-part">
    <p class="answer" data-answer>${shown(answer.predictions[0])}</p>
    ${answer.lower && html`<p>In ${percent(answer.interval)} of such rows the truth lies from <strong class="figure">${number(answer.lower[0])}</strong> to <strong class="figure">${number(answer.upper[0])}</strong>.</p>`}
    ${answer.labels && html`<p>In ${percent(answer.interval)} of such rows the truth is one of: <strong>${answer.labels[0].map(String).join(", ") || "none"}</strong>.</p>`}
    ${ranked && html`<ul class="shares">${ranked.map(([name, share]) => html`<li><span>${name}</span><progress class="progress" max="1" value=${share} aria-label=${`Probability of ${name}`}></progress><span class="figure">${percent(share, 1)}</span></li>`)}</ul>`}
    <p class="muted"><small>Answered by version ${answer.version}${answer.threshold === undefined ? "" : `, from a probability of ${number(answer.threshold, 3)} on`}.</small></p>
  </div>`;
}

const shown = (prediction) => (typeof prediction === "number" ? number(prediction, 5) : Array.isArray(prediction) ? prediction.map(shown).join(", ") : String(prediction));
