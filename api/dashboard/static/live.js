// A job with its trials, kept up to date by its events: nothing is read twice but what changed.
import { useCallback, useEffect, useRef, useState } from "./vendor/preact.js";
import * as api from "./api.js";

const FINAL = new Set(["succeeded", "failed", "cancelled"]);
const ENDED = new Set(["completed", "stopped", "failed", "cancelled", "discarded"]);
const PAGE = 1000;
const FLUSH = 1000; // milliseconds between two drawings of what has arrived
const POLL = 5000; // milliseconds, while the stream is away

export const isFinal = (job) => FINAL.has(job?.state);

/** {job, trials, epochs, error, connection, reload}: `trials` by number, without histories.
 *
 * `epochs` maps a running trial to the last epoch that it told of. `connection` is "loading", "open",
 * "waiting" (the stream comes back) or "ended".
 */
export function useJob(id) {
  const [state, setState] = useState({ job: null, trials: [], epochs: new Map(), error: null, connection: "loading" });
  const [turn, setTurn] = useState(0);
  const reload = useCallback(() => setTurn((old) => old + 1), []);
  useEffect(() => {
    const feed = new Feed(id, (change) => setState((old) => ({ ...old, ...change })));
    feed.run();
    return () => feed.stop();
  }, [id, turn]);
  return { ...state, reload };
}

class Feed {
  constructor(id, tell) {
    this.path = `/tune/${encodeURIComponent(id)}`;
    this.tell = tell;
    this.stopper = new AbortController();
    this.trials = new Map();
    this.epochs = new Map();
    this.stale = new Set(); // numbers of trials to read again
    this.isJobStale = false;
    this.isDirty = false;
    this.connection = "loading";
  }

  stop() {
    this.stopper.abort();
    clearInterval(this.timer);
    clearInterval(this.poll);
  }

  async run() {
    try {
      let job = await this.readJob();
      await this.readTrials(0);
      this.tell({ job, trials: this.list(), error: null, connection: isFinal(job) ? "ended" : "loading" });
      if (isFinal(job)) return;
      this.timer = setInterval(() => this.flush(), FLUSH);
      this.poll = setInterval(() => this.connection !== "open" && this.markOpen(), POLL);
      await api.follow(`${this.path}/events`, {
        after: job.last_event,
        signal: this.stopper.signal,
        onEvents: (events) => events.forEach((event) => this.take(event)),
        onState: (connection) => {
          this.connection = connection;
          this.tell({ connection });
        },
      });
      if (this.stopper.signal.aborted) return;
      this.markOpen();
      await this.flush();
      clearInterval(this.timer);
      clearInterval(this.poll);
      this.tell({ job: await this.readJob(), connection: "ended" });
    } catch (error) {
      if (!this.stopper.signal.aborted) this.tell({ error });
    }
  }

  readJob() {
    return api.get(this.path, { signal: this.stopper.signal });
  }

  /** Read trials above `after`, up to number `last`, and keep them. */
  async readTrials(after, last = Infinity) {
    let next = after;
    while (next !== null && next < last) {
      const limit = Math.min(PAGE, Number.isFinite(last) ? last - next : PAGE);
      const query = { limit, history: false, ...(next ? { after: next } : {}) };
      const page = await api.get(`${this.path}/trials`, { query, signal: this.stopper.signal });
      page.items.forEach((trial) => this.trials.set(trial.number, trial));
      next = page.next === null ? null : Number(page.next);
    }
  }

  list() {
    return [...this.trials.values()].sort((a, b) => a.number - b.number);
  }

  /** Read again whatever may have changed unseen. */
  markOpen() {
    for (const trial of this.trials.values()) if (!ENDED.has(trial.state)) this.stale.add(trial.number);
    this.stale.add(1 + Math.max(0, ...this.trials.keys()));
    this.isJobStale = true;
  }

  take({ kind, data }) {
    if (kind === "state") this.isJobStale = true;
    else if (kind === "epoch") this.epochs.set(data.trial, data.epoch);
    else if (kind === "trial") {
      const known = this.trials.get(data.trial) ?? { number: data.trial, values: {}, score: null, created: null };
      const { trial: number, ...rest } = data;
      this.trials.set(number, { ...known, ...rest, number });
      if (ENDED.has(data.state)) {
        this.epochs.delete(number);
        this.stale.add(number);
        this.isJobStale = true;
      }
    }
    this.isDirty = true;
  }

  async flush() {
    if (this.isFlushing || document.hidden || !(this.isDirty || this.isJobStale || this.stale.size)) return;
    this.isFlushing = true;
    this.isDirty = false;
    const change = {};
    try {
      if (this.stale.size) {
        const numbers = [...this.stale];
        this.stale.clear();
        await this.readTrials(Math.min(...numbers) - 1, Math.max(...numbers));
      }
      if (this.isJobStale) {
        this.isJobStale = false;
        change.job = await this.readJob();
      }
      change.error = null;
    } catch (error) {
      if (this.stopper.signal.aborted) return;
      if (error.status === 404) change.error = error;
      this.markOpen();
    } finally {
      this.isFlushing = false;
    }
    this.tell({ ...change, trials: this.list(), epochs: new Map(this.epochs) });
  }
}

/** Whole trials, with histories, of `numbers`; read again while `isLive` and they train. */
export function useWholeTrials(id, numbers, trials, epochs) {
  const [found, setFound] = useState(new Map());
  const kept = useRef(new Map());
  const wanted = numbers.join(",");
  const mark = numbers.map((number) => `${trials.find((each) => each.number === number)?.state}${epochs.get(number) ?? ""}`).join(",");
  useEffect(() => {
    const stop = new AbortController();
    const read = async () => {
      for (const number of numbers) {
        const known = kept.current.get(number);
        if (known && ENDED.has(known.state)) continue;
        const trial = await api.get(`/tune/${encodeURIComponent(id)}/trials/${number}`, { signal: stop.signal });
        kept.current.set(number, trial);
      }
      setFound(new Map(kept.current));
    };
    read().catch(() => {});
    return () => stop.abort();
  }, [id, wanted, mark]);
  return numbers.map((number) => found.get(number)).filter(Boolean);
}
