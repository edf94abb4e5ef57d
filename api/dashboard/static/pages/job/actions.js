// What a user may do to a job: pause, resume, finish, cancel, extend, copy as curl, delete.
import { html, useState } from "../../vendor/preact.js";
import * as api from "../../api.js";
import { isFinal } from "../../live.js";
import { Button, Code, Confirm, Dialog, Field, Problem, toast, useAction } from "../../ui.js";

export function Actions({ job, onChange }) {
  const [open, setOpen] = useState(null);
  const close = () => setOpen(null);
  const path = `/tune/${encodeURIComponent(job.id)}`;
  const command = (name) => async () => {
    await api.post(`${path}/${name}`, name === "finish" ? {} : undefined);
    onChange();
  };
  const [pause, isPausing] = useAction(command("pause"));
  const [resume, isResuming] = useAction(command("resume"));
  const ended = isFinal(job);
  return html`<div class="actions no-print">
    ${["queued", "running"].includes(job.state) && html`<${Button} busy=${isPausing} onClick=${pause}>Pause<//>`}
    ${job.state === "paused" && html`<${Button} kind="primary" busy=${isResuming} onClick=${resume}>Resume<//>`}
    ${!ended && job.state !== "cancelling" && html`<${Button} onClick=${() => setOpen("finish")}>Finish now<//>`}
    <${Button} onClick=${() => setOpen("extend")}>${ended ? "Extend" : "Change budget"}<//>
    <${Button} onClick=${() => setOpen("curl")}>Copy as curl<//>
    <a class="button" href="#/jobs/${encodeURIComponent(job.id)}/report">Report</a>
    ${!ended && job.state !== "cancelling" && html`<${Button} kind="danger" onClick=${() => setOpen("cancel")}>Cancel<//>`}
    ${ended && html`<${Button} kind="danger" onClick=${() => setOpen("delete")}>Delete<//>`}
    ${open === "finish" && html`<${Confirm} title="Finish this job now?" yes="Finish" kind="primary" onYes=${command("finish")} onClose=${close}>
      <p>No more trials start. Those that run are stopped and scored, and the best trial becomes a version of <strong>${job.model}</strong>.</p><//>`}
    ${open === "cancel" && html`<${Confirm} title="Cancel this job?" yes="Cancel the job" onYes=${command("cancel")} onClose=${close}>
      <p>Its running trials are stopped, and no version is made. Finished trials stay visible.</p><//>`}
    ${open === "delete" && html`<${Confirm} title="Delete this job?" yes="Delete" onClose=${close} onYes=${async () => { await api.del(path); toast("The job is deleted."); location.hash = "#/jobs"; }}>
      <p>Its trials and their weights are deleted. Registered versions stay.</p><//>`}
    ${open === "extend" && html`<${Extend} job=${job} path=${path} onClose=${close} onChange=${onChange} />`}
    ${open === "curl" && html`<${Curl} job=${job} onClose=${close} />`}
  </div>`;
}

const LIMITS = [
  ["max_trials", "Trials in all", "Those that have begun count."],
  ["max_seconds", "Seconds of searching", "Those already spent count. Empty: no limit."],
  ["target_score", "Target score", "The search ends when a score is this good. Empty: none."],
  ["epochs", "Epochs of a trial", "Of trials from now on."],
];

function Extend({ job, path, onClose, onChange }) {
  const budget = job.request.budget;
  const [texts, setTexts] = useState(() => Object.fromEntries(LIMITS.map(([name]) => [name, budget[name] === null || budget[name] === undefined ? "" : String(budget[name])])));
  const [error, setError] = useState(null);
  const [save, busy] = useAction(async () => {
    setError(null);
    const changed = LIMITS.filter(([name]) => texts[name] !== String(budget[name] ?? ""));
    if (!changed.length) return onClose();
    await api.patch(path, { budget: Object.fromEntries(changed.map(([name]) => [name, texts[name] === "" ? null : Number(texts[name])])) });
    toast(isFinal(job) ? "The job goes on." : "The budget is changed.");
    onClose();
    onChange();
  }, setError);
  const submit = (event) => {
    event.preventDefault();
    save();
  };
  return html`<${Dialog} title=${isFinal(job) ? "Extend the search" : "Change the budget"} onClose=${onClose}>
    <form class="stack" onSubmit=${submit} novalidate>
      <${Problem} error=${error} shown=${LIMITS.map(([name]) => `budget.${name}`)} />
      ${LIMITS.map(([name, label, hint]) => html`<${Field} key=${name} label=${label} hint=${hint} errors=${error?.fields?.[`budget.${name}`]}>
        ${(control) => html`<input ...${control} type="number" step="any" inputmode="decimal" value=${texts[name]} onInput=${(event) => setTexts({ ...texts, [name]: event.target.value })} />`}
      <//>`)}
      <p class="row end"><${Button} onClick=${onClose}>Cancel<//><${Button} kind="primary" type="submit" busy=${busy}>${isFinal(job) ? "Go on" : "Save"}<//></p>
    </form>
  <//>`;
}

/** The request without what is null, as a shell command that starts the same job again. */
function commandOf(job) {
  const request = Object.fromEntries(Object.entries({ ...job.request, tags: job.tags, description: job.description }).filter(([, each]) => each !== null && !(Array.isArray(each) && !each.length)));
  return api.curlOf("/tune", request);
}

const Curl = ({ job, onClose }) => html`<${Dialog} title="This job as a command" onClose=${onClose}>
  <p>It starts the same search again, with every default written out.</p>
  <${Code} text=${commandOf(job)} label="Copy the command" />
<//>`;
