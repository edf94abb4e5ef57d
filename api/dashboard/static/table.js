// A table that sorts, filters and pages: only the rows of one page are in the document.
import { html, useEffect, useMemo, useState } from "./vendor/preact.js";
import { number } from "./format.js";

/** Columns: {key, title, value?(row), render?(row), numeric?, sortable? = true, filter? = true}.
 *
 * `value` gives what is sorted and searched, `render` what is shown. `onOpen(row)` makes rows clickable;
 * `selected` (a Set of keys) with `onSelect(set)` adds check boxes. `sort` is {key, down}.
 */
export function Table({
  columns, rows, keyOf, caption, sort: first = null, filterable = false, filterHint = "Filter", pageSize = 25,
  selected, onSelect, onOpen, rowClass, empty = "Nothing here.", tools,
}) {
  const [sort, setSort] = useState(first);
  const [text, setText] = useState("");
  const [page, setPage] = useState(0);
  const shown = useMemo(() => ordered(matching(rows, columns, text), columns, sort), [rows, columns, text, sort]);
  const pages = Math.max(1, Math.ceil(shown.length / pageSize));
  const at = Math.min(page, pages - 1);
  const visible = shown.slice(at * pageSize, (at + 1) * pageSize);
  useEffect(() => setPage(0), [text, sort]);

  const toggle = (key) => {
    const next = new Set(selected);
    if (!next.delete(key)) next.add(key);
    onSelect(next);
  };
  const turn = (key, numeric) => setSort((old) => ({ key, down: old?.key === key ? !old.down : Boolean(numeric) }));

  return html`<div class="table-part">
    ${(filterable || tools) &&
    html`<div class="table-tools">
      ${filterable && html`<input type="search" class="filter" placeholder=${filterHint} aria-label=${filterHint} value=${text} onInput=${(event) => setText(event.target.value)} />`}
      ${tools}
    </div>`}
    <div class="wide" tabindex="0" role="region" aria-label=${caption}>
      <table>
        <caption class="hidden">${caption}</caption>
        <thead>
          <tr>
            ${onSelect && html`<th scope="col" class="pick"><span class="hidden">Choose</span></th>`}
            ${columns.map((column) => html`<${Head} key=${column.key} column=${column} sort=${sort} onSort=${turn} />`)}
          </tr>
        </thead>
        <tbody>
          ${visible.map((row) => {
            const key = keyOf(row);
            return html`<tr key=${key} class=${[rowClass?.(row), onOpen && "opens"].filter(Boolean).join(" ")} onClick=${onOpen && ((event) => event.target.closest("a,button,input,label") ?? onOpen(row))}>
              ${onSelect && html`<td class="pick"><input type="checkbox" aria-label=${`Choose ${key}`} checked=${selected.has(key)} onChange=${() => toggle(key)} /></td>`}
              ${columns.map((column) => html`<td key=${column.key} class=${column.numeric ? "figure" : null}>${shownValue(column, row)}</td>`)}
            </tr>`;
          })}
          ${visible.length === 0 && html`<tr><td class="nothing" colspan=${columns.length + (onSelect ? 1 : 0)}>${text ? `Nothing matches “${text}”.` : empty}</td></tr>`}
        </tbody>
      </table>
    </div>
    ${pages > 1 && html`<${Pager} at=${at} pages=${pages} size=${pageSize} total=${shown.length} onTurn=${setPage} />`}
  </div>`;
}

function Head({ column, sort, onSort }) {
  const isSorted = sort?.key === column.key;
  const direction = isSorted ? (sort.down ? "descending" : "ascending") : null;
  return html`<th scope="col" class=${column.numeric ? "figure" : null} aria-sort=${direction}>
    ${column.sortable === false
      ? column.title
      : html`<button type="button" class="sort ${direction ?? ""}" onClick=${() => onSort(column.key, column.numeric)}>${column.title}</button>`}
  </th>`;
}

const Pager = ({ at, pages, size, total, onTurn }) => html`<nav class="pager" aria-label="Pages of the table">
  <button type="button" class="button" disabled=${at === 0} onClick=${() => onTurn(at - 1)}>Previous</button>
  <span>${number(at * size + 1)}–${number(Math.min(total, (at + 1) * size))} of ${number(total)}</span>
  <button type="button" class="button" disabled=${at >= pages - 1} onClick=${() => onTurn(at + 1)}>Next</button>
</nav>`;

const valueOf = (column, row) => (column.value ? column.value(row) : row[column.key]);

function shownValue(column, row) {
  if (column.render) return column.render(row);
  const found = valueOf(column, row);
  return column.numeric ? number(found) : (found ?? "–");
}

/** Rows that contain every word; `name<0.5`, `name>3` and `name=adam` compare a column by its title or key. */
export function matching(rows, columns, text) {
  const tests = text.trim().split(/\s+/).filter(Boolean).map((word) => predicate(word, columns));
  return tests.length ? rows.filter((row) => tests.every((test) => test(row))) : rows;
}

function predicate(word, columns) {
  const found = /^([^<>=]+)([<>=])(.+)$/.exec(word);
  const named = found && columns.find(({ key, title }) => [key, title].some((each) => String(each).toLowerCase() === found[1].toLowerCase()));
  if (named) {
    const [, , sign, wanted] = found;
    if (sign === "=") return (row) => String(valueOf(named, row)).toLowerCase() === wanted.toLowerCase();
    return (row) => {
      const value = valueOf(named, row);
      return typeof value === "number" && (sign === "<" ? value < Number(wanted) : value > Number(wanted));
    };
  }
  const lower = word.toLowerCase();
  const searched = columns.filter((column) => column.filter !== false);
  return (row) => searched.some((column) => String(valueOf(column, row) ?? "").toLowerCase().includes(lower));
}

/** Missing values come last in both directions. */
function ordered(rows, columns, sort) {
  const column = sort && columns.find(({ key }) => key === sort.key);
  if (!column) return rows;
  const sign = sort.down ? -1 : 1;
  const isMissing = (each) => each === null || each === undefined || Number.isNaN(each);
  return rows
    .map((row) => [valueOf(column, row), row])
    .sort(([a], [b]) => {
      if (isMissing(a) || isMissing(b)) return isMissing(a) - isMissing(b);
      return sign * (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true }));
    })
    .map(([, row]) => row);
}
