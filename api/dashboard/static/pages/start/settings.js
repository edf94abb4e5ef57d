// What to predict and how to search: the fields of a request, each with the errors of the dry run.
import { html } from "../../vendor/preact.js";
import { Field } from "../../ui.js";

const STRATEGIES = [
  ["auto", "auto: by number of trials"], ["bayesian", "bayesian: Gaussian process"], ["tpe", "tpe: by Optuna"],
  ["random", "random"], ["hyperband", "hyperband: short first"], ["grid", "grid: every combination"],
];
const EVALUATIONS = [["auto", "auto: cross-validation of small tables"], ["holdout", "holdout: one part to validate on"], ["cv", "cv: cross-validation"], ["train", "train: on the training rows themselves"]];
const PROMOTIONS = [["if_better", "if it is better by more than noise"], ["always", "always"], ["never", "never"]];

/** The paths of the API's errors that are shown at a field of this card. */
export const SHOWN = [
  "target", "model", "budget.max_trials", "strategy", "strategy.name", "objective", "objective.metric", "budget.epochs", "budget.max_seconds",
  "evaluation.method", "network", "promote", "seed", "tags", "description",
];

/** `errors` maps paths to messages; `onChange(name, text)` is called as people type. */
export function Settings({ columns, form, onChange, errors, moreError }) {
  const at = (...paths) => paths.flatMap((path) => errors[path] ?? []);
  const text = (name, label, more = {}) => html`<${Text} key=${name} name=${name} label=${label} form=${form} onChange=${onChange} ...${more} />`;
  const choice = (name, label, options, more = {}) => html`<${Choice} key=${name} name=${name} label=${label} options=${options} form=${form} onChange=${onChange} ...${more} />`;
  const targets = columns ? columns.filter((each) => each.type !== "image").map((each) => [each.name, `${each.name} (${each.type})`]) : [["target", "target"]];
  return html`<section class="card stack" aria-labelledby="settings-title">
    <h2 id="settings-title">3. Say what to predict</h2>
    <div class="grid three">
      ${choice("target", "Column to predict", [["", "Choose…"], ...targets], { errors: at("target") })}
      ${text("model", "Name of the model", { errors: at("model"), hint: "A new name, or one that gets another version.", required: true })}
      ${text("trials", "Trials", { errors: at("budget.max_trials"), inputmode: "numeric", hint: "Networks to try." })}
      ${choice("strategy", "Strategy", STRATEGIES, { errors: at("strategy", "strategy.name") })}
    </div>
    <details>
      <summary>More settings</summary>
      <div class="grid three settings-more">
        ${text("objective", "Objective", { errors: at("objective", "objective.metric"), hint: "A metric such as rmse, mae, accuracy, auc or f1. Empty: the loss." })}
        ${choice("evaluation", "Evaluation", EVALUATIONS, { errors: at("evaluation.method") })}
        ${choice("network", "Network", [["mlp", "mlp: for tables"], ["cnn", "cnn: for images"]], { errors: at("network") })}
        ${text("epochs", "Epochs at most", { errors: at("budget.epochs"), inputmode: "numeric", hint: "Empty: it follows from the rows." })}
        ${text("seconds", "Seconds of searching at most", { errors: at("budget.max_seconds"), inputmode: "decimal" })}
        ${choice("promote", "Make it the champion", PROMOTIONS, { errors: at("promote") })}
        ${text("seed", "Seed", { errors: at("seed"), inputmode: "numeric" })}
        ${text("tags", "Tags", { errors: at("tags"), hint: "With commas between them." })}
        ${text("description", "Description", { errors: at("description") })}
      </div>
      <${Field} label="Other fields, as JSON" errors=${moreError ? [moreError] : null} hint=${'Anything else that POST /tune takes, such as {"ensemble": 1}. It overrides the fields above.'}>
        ${(control) => html`<textarea ...${control} spellcheck="false" value=${form.more} onInput=${(event) => onChange("more", event.target.value)} />`}
      <//>
    </details>
  </section>`;
}

function Text({ name, label, form, onChange, errors, hint, ...more }) {
  return html`<${Field} label=${label} hint=${hint} errors=${errors}>
    ${(control) => html`<input ...${control} type="text" autocomplete="off" value=${form[name]} onInput=${(event) => onChange(name, event.target.value)} ...${more} />`}
  <//>`;
}

function Choice({ name, label, options, form, onChange, errors, hint }) {
  return html`<${Field} label=${label} hint=${hint} errors=${errors}>
    ${(control) => html`<select ...${control} value=${form[name]} onChange=${(event) => onChange(name, event.target.value)}>
      ${options.map(([value, title]) => html`<option key=${value} value=${value} selected=${value === form[name]}>${title}</option>`)}
    </select>`}
  <//>`;
}
