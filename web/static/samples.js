// What was counted lately: totals of processed and failed jobs with the server's time, a pair of them each refresh. Every
// page takes samples, so the graph on the dashboard goes on where one was elsewhere.

const KEY = "faktory.samples";
const MOST = 101;
const SHORTEST_SECONDS = 0.9; // in less, a page that was opened just now, nothing can be told of a rate

function read() {
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEY) ?? "[]");
    return Array.isArray(kept) ? kept.filter((sample) => Array.isArray(sample) && sample.every(Number.isFinite)) : [];
  } catch {
    return [];
  }
}

let samples = read();

function total(name) {
  return Number(document.querySelector(`[data-summary="${name}"]`)?.dataset.value);
}

export function take() {
  const sample = [Number(document.getElementById("summary")?.dataset.now), total("processed"), total("failed")];
  if (!sample.every(Number.isFinite)) return;
  const last = samples.at(-1);
  // Another server, or one whose statistics were flushed: what was before is not comparable.
  if (last && (sample[1] < last[1] || sample[0] < last[0])) samples = [];
  if (sample[0] - (samples.at(-1)?.[0] ?? 0) < SHORTEST_SECONDS) return;
  samples = [...samples, sample].slice(-MOST);
  try {
    sessionStorage.setItem(KEY, JSON.stringify(samples));
  } catch {
    // A browser that keeps nothing: then the graph begins with this page.
  }
}

// Jobs per second between each sample and the one before: {at, processed, failed}.
export function rates() {
  return samples.slice(1).map(([at, processed, failed], index) => {
    const [before, processedBefore, failedBefore] = samples[index];
    const seconds = at - before;
    return { at, processed: (processed - processedBefore) / seconds, failed: (failed - failedBefore) / seconds };
  });
}
