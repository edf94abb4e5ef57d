import { html } from "../vendor/preact.js";
import { metricLabel, objectivesOf } from "../figures/scores.js";
import { ago, date, duration, number, plural } from "../format.js";
import { isFinal, useJob } from "../live.js";
import { Badge, Loading, Notice, Problem, Progress, useTitle } from "../ui.js";
import { Actions } from "./job/actions.js";
import { Search } from "./job/search.js";
import { Setup } from "./job/setup.js";
import { Winner } from "./job/winner.js";

export default function JobPage({ params }) {
  const live = useJob(params.job);
  const { job, error, reload } = live;
  useTitle(job?.model ?? "Job");
  if (!job) return error ? html`<h1>Job</h1><${Problem} error=${error} onRetry=${reload} />` : html`<h1 class="hidden">Job</h1><${Loading} what="Reading the job" />`;
  return html`
    <${Head} job=${job} onChange=${reload} />
    <div class="stack">
      ${error && html`<${Problem} error=${error} onRetry=${reload} />`}
      <${Facts} ...${live} />
      <${Remarks} job=${job} />
      ${job.version !== null && html`<${Winner} job=${job} />`}
      <${Search} ...${live} />
      <${Setup} job=${job} />
    </div>`;
}

export function Head({ job, onChange }) {
  const { request } = job;
  return html`<div class="page-head">
    <div>
      <p class="crumbs"><a href="#/jobs">Jobs</a> / <code>${job.id}</code></p>
      <h1>${job.model} <${Badge} state=${job.state} /></h1>
      <p>
        ${job.description && html`${job.description}<br />`}
        ${request.strategy?.name} search for ${request.task === "regression" ? "a regression" : `a ${request.task} classification`} of “${request.target}”
        from <code>${request.dataset}</code>, started ${ago(job.created)}${job.created_by && job.created_by !== "anonymous" ? ` by ${job.created_by}` : ""}
      </p>
      ${job.tags.length > 0 && html`<p class="row tags">${job.tags.map((tag) => html`<a class="tag" href="#/jobs?tag=${encodeURIComponent(tag)}">${tag}</a>`)}</p>`}
    </div>
    ${onChange && html`<${Actions} job=${job} onChange=${onChange} />`}
  </div>`;
}

const CONNECTIONS = { loading: "connecting", open: "live", waiting: "connection lost; polling" };

export function Facts({ job, connection }) {
  const { completed, stopped, failed, running, total, eta_seconds: left } = job.progress;
  const ended = completed + stopped + failed;
  const objectives = objectivesOf(job.request);
  const best = job.best_trial;
  return html`<section class="card" aria-label="State of the job">
    <dl class="facts">
      <div><dt>Trials</dt><dd>${number(ended)} <span class="muted">of ${number(total)}</span><small>${[running && `${running} running`, stopped && `${stopped} stopped early`, failed && `${failed} failed`].filter(Boolean).join(", ") || " "}</small></dd></div>
      <div><dt>Best ${metricLabel(objectives[0].metric)}</dt><dd>${number(best?.score)}<small>${best ? `trial ${best.number}${best.spread ? ` ± ${number(best.spread, 2)}` : ""}` : "no score yet"}</small></dd></div>
      <div><dt>Searched</dt><dd>${duration(job.seconds)}<small>${job.stop_reason ? `ended by ${job.stop_reason.replaceAll("_", " ")}` : " "}</small></dd></div>
      ${isFinal(job)
        ? html`<div><dt>Finished</dt><dd>${ago(job.finished)}<small>${date(job.finished)}</small></dd></div>`
        : html`<div><dt>Time left</dt><dd>${left === null ? "–" : `about ${duration(left)}`}<small>${connection === "open" ? html`<span class="live-dot" aria-hidden="true"></span>` : ""}${CONNECTIONS[connection]}</small></dd></div>`}
      ${job.front?.length > 0 && html`<div><dt>Front</dt><dd>${plural(job.front.length, "trial")}<small>${objectives.map((each) => metricLabel(each.metric)).join(" and ")}</small></dd></div>`}
    </dl>
    ${!isFinal(job) && html`<div class="job-progress"><${Progress} value=${ended} max=${total} label="Trials that have ended" /></div>`}
  </section>`;
}

export function Remarks({ job }) {
  return html`
    ${job.error && html`<${Notice} kind="bad"><strong>${job.state === "failed" ? "The job failed." : "An error occurred."}</strong><pre>${job.error}</pre><//>`}
    ${job.waiting_for && html`<${Notice} kind="warn">${job.waiting_for}<//>`}
    ${job.state === "queued" && html`<${Notice}>The job waits for a worker that is free.<//>`}
    ${job.warnings.map((warning) => html`<${Notice} kind="warn">${warning.message}${warning.column ? html` <code>${warning.column}</code>` : ""}<//>`)}`;
}
