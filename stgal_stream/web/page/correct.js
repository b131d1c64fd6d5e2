// What an operator says: one person, or two; and the check of pairs by eye.
import { api, ask, Busy, Crop, html, link, Problem, share, short, span, useAnswer, useEffect, useState } from "./parts.js";

const ASK_MS = 700;
const PATIENCE = 60;

let visitor;
// Whether who looks may correct, too.
export function useMayCorrect() {
  const [may, set] = useState(false);
  useEffect(() => { (visitor ??= ask("api/v1/visitor")).then(({ role }) => set(role === "operator"), () => {}); }, []);
  return may;
}

// Says something to the tracker, and waits for what becomes of it: [what is known of that, say].
export function useWord(site) {
  const [told, set] = useState(null);
  const follow = (id, left) => ask(api("corrections", { site, id })).then(({ items }) => {
    if (items.length) set(items[0].refused ? { problem: `Not done: ${items[0].refused}.` } : { text: "Done." });
    else if (left) setTimeout(() => follow(id, left - 1), ASK_MS);
    else set({ text: "Said. No daemon has read it yet: it is obeyed when one does." });
  });
  const say = (verdict, first, second) => {
    set({ text: "Said; waiting for the tracker …" });
    return ask(api("corrections", { site }), {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ verdict, first, second }),
    }).then(({ correctionId }) => follow(correctionId, PATIENCE)).catch((error) => set({ problem: error.message }));
  };
  return [told, say];
}

export const Told = ({ told }) => told && (told.problem ? html`<${Problem} text=${told.problem} />` : html`<p role="status">${told.text}</p>`);

// At one identity: some of its sightings are somebody else, or all of it is somebody known.
export function CorrectIdentity({ site, id, marked, all }) {
  const [told, say] = useWord(site);
  const others = all.filter((one) => !marked.has(one));
  const join = (event) => {
    event.preventDefault();
    say("same", { identity: id }, { identity: new FormData(event.currentTarget).get("other").trim() });
  };
  return html`<details class="correct"><summary>Correct this</summary>
    ${all.length > 1 && html`<p>Mark the sightings of somebody else below.
      <button class="secondary" disabled=${!marked.size || !others.length} onclick=${() => say("different", { sightings: [...marked] }, { sightings: others })}>
        ${marked.size === 1 ? "The one marked is" : `The ${marked.size} marked are`} somebody else</button></p>`}
    <form class="filter" onsubmit=${join}>
      <label>Is the same person as identity <input name="other" required maxlength="512" autocomplete="off" /></label>
      <button class="secondary">They are one</button>
    </form>
    <${Told} told=${told} />
  </details>`;
}

// At a match of a search: it is the same person, or another.
export function CorrectMatch({ site, sighting, match, own }) {
  const [told, say] = useWord(site);
  const [first, second] = [{ sightings: [sighting] }, { sightings: [match.id] }];
  return html`${match.identity === own
    ? html`<button class="outline small" onclick=${() => say("different", first, second)}>another person</button>`
    : html`<button class="outline small" onclick=${() => say("same", first, second)}>same person</button>`}
    <${Told} told=${told} />`;
}

// Wilson's interval for a share of n, at 95 %.
function interval(right, n) {
  const z = 1.96, p = right / n, wide = z * Math.sqrt((p * (1 - p)) / n + (z * z) / (4 * n * n));
  return [p + (z * z) / (2 * n) - wide, p + (z * z) / (2 * n) + wide].map((v) => Math.min(1, Math.max(0, v / (1 + (z * z) / n))));
}

export function Check({ site }) {
  const [seed] = useState(() => Math.floor(Math.random() * 2 ** 31));
  const [said, setSaid] = useState([]);
  const mayCorrect = useMayCorrect();
  const [told, say] = useWord(site);
  const { body, error } = useAnswer(api("sample", { site, n: 100, seed }));
  const { body: now } = useAnswer(api("site", { site }));
  if (error) return html`<${Problem} text=${error} />`;
  if (!body) return html`<${Busy} />`;
  const pair = body[said.length], before = body[said.length - 1];
  const right = said.filter((word) => word === "yes").length;
  const n = right + said.filter((word) => word === "no").length;
  const [low, high] = n ? interval(right, n) : [];
  const answer = (word) => setSaid([...said, word]);
  const wrong = said[said.length - 1] === "no";
  return html`
    <h1>Check by eye</h1>
    <p>Pairs that the tracker accepted between two cameras, chosen at random. Say of each whether it is one person.</p>
    <div role="status"><dl class="tiles">
      <div><dt>Right, of those you could tell</dt><dd>${n ? `${right} of ${n}` : "–"}</dd></div>
      <div><dt>True precision</dt><dd>${n ? share(right / n) : "–"}</dd></div>
      <div><dt>95 % interval</dt><dd>${n ? `${share(low)} – ${share(high)}` : "–"}</dd></div>
      <div><dt>Expected precision</dt><dd>${share(now?.learned ? now.expectedPrecision : null)}</dd></div>
    </dl></div>
    ${body.length === 0 && html`<p>There is no accepted pair with both pictures yet.</p>`}
    ${body.length > 0 && !pair && html`<p>That were all ${body.length}. <a href=${link("site", { site })}>Back to the site</a></p>`}
    ${pair && html`
      <p>Pair ${said.length + 1} of ${body.length}, ${span(pair.travelTimeSeconds)} apart.</p>
      <div class="two large">
        <${Crop} site=${site} sighting=${pair.gallery} alt=${`Earlier sighting ${short(pair.gallery)}`} />
        <${Crop} site=${site} sighting=${pair.query} alt=${`Later sighting ${short(pair.query)}`} />
      </div>
      <div class="grid">
        <button onclick=${() => answer("yes")}>One person</button>
        <button class="secondary" onclick=${() => answer("no")}>Two people</button>
        <button class="outline" onclick=${() => answer("unclear")}>I cannot tell</button>
      </div>`}
    ${before && html`<p><button class="outline small" onclick=${() => setSaid(said.slice(0, -1))}>Take the last answer back</button>${" "}
      ${wrong && mayCorrect && html`<button class="outline small" onclick=${() => say("different", { sightings: [before.query] }, { sightings: [before.gallery] })}>Tell the tracker that the last are two people</button>`}</p>`}
    <${Told} told=${told} />`;
}
