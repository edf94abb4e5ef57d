// What a job was asked for: search space, budget, evaluation, columns.
import { html } from "../../vendor/preact.js";
import { number, value } from "../../format.js";

const listed = (found) =>
  Object.entries(found ?? {})
    .filter(([, each]) => each !== null && each !== undefined)
    .map(([name, each]) => (name === "name" || name === "method" ? String(each) : `${name.replaceAll("_", " ")} ${typeof each === "object" ? JSON.stringify(each) : value(each)}`))
    .join(", ");

function spaceOf(parameter) {
  if (typeof parameter !== "object" || parameter === null) return `fixed: ${value(parameter)}`;
  const { type, values, min, max, step, sampling, per_layer: perLayer, when } = parameter;
  const range = values ? values.map(value).join(", ") : `${number(min)} to ${number(max)}${step ? `, step ${number(step)}` : ""}${sampling ? `, ${sampling}` : ""}`;
  return `${type}: ${range}${perLayer ? ", per layer" : ""}${when ? `, when ${listed(when)}` : ""}`;
}

export function Setup({ job }) {
  const { request, columns } = job;
  const facts = [
    ["Strategy", listed(request.strategy)],
    ["Budget", listed(request.budget)],
    ["Evaluation", listed(request.evaluation)],
    ["Network", request.network],
    ["Constraints", listed(request.constraints)],
    ["Executions per trial", number(request.executions_per_trial)],
    ["Seed", number(request.seed)],
    ["Columns used", columns && columns.used.join(", ")],
    ["Columns ignored", columns && Object.entries(columns.ignored).map(([name, reason]) => `${name} (${reason})`).join(", ")],
  ].filter(([, text]) => text && text !== "–");
  return html`<div class="grid">
    <section class="card"><header><h2>Search space</h2></header>
      <dl class="pairs">${Object.entries(request.search_space ?? {}).map(([name, each]) => html`<dt>${name}</dt><dd>${spaceOf(each)}</dd>`)}</dl>
    </section>
    <section class="card"><header><h2>Setup</h2></header>
      <dl class="pairs">${facts.map(([name, text]) => html`<dt>${name}</dt><dd>${text}</dd>`)}</dl>
    </section>
  </div>`;
}
