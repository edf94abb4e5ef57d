// The frame of every figure: title, chart, and its numbers as text. ECharts is loaded when one is shown.
import { html, useEffect, useId, useRef, useState } from "../vendor/preact.js";
import { number } from "../format.js";

const MAX_ROWS = 200; // of the table under a figure

let library = null;
const loadLibrary = () => (library ??= import("../vendor/echarts.js"));

/** Colours of the present theme, for options of charts. */
export function colors() {
  const style = getComputedStyle(document.documentElement);
  const read = (name) => style.getPropertyValue(`--${name}`).trim();
  return {
    ink: read("ink"), muted: read("muted"), line: read("line"), edge: read("edge"), surface: read("surface"),
    accent: read("accent"), good: read("good"), bad: read("bad"), low: read("low"), high: read("high"),
    series: [1, 2, 3, 4, 5, 6].map((index) => read(`series-${index}`)),
  };
}

/** Fit for every chart: type, tooltip as drawn text (markup would need inline styles), no decoration. */
function base(theme) {
  const isCalm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  return {
    animation: !isCalm,
    animationDuration: 250,
    animationDurationUpdate: 250,
    animationThreshold: 300,
    color: theme.series,
    textStyle: { fontFamily: getComputedStyle(document.body).fontFamily, color: theme.ink, fontSize: 12 },
  };
}

const tooltipStyle = (theme) => ({
  renderMode: "richText",
  confine: true,
  backgroundColor: theme.surface,
  borderColor: theme.edge,
  borderWidth: 1,
  padding: [7, 10],
  textStyle: { color: theme.ink, fontSize: 12, lineHeight: 18 },
});

/** Options of an axis in the style of all charts. */
export function axis(theme, name, more = {}) {
  return {
    name,
    nameLocation: "middle",
    nameGap: more.nameGap ?? 30,
    nameTextStyle: { color: theme.muted, fontSize: 12 },
    axisLine: { show: true, lineStyle: { color: theme.edge } },
    axisTick: { show: false },
    axisLabel: { color: theme.muted, hideOverlap: true, formatter: more.type === "category" ? undefined : (each) => number(each, 3),
      ...(Number.isFinite(more.min) && more.min !== 0 ? { showMinLabel: false } : {}), ...(Number.isFinite(more.max) && more.max !== 1 ? { showMaxLabel: false } : {}), ...more.axisLabel },
    splitLine: { show: more.type !== "category", lineStyle: { color: theme.line } },
    scale: true,
    ...Object.fromEntries(Object.entries(more).filter(([key]) => key !== "axisLabel")),
  };
}

export const legend = (theme, more = {}) => ({
  type: "plain", top: 0, left: 0, itemWidth: 14, itemHeight: 9, itemGap: 14,
  textStyle: { color: theme.ink, fontSize: 12 }, inactiveColor: theme.muted, ...more,
});

/** The space around a plot. */
export const grid = (more = {}) => ({ left: 62, right: 20, top: 28, bottom: 46, ...more });

/** A chart of `option(theme)`; `onReady(chart)` may add listeners. The label says what is seen. */
export function Chart({ option, height = 300, width = 0, label, onReady, merge = false }) {
  const box = useRef(null);
  const chart = useRef(null);
  const latest = useRef(option);
  latest.current = option;
  const [failed, setFailed] = useState(null);

  const draw = (isFresh = !merge) => {
    if (!chart.current) return;
    const theme = colors();
    const made = latest.current(theme);
    if (made.tooltip !== false) made.tooltip = { ...tooltipStyle(theme), ...made.tooltip };
    else delete made.tooltip;
    chart.current.setOption({ ...base(theme), ...made }, { notMerge: isFresh });
  };

  useEffect(() => {
    let isGone = false;
    const observer = new ResizeObserver(() => chart.current?.resize());
    const redraw = () => draw(true);
    loadLibrary().then(
      ({ init }) => {
        if (isGone) return;
        chart.current = init(box.current, null, { renderer: "canvas" });
        draw(true);
        observer.observe(box.current);
        onReady?.(chart.current);
        box.current.dataset.drawn = "true";
      },
      (error) => setFailed(error),
    );
    addEventListener("themechange", redraw);
    return () => {
      isGone = true;
      removeEventListener("themechange", redraw);
      observer.disconnect();
      chart.current?.dispose();
      chart.current = null;
    };
  }, []);
  useEffect(() => draw(), [option]);

  if (failed) return html`<p class="missing">The chart library cannot be loaded.</p>`;
  return html`<div class="chart" role="img" aria-label=${label} ref=${box} style=${{ height: `${height}px`, minWidth: `${width}px` }}></div>`;
}

/** A figure in a card. `figure` is what the functions of this folder return:
 *
 * {option(theme), height, width?, summary, table: {columns: [text], rows: [[value]]}, merge?} or {missing: reason};
 * `width` is the least one: a narrow screen scrolls.
 */
export function Figure({ title, note, figure, onReady, children, bare = false }) {
  const id = useId();
  return html`<figure class="${bare ? "" : "card"} figure-card" aria-labelledby=${id}>
    <figcaption>
      <h2 id=${id}>${title}</h2>
      ${note && html`<p>${note}</p>`}
    </figcaption>
    ${children}
    ${!figure || figure.missing
      ? html`<p class="missing">${figure?.missing ?? "Nothing to draw yet."}</p>`
      : html`<div class="chart-scroll"><${Chart} option=${figure.option} height=${figure.height} width=${figure.width} label=${figure.summary} merge=${figure.merge} onReady=${onReady} /></div>
          ${figure.table && html`<${Numbers} table=${figure.table} />`}`}
  </figure>`;
}

/** The data of a figure as a table, which is only made once it is opened. */
function Numbers({ table: { columns, rows } }) {
  const [isOpen, setOpen] = useState(false);
  return html`<details onToggle=${(event) => setOpen(event.target.open)}>
    <summary>Show the numbers</summary>
    ${isOpen &&
    html`<div class="wide" tabindex="0" role="region" aria-label="Numbers of the figure"><table>
      <thead><tr>${columns.map((name) => html`<th scope="col">${name}</th>`)}</tr></thead>
      <tbody>${rows.slice(0, MAX_ROWS).map((row) => html`<tr>${row.map((each) => html`<td class=${typeof each === "number" ? "figure" : null}>${number(each)}</td>`)}</tr>`)}</tbody>
    </table></div>
    ${rows.length > MAX_ROWS && html`<p class="muted">The first ${MAX_ROWS} of ${number(rows.length)} rows.</p>`}`}
  </details>`;
}

/** A line of best-so-far scores as small as a word; `points` are numbers in order. */
export function Spark({ points, label }) {
  const known = (points ?? []).filter((each) => Number.isFinite(each));
  if (known.length < 2) return html`<span class="muted">–</span>`;
  const low = Math.min(...known);
  const span = Math.max(...known) - low;
  const at = (value, index) => [(100 * index) / (known.length - 1), span ? 22 - (20 * (value - low)) / span : 12];
  const path = known.map((value, index) => `${index ? "L" : "M"}${at(value, index).map((each) => each.toFixed(1)).join(" ")}`).join("");
  return html`<svg class="spark" viewBox="0 0 100 24" preserveAspectRatio="none" role="img" aria-label=${label}><path d=${path} /></svg>`;
}
