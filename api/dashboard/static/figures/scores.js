// What scores of a job mean: its objectives, which score is better, and how metrics are called.

const LABELS = {
  loss: "loss", mae: "mean absolute error", mse: "mean squared error", rmse: "root mean squared error", r2: "R²",
  accuracy: "accuracy", balanced_accuracy: "balanced accuracy", precision: "precision", recall: "recall", f1: "F1",
  auc: "area under the ROC curve", log_loss: "log loss", parameters: "parameters", latency_ms: "latency in ms",
};

/** Objectives of a decided request, the first one first: [{metric, direction}]. */
export const objectivesOf = (request) => [request?.objective ?? { metric: "score", direction: "min" }].flat();

export const metricLabel = (name) => LABELS[name] ?? String(name).replaceAll("_", " ");

export const isBetter = (direction, a, b) => (direction === "max" ? a > b : a < b);

export const betterIs = (direction) => (direction === "max" ? "higher is better" : "lower is better");

/** Trials that ended with a score and keep the constraints or, with `all`, any with a score. */
export const scored = (trials, all = true) =>
  trials.filter((trial) => Number.isFinite(trial.score) && trial.state !== "discarded" && (all || trial.fits !== false));

/** Best score so far after each trial that ended, in the order of their ends: [{number, score, best}]. */
export function bestSoFar(trials, direction) {
  const ended = scored(trials).sort((a, b) => String(a.finished ?? "").localeCompare(String(b.finished ?? "")) || a.number - b.number);
  let best = null;
  return ended.map(({ number, score, fits, state }) => {
    if (fits !== false && (best === null || isBetter(direction, score, best))) best = score;
    return { number, score, best, state };
  });
}

/** Ends of an axis that leave out outliers: scores that nearly diverged would flatten the rest. */
export function calmRange(values, direction) {
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b);
  if (sorted.length < 8) return {};
  const at = (part) => sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))];
  const spread = at(0.75) - at(0.25) || Math.abs(at(0.5)) * 0.1 || 1;
  if (direction === "max") return at(0.25) - 3 * spread > sorted[0] ? { min: at(0.25) - 3 * spread } : {};
  return at(0.75) + 3 * spread < sorted.at(-1) ? { max: at(0.75) + 3 * spread } : {};
}
