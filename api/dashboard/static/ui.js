// Shared parts of all pages. Tables are in table.js, charts in figures/chart.js.
import { html, useCallback, useEffect, useErrorBoundary, useId, useRef, useState } from "./vendor/preact.js";
import * as api from "./api.js";
import { number } from "./format.js";

/** What `path` answers: {data, error, loading, reload, setData}. Null asks for nothing.
 *
 * `every` asks again after so many milliseconds, while the page is visible.
 */
export function useData(path, { every = 0, query } = {}) {
  const [state, setState] = useState({ data: null, error: null, loading: Boolean(path) });
  const [turn, setTurn] = useState(0);
  const full = path ? api.address(path, query) : null;
  useEffect(() => {
    if (!full) return setState({ data: null, error: null, loading: false });
    const stop = new AbortController();
    let timer = null;
    const ask = async () => {
      try {
        if (!document.hidden || !every) {
          const data = await api.get(full, { signal: stop.signal });
          setState({ data, error: null, loading: false });
        }
      } catch (error) {
        if (stop.signal.aborted) return;
        setState((old) => ({ data: old.data, error, loading: false }));
        if (error.status >= 400 && error.status < 500 && error.status !== 429) return; // it will be refused again
      }
      if (every && !stop.signal.aborted) timer = setTimeout(ask, every);
    };
    ask();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [full, every, turn]);
  const reload = useCallback(() => setTurn((old) => old + 1), []);
  const setData = useCallback((data) => setState((old) => ({ ...old, data })), []);
  return { ...state, reload, setData };
}

/** Run an async action once at a time: [run, isBusy]; errors are toasts unless `onError` takes them. */
export function useAction(action, onError) {
  const [isBusy, setBusy] = useState(false);
  const run = async (...given) => {
    if (isBusy) return;
    setBusy(true);
    try {
      await action(...given);
    } catch (error) {
      if (onError) onError(error);
      else toast(error.message, "bad");
    } finally {
      setBusy(false);
    }
  };
  return [run, isBusy];
}

export function useTitle(text) {
  useEffect(() => {
    document.title = text ? `${text} · Luthier` : "Luthier";
  }, [text]);
}

/** kind: "primary", "quiet", "danger" or none. */
export function Button({ kind = "", busy = false, disabled = false, type = "button", children, ...more }) {
  return html`<button type=${type} class="button ${kind}" disabled=${disabled || busy} aria-busy=${busy ? "true" : null} ...${more}>
    ${children}
  </button>`;
}

const TONES = {
  succeeded: "good", completed: "good", champion: "good", ok: "good",
  running: "busy", cancelling: "busy",
  queued: "calm", waiting: "calm", paused: "warn", stopped: "calm", discarded: "calm", cancelled: "calm",
  failed: "bad", drifted: "bad",
};

/** A state in a word; `tone` (good, busy, calm, warn, bad) where the word is not a known state. */
export const Badge = ({ state, tone }) => html`<span class="badge ${tone ?? TONES[state] ?? "calm"}">${state}</span>`;

/** A labelled control: `children` is a function of {id, "aria-describedby", "aria-invalid"}. */
export function Field({ label, hint, errors, children }) {
  const id = useId();
  const note = hint || errors?.length ? `${id}-note` : null;
  const attributes = { id, "aria-describedby": note, "aria-invalid": errors?.length ? "true" : null };
  return html`<div class="field ${errors?.length ? "wrong" : ""}">
    <label for=${id}>${label}</label>
    ${children(attributes)}
    ${note && html`<p class="hint" id=${note}>${errors?.length ? html`<span class="error">${errors.join(" ")}</span>` : hint}</p>`}
  </div>`;
}

/** A checkbox with its label; `onChange` gets whether it is ticked. */
export function Check({ checked, hint, onChange, children }) {
  const id = useId();
  return html`<div class="check">
    <label><input type="checkbox" aria-describedby=${hint ? id : null} checked=${checked} onChange=${(event) => onChange(event.target.checked)} /> ${children}</label>
    ${hint && html`<p class="hint" id=${id}>${hint}</p>`}
  </div>`;
}

/** A problem of the API; field errors that no field shows are listed. */
export function Problem({ error, shown = [], onRetry }) {
  if (!error) return null;
  const rest = Object.entries(error.fields ?? {}).filter(([name]) => !shown.includes(name));
  return html`<div class="notice bad" role="alert">
    <p>${error.message}</p>
    ${rest.length > 0 && html`<ul>${rest.map(([name, texts]) => html`<li><code>${name}</code> ${texts.join(" ")}</li>`)}</ul>`}
    ${onRetry && html`<p><${Button} onClick=${onRetry}>Try again<//></p>`}
  </div>`;
}

/** A remark in a box; kind: "info", "warn" or "bad". */
export const Notice = ({ kind = "info", children }) => html`<div class="notice ${kind}">${children}</div>`;

/** What stands where nothing is yet: a title, a sentence and what to do. */
export const Empty = ({ title, children, action }) => html`<div class="empty">
  <h2>${title}</h2>
  <p>${children}</p>
  ${action}
</div>`;

export const Loading = ({ what = "Loading" }) => html`<p class="loading" role="status"><span class="spinner" aria-hidden="true"></span>${what}…</p>`;

/** A number with its 95 % interval. */
export const Interval = ({ value, bounds }) => html`<span class="figure">
  ${number(value)}${bounds && html` <small class="muted">${number(bounds[0])} to ${number(bounds[1])}</small>`}
</span>`;

export function Progress({ value, max, label }) {
  const part = max ? Math.min(1, value / max) : 0;
  return html`<progress class="progress" max="1" value=${part} aria-label=${label}>${Math.round(100 * part)} %</progress>`;
}

/** A modal dialog over the native element: Escape closes, focus stays inside and returns. */
export function Dialog({ title, onClose, children, actions }) {
  const box = useRef(null);
  const id = useId();
  useEffect(() => {
    const opener = document.activeElement;
    const dialog = box.current;
    dialog.showModal();
    return () => {
      dialog.close();
      opener?.focus({ preventScroll: true });
    };
  }, []);
  const cancel = (event) => {
    event.preventDefault();
    onClose();
  };
  return html`<dialog ref=${box} class="dialog" aria-labelledby=${id} onCancel=${cancel}>
    <header>
      <h2 id=${id}>${title}</h2>
      <button type="button" class="icon" aria-label="Close" onClick=${onClose}>×</button>
    </header>
    <div class="dialog-body">${children}</div>
    ${actions && html`<footer>${actions}</footer>`}
  </dialog>`;
}

/** Ask before something that cannot be undone: `onYes` may be async. */
export function Confirm({ title, children, yes, kind = "danger", onYes, onClose }) {
  const [run, busy] = useAction(async () => {
    await onYes();
    onClose();
  });
  const actions = html`<${Button} onClick=${onClose}>Cancel<//><${Button} kind=${kind} busy=${busy} onClick=${run}>${yes}<//>`;
  return html`<${Dialog} title=${title} onClose=${onClose} actions=${actions}>${children}<//>`;
}

let tellOf = () => {};
/** Say something for a few seconds; kind: "good" or "bad". Bad ones stay until they are closed. */
export const toast = (text, kind = "good") => tellOf({ text, kind, id: Math.random() });

export function Toasts() {
  const [shown, setShown] = useState([]);
  const close = (id) => setShown((old) => old.filter((each) => each.id !== id));
  tellOf = (one) => {
    setShown((old) => [...old, one].slice(-3));
    if (one.kind !== "bad") setTimeout(() => close(one.id), 5000);
  };
  return html`<div class="toasts" role="status" aria-live="polite">
    ${shown.map(
      (each) => html`<div key=${each.id} class="toast ${each.kind}">
        <span>${each.text}</span>
        <button type="button" class="icon" aria-label="Dismiss" onClick=${() => close(each.id)}>×</button>
      </div>`,
    )}
  </div>`;
}

export function Copy({ text, children = "Copy" }) {
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      toast("Copied.");
    } catch {
      toast("The browser does not allow copying here. Select the text instead.", "bad");
    }
  };
  return html`<${Button} onClick=${copy}>${children}<//>`;
}

/** A block of code with a copy button. */
export const Code = ({ text, label = "Copy" }) => html`<div class="code">
  <pre tabindex="0">${text}</pre>
  <${Copy} text=${text}>${label}<//>
</div>`;

/** Shows a message instead of a white page where a part throws. */
export function Guarded({ children }) {
  const [error, reset] = useErrorBoundary((thrown) => console.error(thrown));
  if (error) return html`<${Problem} error=${{ message: `This part of the page failed: ${error.message}` }} onRetry=${reset} />`;
  return children;
}
