// What the fields of the page mean as a request of `POST /tune`.

export const EMPTY = {
  target: "", model: "", trials: "20", strategy: "auto", objective: "", epochs: "", seconds: "", evaluation: "auto",
  network: "mlp", promote: "if_better", seed: "0", tags: "", description: "", more: "",
};

export const whole = (text) => (/^-?\d+$/.test(text.trim()) ? Number(text) : text.trim());
export const real = (text) => (text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : text.trim());

/** {request, error}: the request, or what is wrong with the JSON of the field `more`. */
export function requestOf(dataset, form, excluded) {
  const budget = {};
  if (form.trials.trim()) budget.max_trials = whole(form.trials);
  if (form.epochs.trim()) budget.epochs = whole(form.epochs);
  if (form.seconds.trim()) budget.max_seconds = real(form.seconds);
  const request = {
    model: form.model.trim(),
    dataset: dataset.builtin ? `builtin:${dataset.builtin}` : dataset.id,
    target: form.target,
    ...(excluded.size ? { exclude: [...excluded] } : {}),
    ...(Object.keys(budget).length ? { budget } : {}),
    ...(form.strategy !== "auto" ? { strategy: form.strategy } : {}),
    ...(form.objective.trim() ? { objective: form.objective.trim() } : {}),
    ...(form.evaluation !== "auto" ? { evaluation: { method: form.evaluation } } : {}),
    ...(form.network !== "mlp" ? { network: form.network } : {}),
    ...(form.promote !== "if_better" ? { promote: form.promote } : {}),
    ...(form.seed.trim() && form.seed.trim() !== "0" ? { seed: whole(form.seed) } : {}),
    ...(form.tags.trim() ? { tags: form.tags.split(",").map((each) => each.trim()).filter(Boolean) } : {}),
    ...(form.description.trim() ? { description: form.description.trim() } : {}),
  };
  if (!form.more.trim()) return { request, error: null };
  try {
    const more = JSON.parse(form.more);
    if (more === null || typeof more !== "object" || Array.isArray(more)) return { request, error: "Give a JSON object." };
    return { request: merged(request, more), error: null };
  } catch (error) {
    return { request, error: `This is no JSON: ${error.message}` };
  }
}

/** `more` over `base`; objects such as `budget` are put together. */
function merged(base, more) {
  const found = { ...base };
  for (const [name, value] of Object.entries(more)) {
    const isPart = [value, base[name]].every((each) => each && typeof each === "object" && !Array.isArray(each));
    found[name] = isPart ? merged(base[name], value) : value;
  }
  return found;
}

/** A name that the API takes, made of a file's name or a column. */
export function modelName(text) {
  const plain = text.normalize("NFKD").replace(/\.[a-z0-9.]+$/i, "").replace(/[^A-Za-z0-9]+/g, "-");
  return plain.replace(/^-+|-+$/g, "").slice(0, 60).toLowerCase();
}
