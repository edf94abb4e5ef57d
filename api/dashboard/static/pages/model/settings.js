// Settings of a model: who may move its champion, the prediction log, and the guard.
import { html, useState } from "../../vendor/preact.js";
import * as api from "../../api.js";
import { number, percent } from "../../format.js";
import { Button, Check, Dialog, Field, Problem, toast, useAction } from "../../ui.js";
import { real } from "../start/request.js";

const SIDES = [["max", "at most"], ["min", "at least"]];
const percentOf = (part) => (part === undefined ? "" : String(Number((100 * part).toFixed(6))));
const partOf = (text) => (typeof real(text) === "number" ? real(text) / 100 : real(text));

export function Settings({ model, onChange }) {
  const [found, setFound] = useState(null);
  // The page may be older than what somebody else has set.
  const [open, isBusy] = useAction(async () => setFound(await api.get(`/models/${encodeURIComponent(model.name)}`)));
  const { prediction_log: log, rollback_when: guard } = model;
  return html`<section class="card" aria-labelledby="settings-title">
    <header><h2 id="settings-title">Settings</h2><${Button} busy=${isBusy} onClick=${open}>Change settings<//></header>
    <dl class="pairs">
      <dt>Promotion by jobs</dt><dd>${model.auto_promote ? "by every job that makes a better version" : "only by jobs whose key may promote"}</dd>
      <dt>Prediction log</dt><dd>${log ? `${percent(log.sample, (log.sample * 100) % 1 ? 1 : 0)} of the requests, kept ${number(log.keep_days)} days` : "off"}</dd>
      <dt>Guard</dt><dd>${guard ? guardText(guard) : "off"}</dd>
    </dl>
    ${found && html`<${Editor} model=${found} onChange=${onChange} onClose=${() => setFound(null)} />`}
  </section>`;
}

function guardText(guard) {
  const limits = [
    guard.error_rate !== undefined && `errors are above ${percentOf(guard.error_rate)} %`,
    guard.latency_ms !== undefined && `the latency is above ${number(guard.latency_ms)} ms`,
    ...Object.entries(guard.live_score ?? {}).flatMap(([metric, bounds]) => Object.entries(bounds).map(([side, bound]) => `the live ${metric} is ${side === "max" ? "above" : "below"} ${number(bound)}`)),
  ];
  return `moves the champion back if ${limits.filter(Boolean).join(", or ")}; after ${number(guard.min_requests)} requests, within ${number(guard.minutes)} minutes`;
}

/** The texts of the form for a model. */
function formOf({ auto_promote: auto, prediction_log: log, rollback_when: guard }) {
  const scores = Object.entries(guard?.live_score ?? {}).flatMap(([metric, bounds]) => Object.entries(bounds).map(([side, bound]) => ({ metric, side, bound: String(bound) })));
  return {
    auto, hasLog: Boolean(log), sample: percentOf(log?.sample ?? 1), days: String(log?.keep_days ?? 30),
    hasGuard: Boolean(guard), errors: percentOf(guard?.error_rate), latency: String(guard?.latency_ms ?? ""), scores,
    requests: String(guard?.min_requests ?? 100), minutes: String(guard?.minutes ?? 60),
  };
}

/** The settings that a form says, as `PATCH /models/{m}` takes them; an empty limit is left out. */
function settingsOf(form) {
  const limits = Object.entries({ error_rate: partOf(form.errors), latency_ms: real(form.latency) });
  const scores = {};
  for (const { metric, side, bound } of form.scores) {
    if (metric.trim()) scores[metric.trim()] = { ...scores[metric.trim()], [side]: real(bound) };
  }
  return {
    auto_promote: form.auto,
    prediction_log: form.hasLog ? { sample: partOf(form.sample), keep_days: real(form.days) } : null,
    rollback_when: form.hasGuard ? {
      ...Object.fromEntries(limits.filter(([, each]) => each !== "")),
      ...(Object.keys(scores).length ? { live_score: scores } : {}),
      min_requests: real(form.requests), minutes: real(form.minutes),
    } : null,
  };
}

/** Sends only the settings that were changed here; log and guard are one setting each. */
function Editor({ model, onChange, onClose }) {
  const [form, setForm] = useState(() => formOf(model));
  const [failed, setFailed] = useState(null);
  const [save, isBusy] = useAction(async () => {
    setFailed(null);
    const before = settingsOf(formOf(model));
    const changed = Object.entries(settingsOf(form)).filter(([name, each]) => JSON.stringify(each) !== JSON.stringify(before[name]));
    if (changed.length) {
      await api.patch(`/models/${encodeURIComponent(model.name)}`, Object.fromEntries(changed));
      toast("The settings are changed.");
      onChange();
    }
    onClose();
  }, setFailed);
  const set = (name, each) => setForm((old) => ({ ...old, [name]: each }));
  const within = (path) => Object.entries(failed?.fields ?? {}).filter(([name]) => name === path || name.startsWith(`${path}.`));
  const text = (name, path, label, hint) => html`<${Field} label=${label} hint=${hint} errors=${within(path).flatMap(([, texts]) => texts)}>
    ${(control) => html`<input ...${control} inputmode="decimal" value=${form[name]} onInput=${(event) => set(name, event.target.value)} />`}
  <//>`;
  const shown = ["sample", "keep_days"].map((name) => `prediction_log.${name}`)
    .concat(["error_rate", "latency_ms", "live_score", "min_requests", "minutes"].map((name) => `rollback_when.${name}`));
  return html`<${Dialog} title=${`Settings of ${model.name}`} onClose=${onClose}>
    <form class="stack" onSubmit=${(event) => { event.preventDefault(); save(); }}>
      <${Problem} error=${failed} shown=${shown.flatMap(within).map(([path]) => path)} />
      <${Check} checked=${form.auto} onChange=${(is) => set("auto", is)} hint="Also where the job's key lacks the scope promote.">Any job that makes a better version may move the champion<//>
      <${Check} checked=${form.hasLog} onChange=${(is) => set("hasLog", is)} hint="For feedback and new training data. Without it no row is kept.">Log rows and answers<//>
      ${form.hasLog && html`<div class="cells">
        ${text("sample", "prediction_log.sample", "Requests to log in %")}
        ${text("days", "prediction_log.keep_days", "Days to keep them")}
      </div>`}
      <${Check} checked=${form.hasGuard} onChange=${(is) => set("hasGuard", is)} hint="After a promotion, if one of these limits is broken. An empty limit is none.">Guard the champion: move it back if it breaks a limit<//>
      ${form.hasGuard && html`<div class="stack">
        <div class="cells">
          ${text("errors", "rollback_when.error_rate", "Errors, at most %")}
          ${text("latency", "rollback_when.latency_ms", "Latency, at most ms", "99th percentile.")}
          ${text("requests", "rollback_when.min_requests", "Requests before judging")}
          ${text("minutes", "rollback_when.minutes", "Minutes to look back")}
        </div>
        <${Scores} model=${model} rows=${form.scores} onChange=${(rows) => set("scores", rows)} errorsOf=${(metric) => within(`rollback_when.live_score.${metric}`).flatMap(([, texts]) => texts)} />
      </div>`}
      <p class="actions row end"><${Button} onClick=${onClose}>Cancel<//><${Button} type="submit" kind="primary" busy=${isBusy}>Save<//></p>
    </form>
  <//>`;
}

/** Bounds of metrics by feedback. */
function Scores({ model, rows, onChange, errorsOf }) {
  const known = [...new Set(model.versions.flatMap((each) => Object.keys(each.metrics ?? {})))].filter((name) => name !== "loss");
  const set = (index, part) => onChange(rows.map((row, at) => (at === index ? { ...row, ...part } : row)));
  return html`${rows.map((row, index) => html`<div class="bounds" key=${index}>
      <${Field} label=${`Live metric ${index + 1}`} errors=${row.metric.trim() ? errorsOf(row.metric.trim()) : null}>${(control) => html`<input ...${control} list="live-metrics" required spellcheck=${false} autocomplete="off" value=${row.metric} onInput=${(event) => set(index, { metric: event.target.value })} />`}<//>
      <${Field} label="Is to be">${(control) => html`<select ...${control} value=${row.side} onChange=${(event) => set(index, { side: event.target.value })}>${SIDES.map(([value, title]) => html`<option value=${value} selected=${value === row.side}>${title} (${value})</option>`)}</select>`}<//>
      <${Field} label="Bound">${(control) => html`<input ...${control} inputmode="decimal" required value=${row.bound} onInput=${(event) => set(index, { bound: event.target.value })} />`}<//>
      <button type="button" class="icon" aria-label=${`Leave out live metric ${index + 1}`} onClick=${() => onChange(rows.filter((_, at) => at !== index))}>×</button>
    </div>`)}
    <datalist id="live-metrics">${known.map((name) => html`<option value=${name} />`)}</datalist>
    <p><${Button} onClick=${() => onChange([...rows, { metric: "", side: "max", bound: "" }])}>Limit a live metric<//></p>`;
}
