// Small figures inside a row of a table: a histogram, or bars of the most frequent values. Drawn as SVG.
import { html } from "../vendor/preact.js";
import { number, percent, plural } from "../format.js";

const WIDTH = 150;
const HEIGHT = 34;

/** The values of one column of a dataset, from its profile in `GET /datasets/{id}`. */
export function ColumnValues({ column, rows }) {
  if (column.histogram) return html`<${Histogram} column=${column} />`;
  if (column.frequent?.length) return html`<${Frequent} column=${column} rows=${rows} />`;
  if (column.shape?.length) return html`<span class="muted">${column.shape.join(" × ")}</span>`;
  if (column.min !== null && column.min !== undefined) return html`<small class="muted">${end(column.min)} to ${end(column.max)}</small>`;
  return html`<small class="muted">${column.reason || "–"}</small>`;
}

const end = (edge) => (typeof edge === "string" ? edge.slice(0, 10) : number(edge, 3));

function Histogram({ column }) {
  const most = Math.max(...column.histogram);
  const step = WIDTH / column.histogram.length;
  const range = `${end(column.min)} to ${end(column.max)}`;
  const middle = column.quartiles ? `, half of them from ${number(column.quartiles[0], 3)} to ${number(column.quartiles[2], 3)}` : "";
  return html`<div class="mini">
    <svg viewBox="0 0 ${WIDTH} ${HEIGHT}" width=${WIDTH} height=${HEIGHT} role="img" aria-label=${`Values of ${column.name}: ${range}${middle}`}>
      ${column.histogram.map((count, bin) => {
        const height = count ? Math.max(1.5, (HEIGHT * count) / most) : 0;
        return html`<rect x=${bin * step + 0.5} y=${HEIGHT - height} width=${Math.max(1, step - 1)} height=${height}><title>${number(count)}</title></rect>`;
      })}
    </svg>
    <small class="mini-ends muted" aria-hidden="true"><span>${end(column.min)}</span><span>${end(column.max)}</span></small>
  </div>`;
}

function Frequent({ column, rows }) {
  const known = Math.max(1, rows - column.missing);
  const rest = column.distinct - column.frequent.length;
  return html`<ul class="mini-bars">
    ${column.frequent.slice(0, 4).map(
      ({ value, count }) => html`<li>
        <span class="mini-name" title=${String(value)}>${String(value)}</span>
        <progress class="progress" max="1" value=${count / known} aria-label=${`Share of ${value}`}></progress>
        <small class="muted figure">${percent(count / known)}</small>
      </li>`,
    )}
    ${rest > 0 && html`<li class="muted"><small>and ${plural(rest, "more value")}</small></li>`}
  </ul>`;
}
