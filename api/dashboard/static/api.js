// Calls of the API: the key, problems as errors, uploads with progress, and Server-Sent Events.

const KEY = "luthier-key";
let askForKey = async () => false; // set by the app: shows the dialog, true once a key was given
let asking = null;

export class ApiError extends Error {
  /** `fields` maps a field's path, as the API names it, to its messages. */
  constructor(status, body) {
    super(body?.detail || body?.title || (status ? `The service answered ${status}.` : "The service cannot be reached."));
    this.status = status;
    this.fields = flatten(body?.errors);
    this.body = body;
    this.requestId = body?.request_id ?? null;
  }
}

function flatten(errors, prefix = "", found = {}) {
  for (const [name, each] of Object.entries(errors ?? {})) {
    const path = prefix ? `${prefix}.${name}` : name;
    if (Array.isArray(each)) found[path] = each.map(String);
    else if (each && typeof each === "object") flatten(each, path, found);
    else found[path] = [String(each)];
  }
  return found;
}

export const onKeyNeeded = (ask) => (askForKey = ask);
export const key = () => sessionStorage.getItem(KEY);
export function setKey(text) {
  if (text) sessionStorage.setItem(KEY, text);
  else sessionStorage.removeItem(KEY);
}

/** The address of `path` with the query that is set. */
export function address(path, query = {}) {
  const given = Object.entries(query).filter(([, each]) => each !== undefined && each !== null && each !== "");
  const pairs = given.flatMap(([name, each]) => [each].flat().map((one) => [name, one]));
  return pairs.length ? `${path}?${new URLSearchParams(pairs)}` : path;
}

function headersWith(more) {
  const headers = new Headers(more);
  const own = key();
  if (own) headers.set("Authorization", `Bearer ${own}`);
  return headers;
}

async function problemOf(response) {
  const body = await response.json().catch(() => null);
  return new ApiError(response.status, body);
}

/** Whether a key was given after `sent` was refused; several refusals show one dialog. */
async function newKey(sent) {
  if (key() !== sent) return true; // another request asked meanwhile
  asking ??= askForKey(sent !== null).finally(() => (asking = null));
  return asking;
}

/** The response of one request; throws an ApiError, asks for a key where one is needed. */
export async function request(method, path, { query, body, headers = {}, signal } = {}) {
  const isForm = body instanceof FormData || body instanceof Blob;
  const sent = key();
  let response;
  try {
    response = await fetch(address(path, query), {
      method,
      signal,
      headers: headersWith(body === undefined || isForm ? headers : { "Content-Type": "application/json", ...headers }),
      body: body === undefined || isForm ? body : JSON.stringify(body),
    });
  } catch (error) {
    throw error.name === "AbortError" ? error : new ApiError(0, null);
  }
  if (response.status === 401 && (await newKey(sent))) return request(method, path, { query, body, headers, signal });
  if (!response.ok) throw await problemOf(response);
  return response;
}

async function json(method, path, options) {
  const response = await request(method, path, options);
  return response.status === 204 ? null : response.json();
}

const asJson = { Accept: "application/json" };
export const get = (path, options) => json("GET", path, { headers: asJson, ...options });
export const post = (path, body, options) => json("POST", path, { body, ...options });
export const put = (path, body, options) => json("PUT", path, { body, ...options });
export const patch = (path, body, options) => json("PATCH", path, { body, ...options });
export const del = (path, options) => json("DELETE", path, options);

/** Post a FormData; `onProgress` is called with the part that was sent, 0 to 1. */
export function upload(path, form, { query, onProgress } = {}) {
  const sent = key();
  return new Promise((resolve, reject) => {
    const call = new XMLHttpRequest();
    call.open("POST", address(path, query));
    call.setRequestHeader("Accept", "application/json");
    if (sent) call.setRequestHeader("Authorization", `Bearer ${sent}`);
    call.upload.onprogress = (event) => event.lengthComputable && onProgress?.(event.loaded / event.total);
    call.onerror = () => reject(new ApiError(0, null));
    call.onload = async () => {
      const body = parsed(call.responseText);
      if (call.status < 400) resolve(body);
      else if (call.status === 401 && (await newKey(sent))) upload(path, form, { query, onProgress }).then(resolve, reject);
      else reject(new ApiError(call.status, body));
    };
    call.send(form);
  });
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** A POST of JSON as a shell command; the key itself is left out. */
export function curlOf(path, body, indent = 2) {
  const own = key() ? ` \\\n  -H "Authorization: Bearer $LUTHIER_API_KEY"` : "";
  const text = JSON.stringify(body, null, indent).replaceAll("'", "'\\''");
  return `curl ${location.origin}${path}${own} \\\n  -H 'Content-Type: application/json' \\\n  -d '${text}'`;
}

/** Save what `path` answers, or a Blob, as a file. */
export async function download(path, name, options) {
  const blob = path instanceof Blob ? path : await (await request("GET", path, options)).blob();
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** Follow Server-Sent Events over fetch, since an EventSource cannot send the key.
 *
 * Calls `onEvents` with a list of {id, kind, data} for each piece that arrives, `onState` with "open" or
 * "waiting". Comes back after a lost connection; returns once the server has nothing left to tell (204).
 */
export async function follow(path, { after = 0, onEvents, onState, signal }) {
  let seen = after;
  let pause = 1000;
  while (!signal.aborted) {
    let isLost = false;
    try {
      const headers = { Accept: "text/event-stream", ...(seen ? { "Last-Event-ID": String(seen) } : {}) };
      const response = await request("GET", path, { headers, signal });
      if (response.status === 204) return;
      onState?.("open");
      pause = 1000;
      for await (const events of pieces(response.body)) {
        if (events.length) {
          seen = events.at(-1).id ?? seen;
          onEvents(events);
        }
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof ApiError && error.status && error.status !== 503 && error.status < 500) throw error;
      isLost = true;
    }
    if (signal.aborted) return;
    if (isLost) onState?.("waiting");
    await new Promise((resolve) => setTimeout(resolve, pause));
    pause = Math.min(15_000, 2 * pause);
  }
}

async function* pieces(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const blocks = text.split("\n\n");
    text = blocks.pop();
    yield blocks.map(event).filter(Boolean);
  }
}

function event(block) {
  const found = {};
  for (const line of block.split("\n")) {
    const at = line.indexOf(": ");
    if (at > 0) found[line.slice(0, at)] = line.slice(at + 2);
  }
  return found.data ? { id: Number(found.id), kind: found.event, data: JSON.parse(found.data) } : null;
}
