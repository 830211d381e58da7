// Curves from counters: what the server counts since a model was loaded, asked for each second, is differenced here.

const KEEP = 121; // points: two minutes

/** The duration below which the part q of what a histogram counted lies; null where it counted nothing. */
export function quantile(counts, bounds, q) {
  const total = counts.reduce((a, b) => a + b, 0);
  if (total <= 0) return null;
  let below = 0;
  for (let k = 0; k < counts.length; k++) {
    if (counts[k] > 0 && below + counts[k] >= q * total) {
      const upper = bounds[Math.min(k, bounds.length - 1)];
      const part = (q * total - below) / counts[k];
      return (upper / 2) * 2 ** part; // a bucket reaches from half of its bound to its bound
    }
    below += counts[k];
  }
  return bounds.at(-1);
}

const differences = (now, before) => now.map((n, i) => n - before[i]);
export const total = (counts) => counts.reduce((a, b) => a + b, 0);
const failed = (live) => total(Object.values(live.failures));

/** The last two minutes of every version. */
export class History {
  #points = new Map(); // key -> [{now, live}]
  #bounds = [];

  add(state) {
    this.#bounds = state.buckets;
    const known = new Set();
    for (const model of state.models) {
      if (!model.live) continue;
      const key = keyOf(model);
      known.add(key);
      let points = this.#points.get(key) ?? [];
      const last = points.at(-1);
      const restarted = last && (state.now < last.now || total(model.live.phases.request.counts) < total(last.live.phases.request.counts));
      if (restarted) points = [];
      if (!last || restarted || state.now > last.now) points.push({ now: state.now, live: model.live });
      this.#points.set(key, points.slice(-KEEP));
    }
    for (const key of this.#points.keys()) if (!known.has(key)) this.#points.delete(key);
  }

  /** One point for each second: {age, rate, failures, p50, p99, waiting}; age: seconds before now, negative. */
  curve(key) {
    const points = this.#points.get(key) ?? [];
    return points.slice(1).map((point, i) => {
      const [seconds, before] = [point.now - points[i].now, points[i].live];
      const counts = differences(point.live.phases.request.counts, before.phases.request.counts);
      return {
        age: point.now - points.at(-1).now,
        rate: total(counts) / seconds,
        failures: (failed(point.live) - failed(before)) / seconds,
        p50: quantile(counts, this.#bounds, 0.5),
        p99: quantile(counts, this.#bounds, 0.99),
        waiting: point.live.waiting,
      };
    });
  }

  /** Requests a second, over the last few seconds. */
  rate(key) {
    const last = this.curve(key).slice(-3);
    return last.length ? total(last.map((p) => p.rate)) / last.length : 0;
  }

  /** Phases of the requests of the last two minutes, or since loading where there were none: [{phase, mean, p50, p99}]. */
  phases(key) {
    const points = this.#points.get(key) ?? [];
    if (points.length === 0) return { recent: false, requests: 0, rows: [] };
    const [first, last] = [points[0].live, points.at(-1).live];
    const recent = total(last.phases.request.counts) > total(first.phases.request.counts);
    const rows = Object.entries(last.phases).map(([phase, { counts, ns }]) => {
      const before = first.phases[phase];
      const these = recent ? differences(counts, before.counts) : counts;
      const times = total(these);
      return {
        phase, times, mean: times ? (recent ? ns - before.ns : ns) / times / 1e9 : null,
        p50: quantile(these, this.#bounds, 0.5), p99: quantile(these, this.#bounds, 0.99),
      };
    });
    return { recent, requests: rows[0].times, rows };
  }
}

export const keyOf = (model) => `${model.name}/${model.version}`;
