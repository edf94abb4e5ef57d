// The dry run of the present request: what would be trained, for how long, and the button that starts it.
import { html, useEffect, useState } from "../../vendor/preact.js";
import * as api from "../../api.js";
import { bytes, duration, number } from "../../format.js";
import { Button, Code, Loading, Notice, Problem, useAction } from "../../ui.js";
import { SHOWN } from "./settings.js";

const PAUSE = 700; // ms without a change before the service is asked

/** {plan, error, isBusy} of the dry run of `request`; null asks for nothing. */
export function useDryRun(request) {
  const [state, setState] = useState({ plan: null, error: null, isBusy: false });
  const body = request ? JSON.stringify(request) : null;
  useEffect(() => {
    if (!body) return setState({ plan: null, error: null, isBusy: false });
    const stop = new AbortController();
    setState((old) => ({ ...old, isBusy: true }));
    const timer = setTimeout(async () => {
      try {
        const plan = await api.post("/tune", JSON.parse(body), { query: { dry_run: true }, signal: stop.signal });
        setState({ plan, error: null, isBusy: false });
      } catch (error) {
        if (!stop.signal.aborted) setState({ plan: null, error, isBusy: false });
      }
    }, PAUSE);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [body]);
  return state;
}

export function Plan({ request, dryRun: { plan, error, isBusy }, onFailed }) {
  const [start, isStarting] = useAction(async () => {
    const job = await api.post("/tune", request);
    location.hash = `#/jobs/${job.id}`;
  }, onFailed);
  return html`<section class="card stack" aria-labelledby="plan-title">
    <h2 id="plan-title">4. Start</h2>
    ${!request && html`<p class="muted">Choose the column to predict and a name. Then a forecast is shown here.</p>`}
    <div aria-live="polite">
      ${request && isBusy && !plan && html`<${Loading} what="Measuring some networks of the search" />`}
      <${Problem} error=${error} shown=${SHOWN} />
      ${plan && html`<${Forecast} plan=${plan} isOld=${isBusy} />`}
    </div>
    <p class="actions">
      <${Button} kind="primary" disabled=${!request || Boolean(error)} busy=${isStarting} onClick=${start}>Start tuning<//>
    </p>
    ${request && html`<details><summary>The same as a command</summary><${Code} text=${api.curlOf("/tune", request)} label="Copy as curl" /></details>`}
  </section>`;
}

function Forecast({ plan, isOld }) {
  const { forecast } = plan;
  const ignored = Object.entries(plan.columns?.ignored ?? {});
  return html`<div class="stack ${isOld ? "old" : ""}">
    <dl class="facts">
      <div><dt>Trials</dt><dd>${number(plan.trials)}${plan.reused > 0 && html`<small>${number(plan.reused)} reused</small>`}</dd></div>
      <div><dt>Task</dt><dd>${plan.request.task ?? "–"}</dd></div>
      <div><dt>Scored by</dt><dd>${evaluationText(plan.request.evaluation)}</dd></div>
      ${forecast && html`<div><dt>Search, at most</dt><dd>${duration(forecast.seconds)}<small>${duration(forecast.seconds_per_trial.expected)} a trial, ${number(forecast.assumes.parallelism)} at once</small></dd></div>
      <div><dt>Memory of a trial</dt><dd>${bytes(forecast.memory_bytes)}</dd></div>
      <div><dt>Parameters of a network</dt><dd>${number(forecast.parameters.expected)}<small>${number(forecast.parameters.smallest)} to ${number(forecast.parameters.largest)}</small></dd></div>
      <div><dt>Disk</dt><dd>${bytes(forecast.disk_bytes.expected)}</dd></div>`}
    </dl>
    ${!forecast && plan.forecast_missing && html`<p class="muted">No forecast: ${plan.forecast_missing}</p>`}
    ${plan.warnings.length > 0 && html`<${Notice} kind="warn"><ul>${plan.warnings.map((each) => html`<li>${each.column && html`<code>${each.column}</code> `}${each.message}</li>`)}</ul><//>`}
    ${plan.columns && html`<p class="muted"><small>Learns from ${number(plan.columns.used.length)} columns.${ignored.length > 0 ? ` Not from: ${ignored.slice(0, 12).map(([name, why]) => `${name} (${why.replace(/\.$/, "")})`).join("; ")}${ignored.length > 12 ? " and others" : ""}.` : ""}</small></p>`}
  </div>`;
}

const evaluationText = (evaluation) => (evaluation?.method === "cv" ? `${evaluation.folds} folds` : (evaluation?.method ?? "–"));
