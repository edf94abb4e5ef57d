// The columns of a dataset: types that can be fixed in place, small figures, warnings beside their column.
import { html, useState } from "../../vendor/preact.js";
import * as api from "../../api.js";
import { ColumnValues } from "../../figures/mini.js";
import { number, percent, plural } from "../../format.js";
import { Table } from "../../table.js";
import { Badge, Button, Loading, Notice, Problem, useData } from "../../ui.js";

const TYPES = ["number", "category", "boolean", "datetime", "text", "ignored"];

/** `types` holds what was fixed so far; `onRead(dataset, types)` is called with the file read anew. */
export function Columns({ dataset, types, target, excluded, onExclude, onRead, onAgain }) {
  const [wrong, setWrong] = useState(null); // {column, error} of the last type that did not fit
  const [reading, setReading] = useState(null);
  const fix = async (column, type) => {
    setReading(column);
    setWrong(null);
    const wanted = { ...types, [column]: type };
    try {
      onRead(await api.post("/datasets", { from: dataset.id, types: wanted }), wanted);
    } catch (error) {
      setWrong({ column, error });
    }
    setReading(null);
  };
  const general = dataset.warnings.filter((each) => !each.column);
  const canFix = !dataset.builtin;
  const columns = [
    {
      key: "used", title: "Use", sortable: false, filter: false,
      render: (row) => html`<input type="checkbox" aria-label=${`Learn from ${row.name}`} checked=${isUsed(row, target, excluded)} disabled=${row.name === target || row.type === "ignored"} onChange=${() => onExclude(row.name)} />`,
    },
    { key: "name", title: "Column", render: (row) => html`<${Name} column=${row} isTarget=${row.name === target} warnings=${dataset.warnings.filter((each) => each.column === row.name)} wrong=${wrong?.column === row.name ? wrong.error : null} />` },
    {
      key: "type", title: "Type",
      render: (row) => !canFix || row.type === "image" ? row.type : html`<select aria-label=${`Type of ${row.name}`} aria-invalid=${wrong?.column === row.name ? "true" : null} aria-describedby=${wrong?.column === row.name ? "type-error" : null} value=${row.type} disabled=${reading !== null} onChange=${(event) => fix(row.name, event.target.value)}>
        ${TYPES.map((each) => html`<option value=${each} selected=${each === row.type}>${each}</option>`)}
      </select>`,
    },
    { key: "values", title: "Values", sortable: false, filter: false, render: (row) => html`<${ColumnValues} column=${row} rows=${dataset.rows} />` },
    { key: "missing", title: "Missing", numeric: true, render: (row) => (row.missing ? html`${number(row.missing)}<small class="muted">${percent(row.missing / dataset.rows, 1)}</small>` : "0") },
    { key: "distinct", title: "Different", numeric: true },
  ];
  return html`<section class="card stack" aria-labelledby="columns-title">
    <header>
      <h2 id="columns-title">2. Look at its columns</h2>
      <${Button} kind="quiet" onClick=${onAgain}>Choose other data<//>
      <p>${dataset.name || dataset.id}: ${plural(dataset.rows, "row")}, ${plural(dataset.columns.length, "column")}${readingText(dataset.reading)}${reading !== null ? ". Reading the file anew…" : ""}</p>
    </header>
    ${general.length > 0 && html`<${Notice} kind="warn"><ul>${general.map((each) => html`<li>${each.message}</li>`)}</ul><//>`}
    <${Table} caption="Columns of the dataset" columns=${columns} rows=${dataset.columns} keyOf=${(row) => row.name} filterable=${dataset.columns.length > 12} filterHint="Find a column" rowClass=${(row) => (isUsed(row, target, excluded) || row.name === target ? "" : "left-out")} />
    <details>
      <summary>The first rows</summary>
      <${Sample} dataset=${dataset} />
    </details>
  </section>`;
}

const isUsed = (column, target, excluded) => column.type !== "ignored" && column.name !== target && !excluded.has(column.name);

function readingText(reading) {
  if (!reading) return "";
  const parts = [reading.format, reading.encoding, reading.delimiter && `delimiter ${JSON.stringify(reading.delimiter)}`];
  const told = parts.filter(Boolean).join(", ");
  return told ? `, read as ${told}` : "";
}

function Name({ column, isTarget, warnings, wrong }) {
  const texts = wrong ? Object.values(wrong.fields).flat() : [];
  return html`<div class="column-name">
    <strong>${column.name}</strong> ${isTarget && html`<${Badge} state="target" tone="busy" />`}
    ${column.reason && html`<small class="muted">${column.reason}</small>`}
    ${warnings.map((each) => html`<small class="warning"><${Badge} state=${each.code.replaceAll("_", " ")} tone="warn" /> ${each.message}</small>`)}
    ${wrong && html`<small class="error" id="type-error" role="alert">${texts.length ? texts.join(" ") : wrong.message}</small>`}
  </div>`;
}

function Sample({ dataset }) {
  const { data, error } = useData(`/datasets/${dataset.id}/preview`, { query: { rows: 8 } });
  if (error) return html`<${Problem} error=${error} />`;
  if (!data) return html`<${Loading} />`;
  const names = dataset.columns.slice(0, 60).map((each) => each.name);
  return html`<div class="wide" tabindex="0" role="region" aria-label="The first rows">
    <table>
      <thead><tr>${names.map((name) => html`<th scope="col">${name}</th>`)}</tr></thead>
      <tbody>${data.items.map((row) => html`<tr>${names.map((name) => html`<td>${cell(row[name])}</td>`)}</tr>`)}</tbody>
    </table>
  </div>`;
}

function cell(content) {
  if (content === null) return html`<span class="muted">–</span>`;
  if (typeof content === "object") return "image";
  return String(content).slice(0, 80);
}
