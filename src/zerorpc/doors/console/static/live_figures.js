/** Rates and percentiles, from what the server has counted at two moments. Pure. */

/**
 * @typedef {{bounds: number[], counts: number[]}} Histogram counts has one more: what is above the last bound
 * @typedef {{name: string, calls: number, errors: number, refused: number, seconds: Histogram, running: number}} Counted
 * @typedef {{time: number, uptime: number, pid: number, methods: Counted[], [name: string]: any}} Status
 * @typedef {{name: string, rate: number, errors: number, refused: number, calls: number, running: number,
 *   p50: number | null, p90: number | null, p99: number | null}} Figures
 */

/**
 * What happened between two moments, by method, those with the most calls first.
 * @param {Status} before
 * @param {Status} now
 * @returns {{rate: number, errors: number, methods: Figures[]}} per second
 */
export function between(before, now) {
  const seconds = now.time - before.time;
  const earlier = new Map(before.methods.map((method) => [method.name, method]));
  const methods = now.methods.map((method) => figuresOf(earlier.get(method.name), method, seconds));
  methods.sort((a, b) => b.rate - a.rate || b.running - a.running || b.calls - a.calls || a.name.localeCompare(b.name));
  const sum = (name) => methods.reduce((total, each) => total + each[name], 0);
  return { rate: sum("rate"), errors: sum("errors"), methods };
}

/** @param {Counted | undefined} before @param {Counted} now @param {number} seconds @returns {Figures} */
function figuresOf(before, now, seconds) {
  const rate = (name) => (seconds > 0 ? Math.max(0, now[name] - (before?.[name] ?? 0)) / seconds : 0);
  const counts = now.seconds.counts.map((count, place) => Math.max(0, count - (before?.seconds.counts[place] ?? 0)));
  const at = (share) => quantile(now.seconds.bounds, counts, share);
  return {
    name: now.name,
    rate: rate("calls"),
    errors: rate("errors"),
    refused: rate("refused"),
    calls: now.calls,
    running: now.running,
    p50: at(0.5),
    p90: at(0.9),
    p99: at(0.99),
  };
}

/**
 * The value below which this share of a histogram lies, even within each bucket, as Prometheus' histogram_quantile
 * has it; null if it is empty. Of what lies above the last bound only that is known.
 * @param {number[]} bounds @param {number[]} counts @param {number} share
 */
export function quantile(bounds, counts, share) {
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (!total) return null;
  let left = share * total;
  for (const [place, bound] of bounds.entries()) {
    if (counts[place] && left <= counts[place]) {
      const below = place ? bounds[place - 1] : 0;
      return below + ((bound - below) * left) / counts[place];
    }
    left -= counts[place];
  }
  return bounds.at(-1) ?? null;
}

/**
 * Whether two can be compared: else another of the server's processes has answered, or it has begun to count anew.
 * @param {Status} before @param {Status} now
 */
export function isSameLife(before, now) {
  return before.pid === now.pid && before.counting_since === now.counting_since && now.uptime >= before.uptime;
}
