// The search of a job: its figures, and the table of trials, which the brush of the parallel coordinates filters.
import { html, useCallback, useEffect, useMemo, useRef, useState } from "../../vendor/preact.js";
import * as api from "../../api.js";
import { Figure } from "../../figures/chart.js";
import { clearBrush, followBrush, parallelFigure } from "../../figures/parallel.js";
import { frontFigure, importanceFigure, learningFigure, overfittingFigure, progressFigure } from "../../figures/search.js";
import { objectivesOf, scored } from "../../figures/scores.js";
import { number } from "../../format.js";
import { isFinal, useWholeTrials } from "../../live.js";
import { Button, Notice } from "../../ui.js";
import { Leaders, TrialsTable } from "./trials.js";

const MAX_CURVES = 6;
const MORE = 1.1; // growth of the trials from which importance is ranked again
const MIN_SCORED = 10; // trials that the API ranks

/** The importance of hyperparameters: asked again as the trials grow by a tenth, and at the end. */
export function useImportance(job, trials) {
  const count = scored(trials).length;
  const step = count < MIN_SCORED ? 0 : Math.floor(Math.log(count) / Math.log(MORE));
  const [found, setFound] = useState({ data: null, reason: null, isAsked: false });
  useEffect(() => {
    if (!step) return undefined;
    setFound((old) => ({ ...old, isAsked: true }));
    const stop = new AbortController();
    api.get(`/tune/${encodeURIComponent(job.id)}/importance`, { signal: stop.signal }).then(
      (data) => setFound({ data, reason: null, isAsked: true }),
      (error) => !stop.signal.aborted && setFound((old) => ({ ...old, reason: error.message })),
    );
    return () => stop.abort();
  }, [job.id, step, isFinal(job)]);
  return found;
}

/** With `isReport`, the best trials are listed and nothing is to be chosen. */
export function Search({ job, trials, epochs, isReport = false }) {
  const objectives = objectivesOf(job.request);
  const [first] = objectives;
  const [chosen, setChosen] = useState(new Set());
  const [brushed, setBrushed] = useState(null);
  const importance = useImportance(job, trials);
  const ranking = useMemo(() => importance.data?.items.map((each) => each.hyperparameter) ?? [], [importance.data]);

  const best = useMemo(() => {
    const sign = first.direction === "max" ? -1 : 1;
    return scored(trials, false).sort((a, b) => sign * (a.score - b.score)).slice(0, 3).map((trial) => trial.number);
  }, [trials]);
  const running = trials.filter((trial) => trial.state === "running").map((trial) => trial.number);
  const drawn = chosen.size ? [...chosen].slice(-MAX_CURVES) : [...new Set([...best, ...running])].slice(0, MAX_CURVES);
  const whole = useWholeTrials(job.id, drawn, trials, epochs);

  const progress = useMemo(() => progressFigure(trials, first), [trials]);
  const learning = useMemo(() => learningFigure(whole), [whole.map((trial) => `${trial.number}:${trial.history?.loss?.length}`).join()]);
  const parallel = useMemo(() => parallelFigure(trials, first, ranking), [trials, ranking]);
  const overfitting = useMemo(() => overfittingFigure(trials), [trials]);
  const front = useMemo(() => (objectives.length > 1 ? frontFigure(trials, job.front ?? [], objectives) : null), [trials, job.front]);
  const ranked = useMemo(() => (importanceFigure(importance.data, importance.reason ?? (importance.isAsked ? "Ranking the hyperparameters …" : null))), [importance]);

  useEffect(() => setBrushed(null), [parallel.key]); // it is another chart then
  const latest = useRef(parallel);
  latest.current = parallel;
  const chart = useRef(null);
  const onReady = useCallback((made) => {
    chart.current = made;
    followBrush(made, () => latest.current, setBrushed);
  }, []);
  const clear = () => {
    clearBrush(chart.current);
    setBrushed(null);
  };
  const shown = useMemo(() => (brushed ? trials.filter((trial) => brushed.has(trial.number)) : trials), [trials, brushed]);

  return html`
    <div class="grid">
      <${Figure} title="Best score so far" figure=${progress} />
      <${Figure} title="Learning curves" figure=${learning} note=${learningNote(chosen.size, isReport)} />
      ${front && html`<${Figure} title="Pareto front" figure=${front} note="Trials that no other beats by every objective." />`}
      <div class="span"><${Figure} key=${parallel.key} title="Every trial’s values" figure=${parallel} onReady=${onReady} note=${isReport ? "The darkest lines have the best scores." : "Drag along an axis to choose trials; the table below shows them. A click on the axis removes the choice."} /></div>
      <${Figure} title="Importance of hyperparameters" figure=${ranked} note=${importance.data?.warning} />
      <${Figure} title="Overfitting" figure=${overfitting} note="Above the line, a trial does worse on rows that it did not learn from." />
    </div>
    ${brushed && html`<${Notice}><span class="row"><span class="grow">${number(brushed.size)} of ${number(trials.length)} trials are chosen by the brush.</span><${Button} onClick=${clear}>Show all trials<//></span><//>`}
    ${isReport
      ? html`<${Leaders} job=${job} trials=${trials} />`
      : html`<${TrialsTable} job=${job} trials=${shown} epochs=${epochs} chosen=${chosen} onChoose=${setChosen} />`}`;
}

const learningNote = (count, isReport) => (count ? "Of the trials that you chose in the table." : `Of the best trials.${isReport ? "" : " Choose others in the table."}`);
