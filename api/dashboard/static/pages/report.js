// The report of a job: the same figures as the job's page, in one column order for print and without controls.
import { html, useEffect } from "../vendor/preact.js";
import { useJob } from "../live.js";
import { date } from "../format.js";
import { Button, Loading, Notice, Problem, useTitle } from "../ui.js";
import { Facts, Head, Remarks } from "./job.js";
import { Search } from "./job/search.js";
import { Setup } from "./job/setup.js";
import { Winner } from "./job/winner.js";

/** Paper is white: the light theme holds while the browser prints. */
function useLightPrint() {
  useEffect(() => {
    const start = () => window.luthierTheme.show("light");
    const end = () => window.luthierTheme.show();
    addEventListener("beforeprint", start);
    addEventListener("afterprint", end);
    return () => {
      removeEventListener("beforeprint", start);
      removeEventListener("afterprint", end);
    };
  }, []);
}

export default function Report({ params }) {
  const live = useJob(params.job);
  const { job, error, reload } = live;
  useTitle(job ? `Report of ${job.model}` : "Report");
  useLightPrint();
  if (!job) return error ? html`<h1>Report</h1><${Problem} error=${error} onRetry=${reload} />` : html`<h1 class="hidden">Report</h1><${Loading} what="Reading the job" />`;
  const isOver = live.connection === "ended";
  return html`
    <${Head} job=${job} />
    <p class="row no-print report-tools"><a href="#/jobs/${encodeURIComponent(job.id)}">Back to the job</a><span class="grow"></span><${Button} kind="primary" onClick=${() => print()}>Print or save as PDF<//></p>
    <div class="stack report">
      ${!isOver && html`<${Notice} kind="warn">The job has not ended: this is what was known ${date(new Date())}.<//>`}
      <${Facts} ...${live} />
      <${Remarks} job=${job} />
      ${job.version !== null && html`<${Winner} job=${job} />`}
      <${Search} ...${live} isReport=${true} />
      <${Setup} job=${job} />
    </div>`;
}
