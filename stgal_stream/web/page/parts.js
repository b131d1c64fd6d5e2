// What all views share: the API, words for numbers, crops, charts.
import { html, useEffect, useRef, useState, useCallback } from "./vendor/htm-preact.js";
export { html, useEffect, useRef, useState, useCallback };
export { render } from "./vendor/htm-preact.js";

export const api = (path, parameters = {}) => {
  const given = Object.entries(parameters).filter(([, value]) => value !== undefined && value !== "");
  return `api/v1/${path}?${new URLSearchParams(given)}`;
};

export async function ask(address, options) {
  const answer = await fetch(address, options);
  if (answer.status === 401) location.href = "login";
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.detail || answer.statusText);
  return body;
}

// The answer of an address, asked again whenever `version` changes; the old one stays meanwhile.
export function useAnswer(address, version = 0) {
  const [found, set] = useState({ address: null, body: null, error: null });
  useEffect(() => {
    let wanted = true;
    ask(address).then(
      (body) => wanted && set({ address, body, error: null }),
      (error) => wanted && set((old) => ({ address, body: old.address === address ? old.body : null, error: error.message })),
    );
    return () => { wanted = false; };
  }, [address, version]);
  return found.address === address || found.body ? found : { body: null, error: null };
}

export const link = (view, parameters = {}) =>
  `#/${view}?${new URLSearchParams(Object.entries(parameters).filter(([, v]) => v !== undefined && v !== ""))}`;

export const number = (value, digits = 0) =>
  value === null || value === undefined ? "–" : value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });

export const share = (value) => (value === null || value === undefined ? "–" : (value > 0 && value < 0.01 ? Number(value.toPrecision(1)).toString() : value.toFixed(2)).replace(/^0/, ""));
export const dark = () => matchMedia("(prefers-color-scheme: dark)").matches;

export function span(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 120) return `${seconds.toFixed(seconds > 0 && seconds < 10 ? 1 : 0)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

const clock = new Intl.DateTimeFormat([], { dateStyle: "medium", timeStyle: "medium" });
export const when = (text) => html`<time datetime=${text} title=${text}>${clock.format(new Date(text))}</time>`;

export const short = (id) => (id.length > 16 ? `${id.slice(0, 12)}…` : id);

export function Crop({ site, sighting, alt, has = true }) {
  const [gone, setGone] = useState(false);
  useEffect(() => setGone(false), [sighting]);
  if (!has || gone || !sighting) return html`<span class="crop none">no picture</span>`;
  return html`<img class="crop" loading="lazy" alt=${alt} src=${api("crop", { site, sighting })} onerror=${() => setGone(true)} />`;
}

export const Problem = ({ text }) => html`<p class="problem" role="alert">${text}</p>`;
export const Busy = () => html`<p aria-busy="true">Loading …</p>`;

// A drawing, described by `label`; what it shows stands in a table or list beside it too.
export function Chart({ option, label, low, onClick }) {
  const place = useRef(null);
  const made = useRef(null);
  const latest = useRef(null);
  latest.current = { option, onClick };
  useEffect(() => {
    let observer;
    import("./vendor/echarts.js").then((echarts) => {
      if (!place.current) return;
      made.current = echarts.init(place.current, dark() ? "dark" : null, { renderer: "canvas" });
      made.current.setOption({ backgroundColor: "transparent", ...latest.current.option });
      made.current.on("click", (event) => latest.current.onClick?.(event));
      observer = new ResizeObserver(() => made.current?.resize());
      observer.observe(place.current);
    });
    return () => { observer?.disconnect(); made.current?.dispose(); made.current = null; };
  }, []);
  useEffect(() => { made.current?.setOption(option); }, [JSON.stringify(option)]);
  return html`<div class=${low ? "chart low" : "chart"} role="img" aria-label=${label} ref=${place}></div>`;
}

// Counts of values in equal bins of a logarithmic scale.
export function histogram(values, n = 40) {
  const kept = values.map((value) => Math.max(value, 0.5));
  if (!kept.length) return { centres: [], counts: [] };
  const low = Math.log(Math.min(...kept)), high = Math.log(Math.max(...kept)) + 1e-9;
  const wide = Math.max((high - low) / n, 1e-3);
  const counts = new Array(n).fill(0);
  for (const value of kept) counts[Math.min(n - 1, Math.floor((Math.log(value) - low) / wide))] += 1;
  return { centres: counts.map((_, i) => Math.exp(low + (i + 0.5) * wide)), counts };
}
