// Aliases of a model: which versions answer, by which weights, with which shadow; and the dialog that changes it.
import { html, useEffect, useState } from "../../vendor/preact.js";
import * as api from "../../api.js";
import { percent } from "../../format.js";
import { Badge, Button, Confirm, Dialog, Field, Problem, toast, useAction } from "../../ui.js";

/** "version 3", or "90 % version 3, 10 % version 4". */
export function shares(route) {
  const entries = Object.entries(route.weights ?? { [route.version]: 1 });
  if (entries.length === 1) return `version ${entries[0][0]}`;
  return entries.map(([version, share]) => `${percent(share, share * 100 % 1 ? 1 : 0)} version ${version}`).join(", ");
}

export const aliasPath = (model, alias) => `/models/${encodeURIComponent(model)}/aliases/${encodeURIComponent(alias)}`;

export function Aliases({ model, onChange }) {
  const [edited, setEdited] = useState(null); // an alias, or "" for a new one
  const [removed, setRemoved] = useState(null);
  const names = Object.keys(model.aliases).sort((a, b) => (b === "champion") - (a === "champion") || a.localeCompare(b));
  return html`<section class="card" aria-labelledby="aliases-title">
    <header><h2 id="aliases-title">Aliases</h2><${Button} onClick=${() => setEdited("")}>Add an alias<//>
      <p>A prediction names an alias, or gets the champion.</p></header>
    ${names.map((alias) => {
      const route = model.rollouts[alias] ?? { weights: { [model.aliases[alias]]: 1 }, shadow: null };
      return html`<div class="alias" key=${alias}>
        <span class="grow"><${Badge} state=${alias} tone=${alias === "champion" ? "good" : "calm"} /> ${shares(route)}${route.shadow ? html`, <span class="muted">shadow: version ${route.shadow}</span>` : ""}</span>
        <span class="actions">
          <${Button} onClick=${() => setEdited(alias)} aria-label=${`Change ${alias}`}>Change<//>
          <${Button} kind="quiet" onClick=${() => setRemoved(alias)} aria-label=${`Remove ${alias}`}>Remove<//>
        </span>
      </div>`;
    })}
    ${names.length === 0 && html`<p class="muted">No version answers predictions. Promote one.</p>`}
    ${edited !== null && html`<${Editor} model=${model} alias=${edited} onChange=${onChange} onClose=${() => setEdited(null)} />`}
    ${removed && html`<${Confirm} title=${`Remove the alias ${removed}?`} yes="Remove" onClose=${() => setRemoved(null)} onYes=${async () => { await api.del(aliasPath(model.name, removed)); onChange(); }}>
      <p>Predictions that name it are refused from then on. The versions and the history stay.</p><//>`}
  </section>`;
}

/** Sends what the dialog says with `If-Match`: someone else's change meanwhile is not overwritten. */
function Editor({ model, alias, onChange, onClose }) {
  const [name, setName] = useState(alias || "");
  const [route, setRoute] = useState(alias ? null : { rows: [{ version: String(model.versions[0]?.version ?? ""), share: "100" }], shadow: "", tag: null });
  const [reason, setReason] = useState("");
  const [failed, setFailed] = useState(null);
  const load = async () => {
    try {
      const response = await api.request("GET", aliasPath(model.name, alias));
      const found = await response.json();
      const rows = Object.entries(found.weights).map(([version, share]) => ({ version, share: String(Number((100 * share).toFixed(6))) }));
      setRoute({ rows, shadow: found.shadow ? String(found.shadow) : "", tag: response.headers.get("ETag") });
    } catch (error) {
      setFailed(error);
    }
  };
  useEffect(() => {
    if (alias) load();
  }, [alias]);
  const [save, isBusy] = useAction(async () => {
    const weights = Object.fromEntries(route.rows.map(({ version, share }) => [version, Number(share) / 100]));
    const headers = route.tag ? { "If-Match": route.tag } : {};
    await api.put(aliasPath(model.name, name.trim()), { weights, shadow: route.shadow ? Number(route.shadow) : null, ...(reason.trim() ? { reason: reason.trim() } : {}) }, { headers });
    toast(`${name.trim()} is moved.`);
    onChange();
    onClose();
  }, setFailed);
  const submit = (event) => {
    event.preventDefault();
    setFailed(null);
    save();
  };
  return html`<${Dialog} title=${alias ? `Change ${alias}` : "Add an alias"} onClose=${onClose}>
    <form class="stack" onSubmit=${submit}>
      <${Problem} error=${failed && conflict(failed)} shown=${["alias", "weights"]} />
      ${!alias && html`<${Field} label="Name" errors=${failed?.fields?.alias}>${(control) => html`<input ...${control} required value=${name} onInput=${(event) => setName(event.target.value)} />`}<//>`}
      ${route && html`<${Weights} versions=${model.versions} route=${route} onChange=${setRoute} errors=${failed?.fields?.weights} />`}
      <${Field} label="Reason" hint="For the history.">${(control) => html`<input ...${control} maxlength="2000" value=${reason} onInput=${(event) => setReason(event.target.value)} />`}<//>
      <p class="actions row end">
        ${failed?.status === 412 && html`<${Button} onClick=${() => { setFailed(null); load(); }}>Show the present state<//>`}
        <${Button} type="submit" kind="primary" busy=${isBusy} disabled=${!route}>Save<//>
      </p>
    </form>
  <//>`;
}

const conflict = (error) => (error.status === 412 ? { ...error, message: "Somebody has moved this alias since you opened it. Nothing was changed." } : error);

function Weights({ versions, route, onChange, errors }) {
  const { rows } = route;
  // A version that answers is no shadow.
  const change = (next) => onChange({ ...route, rows: next, shadow: next.some((row) => row.version === route.shadow) ? "" : route.shadow });
  const set = (index, part) => change(rows.map((row, at) => (at === index ? { ...row, ...part } : row)));
  const free = versions.filter(({ version }) => !rows.some((row) => row.version === String(version)));
  const sum = rows.reduce((total, row) => total + Number(row.share), 0);
  const options = (own) => versions.filter(({ version }) => String(version) === own || free.some((each) => each.version === version));
  return html`<div class="stack">
    ${rows.map((row, index) => html`<div class="weights" key=${index}>
      <${Field} label=${`Version${rows.length > 1 ? ` ${index + 1}` : ""}`}>${(control) => html`<select ...${control} value=${row.version} onChange=${(event) => set(index, { version: event.target.value })}>
        ${options(row.version).map(({ version }) => html`<option value=${String(version)} selected=${String(version) === row.version}>Version ${version}</option>`)}</select>`}<//>
      <${Field} label="Requests in %">${(control) => html`<input ...${control} inputmode="decimal" value=${row.share} onInput=${(event) => set(index, { share: event.target.value })} />`}<//>
      ${rows.length > 1 && html`<button type="button" class="icon" aria-label=${`Leave out version ${row.version}`} onClick=${() => change(rows.filter((_, at) => at !== index))}>×</button>`}
    </div>`)}
    ${errors && html`<p class="error" role="alert">${errors.join(" ")}</p>`}
    ${!errors && Math.abs(sum - 100) > 1e-6 && html`<p class="error" role="status">The shares sum to ${Number.isFinite(sum) ? Number(sum.toFixed(3)) : "no number"}, not to 100.</p>`}
    ${free.length > 0 && html`<p><${Button} onClick=${() => change([...rows, { version: String(free[0].version), share: "10" }])}>Share with another version<//></p>`}
    <${Field} label="Shadow" hint="Computes the same rows after the answer was sent, for the monitor only.">
      ${(control) => html`<select ...${control} value=${route.shadow} onChange=${(event) => onChange({ ...route, shadow: event.target.value })}>
        <option value="" selected=${!route.shadow}>None</option>
        ${free.map(({ version }) => html`<option key=${version} value=${String(version)} selected=${String(version) === route.shadow}>Version ${version}</option>`)}
      </select>`}
    <//>
  </div>`;
}
