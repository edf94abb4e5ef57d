// The shell: navigation, the hash router, the theme, and the dialog that asks for a key.
import { html, render, useEffect, useRef, useState } from "./vendor/preact.js";
import * as api from "./api.js";
import { Button, Dialog, Field, Guarded, Loading, Problem, Toasts } from "./ui.js";

// Each page is a module of its own, loaded when it is first shown.
const ROUTES = [
  [/^start$/, () => import("./pages/start.js"), []],
  [/^jobs$/, () => import("./pages/jobs.js"), []],
  [/^jobs\/([^/]+)$/, () => import("./pages/job.js"), ["job"]],
  [/^jobs\/([^/]+)\/report$/, () => import("./pages/report.js"), ["job"]],
  [/^compare$/, () => import("./pages/compare.js"), []],
  [/^models$/, () => import("./pages/models.js"), []],
  [/^models\/([^/]+)$/, () => import("./pages/model.js"), ["model"]],
  [/^predict$/, () => import("./pages/predict.js"), []],
];
const SECTIONS = [["start", "Start"], ["jobs", "Jobs"], ["models", "Models"], ["predict", "Predict"]];

/** {path, params, load} of the address: parameters of the path and of the query together. */
function route() {
  const [path, query = ""] = (location.hash.replace(/^#\/?/, "") || "start").split("?");
  for (const [pattern, load, names] of ROUTES) {
    const found = pattern.exec(path);
    if (!found) continue;
    const params = Object.fromEntries(new URLSearchParams(query));
    names.forEach((name, index) => (params[name] = decoded(found[index + 1])));
    return { path, params, load };
  }
  return { path, params: {}, load: null };
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // an address that was cut: the service says that it has no such name
  }
}

function App() {
  const [at, setAt] = useState(route);
  const [Page, setPage] = useState(null);
  const [failed, setFailed] = useState(null);
  const [keyWanted, setKeyWanted] = useState(null);
  const main = useRef(null);

  useEffect(() => {
    const follow = () => setAt(route());
    addEventListener("hashchange", follow);
    api.onKeyNeeded((wasRefused) => new Promise((answer) => setKeyWanted({ wasRefused, answer })));
    return () => removeEventListener("hashchange", follow);
  }, []);

  useEffect(() => {
    let isCurrent = true;
    setFailed(null);
    at.load?.().then(
      (module) => isCurrent && setPage({ path: at.path, Page: module.default }),
      (error) => isCurrent && setFailed(error),
    );
    scrollTo(0, 0);
    return () => (isCurrent = false);
  }, [at.path]);

  const isFirst = useRef(true);
  useEffect(() => {
    if (!isFirst.current) main.current?.focus({ preventScroll: true });
    isFirst.current = false;
  }, [at.path]);

  return html`
    <a class="skip" href="#main" onClick=${(event) => { event.preventDefault(); main.current.focus(); }}>Skip to content</a>
    <${Header} path=${at.path} />
    <main id="main" ref=${main} tabindex="-1" class="page">
      ${content(at, Page, failed)}
    </main>
    <${Toasts} />
    ${keyWanted && html`<${KeyDialog} ...${keyWanted} onDone=${() => setKeyWanted(null)} />`}
  `;
}

function content(at, found, failed) {
  if (!at.load) return html`<h1>Nothing is here</h1><p>The address <code>#/${at.path}</code> names no page. <a href="#/jobs">See the jobs</a>.</p>`;
  if (failed) return html`<${Problem} error=${{ message: "This page cannot be loaded. Is the service running?" }} onRetry=${() => location.reload()} />`;
  if (found?.path !== at.path) return html`<${Loading} />`;
  return html`<${Guarded} key=${at.path}><${found.Page} params=${at.params} /><//>`;
}

function Header({ path }) {
  const current = path === "compare" ? "jobs" : path.split("/")[0];
  return html`<header class="top">
    <a class="brand" href="#/start"><img src="/dashboard/static/icon.svg" alt="" width="28" height="28" /><span>Luthier</span></a>
    <nav aria-label="Main">
      ${SECTIONS.map(([name, title]) => html`<a href="#/${name}" aria-current=${current === name ? "page" : null}>${title}</a>`)}
    </nav>
    <div class="top-end">
      <a class="quiet-link" href="/docs">API</a>
      <${Theme} />
    </div>
  </header>`;
}

const NEXT = { auto: "light", light: "dark", dark: "auto" };

function Theme() {
  const [theme, setTheme] = useState(window.luthierTheme.choice);
  const change = () => {
    window.luthierTheme.choose(NEXT[theme]);
    setTheme(NEXT[theme]);
  };
  const glyph = { auto: "◐", light: "☀", dark: "☾" }[theme];
  return html`<button type="button" class="icon" aria-label=${`Theme: ${theme}. Change it`} title=${`Theme: ${theme}`} onClick=${change}>${glyph}</button>`;
}

function KeyDialog({ wasRefused, answer, onDone }) {
  const [text, setText] = useState("");
  const done = (isGiven) => {
    onDone();
    answer(isGiven);
  };
  const save = (event) => {
    event.preventDefault();
    if (!text.trim()) return;
    api.setKey(text.trim());
    done(true);
  };
  const errors = wasRefused ? ["That key is not valid, or no longer."] : null;
  return html`<${Dialog} title="This service needs a key" onClose=${() => done(false)}>
    <form onSubmit=${save} class="stack">
      <p>Ask whoever runs it, or make one with <code>luthier keys create</code>. It is kept until you close this tab.</p>
      <${Field} label="API key" errors=${errors}>
        ${(control) => html`<input ...${control} type="password" autocomplete="off" spellcheck="false" autofocus value=${text} onInput=${(event) => setText(event.target.value)} />`}
      <//>
      <p class="actions"><${Button} kind="primary" type="submit">Use this key<//></p>
    </form>
  <//>`;
}

render(html`<${App} />`, document.getElementById("app"));
