// The page: which view is shown, and what is new.
import { ask, Busy, html, link, Problem, render, useAnswer, useEffect, useState, api } from "./parts.js";
import { Check } from "./correct.js";
import { Identities, Identity, Models, Pair, Search, Site } from "./views.js";

const VIEWS = { site: Site, pair: Pair, identities: Identities, identity: Identity, search: Search, check: Check, models: Models };
const TITLES = { site: "Site", pair: "Camera pair", identities: "Identities", identity: "Identity", search: "Search", check: "Check", models: "Models" };
const SHOW_MS = 200, REFRESH_MS = 2000;

function place() {
  const [view, query] = location.hash.replace(/^#\//, "").split("?");
  return { view: VIEWS[view] ? view : "site", ...Object.fromEntries(new URLSearchParams(query ?? "")) };
}

function usePlace() {
  const [here, set] = useState(place());
  useEffect(() => {
    const moved = () => { set(place()); scrollTo(0, 0); };
    addEventListener("hashchange", moved);
    return () => removeEventListener("hashchange", moved);
  }, []);
  return here;
}

// The newest identity events, as soon as they come; and a number that counts up as the site changes,
// at most every two seconds, since views ask again then.
function useLive(site) {
  const [live, set] = useState({ version: 0, on: false, recent: [] });
  useEffect(() => {
    if (!site) return undefined;
    let showing = null, refreshing = null, refreshed = Date.now(), waiting = [];
    const source = new EventSource(api("events", { site }));
    const show = () => {
      showing = null;
      const news = waiting.reverse();
      waiting = [];
      set((old) => ({ ...old, recent: [...news, ...old.recent].slice(0, 12) }));
    };
    const refresh = () => {
      refreshing = null;
      refreshed = Date.now();
      set((old) => ({ ...old, version: old.version + 1 }));
    };
    const soon = () => { refreshing ??= setTimeout(refresh, Math.max(SHOW_MS, refreshed + REFRESH_MS - Date.now())); };
    source.onopen = () => set((old) => ({ ...old, on: true }));
    source.onerror = () => set((old) => ({ ...old, on: false }));
    source.addEventListener("identity", (event) => { waiting = [...waiting.slice(-11), JSON.parse(event.data)]; showing ??= setTimeout(show, SHOW_MS); soon(); });
    source.addEventListener("change", soon);
    return () => { source.close(); clearTimeout(showing); clearTimeout(refreshing); };
  }, [site]);
  return live;
}

function App() {
  const here = usePlace();
  const { body: sites, error } = useAnswer("api/v1/sites", useTicks());
  const site = here.site ?? sites?.[0]?.site;
  const live = useLive(site);
  useEffect(() => { document.title = `${TITLES[here.view]}${site ? ` · ${site}` : ""} · stgal-stream`; }, [here.view, site]);
  const View = VIEWS[here.view];
  return html`
    <header class="container"><nav aria-label="Views">
      <ul><li><strong><a href=${link("site", { site })}>stgal-stream</a></strong></li>
        <li><span class=${live.on ? "live" : "live off"} role="status">${live.on ? "live" : "not connected"}</span></li></ul>
      <ul>
        ${sites?.length > 1 && html`<li><select aria-label="Site" onchange=${(event) => { location.hash = link(here.view === "pair" || here.view === "identity" ? "site" : here.view, { site: event.currentTarget.value }); }}>
          ${sites.map((one) => html`<option key=${one.site} value=${one.site} selected=${one.site === site}>${one.site}</option>`)}</select></li>`}
        ${["site", "identities", "search", "check", "models"].map((view) => html`<li key=${view}><a href=${link(view, { site })} aria-current=${view === here.view ? "page" : undefined}>${TITLES[view]}</a></li>`)}
      </ul>
    </nav></header>
    <main class="container">
      ${error && html`<${Problem} text=${error} />`}
      ${!sites && !error && html`<${Busy} />`}
      ${sites && !site && html`<h1>Nobody was seen yet</h1><p>The log holds no detections. This page fills as they come.</p>`}
      ${site && html`<${View} key=${`${here.view} ${site}`} ...${here} site=${site} version=${live.version} recent=${live.recent} />`}
    </main>`;
}

// Every five seconds while no site is known.
function useTicks() {
  const [ticks, set] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => ask("api/v1/sites").then((sites) => { if (sites.length) clearInterval(timer); set((n) => n + 1); }, () => {}), 5000);
    return () => clearInterval(timer);
  }, []);
  return ticks;
}

const root = document.getElementById("app");
root.replaceChildren();
render(html`<${App} />`, root);
