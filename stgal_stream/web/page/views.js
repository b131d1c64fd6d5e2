// The views: a site, a camera pair, identities, one identity, search.
import { CorrectIdentity, CorrectMatch, Told, useMayCorrect } from "./correct.js";
import { api, ask, Busy, Chart, Crop, dark, histogram, html, link, number, Problem, share, short, span, useAnswer, useCallback, useEffect, useState, when } from "./parts.js";

const VERDICTS = { linked: "share people", not_linked: "no link shown", too_little_data: "not known yet" };
const IN_WORDS = {
  linked: "People go from one to the other.",
  not_linked: "That people go from one to the other could not be shown: their travel times say no more than chance does.",
  too_little_data: "Whether people go from one to the other is not known yet: too few were seen.",
};

export function Site({ site, version, recent }) {
  const { body, error } = useAnswer(api("site", { site }), version);
  if (error && !body) return html`<${Problem} text=${error} />`;
  if (!body) return html`<${Busy} />`;
  const across = body.pairs.filter((pair) => pair.sensorIds[0] !== pair.sensorIds[1])
    .sort((one, other) => (other.verdict === "linked") - (one.verdict === "linked") || other.associations - one.associations);
  return html`
    <h1>Site ${site}</h1>
    <dl class="tiles">
      <div><dt>People now</dt><dd>${number(body.peopleNow)}</dd></div>
      <div><dt>Sightings a minute</dt><dd>${number(body.sightingsPerMinute, 1)}</dd></div>
      <div><dt>Associations a minute</dt><dd>${number(body.associationsPerMinute, 1)}</dd></div>
      <div><dt>Expected precision of pairs</dt><dd>${share(body.learned ? body.expectedPrecision : null)}</dd></div>
      <div><dt>… of identities</dt><dd>${share(body.expectedIdentityPrecision)}</dd></div>
      <div><dt>Newest detection</dt><dd>${span(body.ageSeconds)} ago</dd></div>
    </dl>
    ${!body.followed && html`<p aria-busy="true">The log is still being read: figures are those of the part read so far.</p>`}
    ${!body.learned && html`<p>No camera pair is known to share people yet. More people must pass.</p>`}
    <div role="status">${body.warnings.length > 0 && html`
      <div class="warnings"><ul>${body.warnings.map((text) => html`<li key=${text}>${text}</li>`)}</ul></div>`}
    </div>
    <h2>How people move</h2>
    <${Graph} cameras=${body.cameras} pairs=${across} site=${site} />
    <h2>Cameras</h2>
    <${Table} label="Cameras" head=${["Camera", "People now", "Detections", "Last seen", "Clock"]}>
      ${body.cameras.map((camera) => html`<tr key=${camera.sensorId}>
        <th scope="row"><a href=${link("identities", { site, camera: camera.sensorId })}>${camera.sensorId}</a></th>
        <td class="number">${number(camera.people)}</td><td class="number">${number(camera.detections)}</td>
        <td>${when(camera.lastSeen)}</td>
        <td>${camera.clockOffSeconds ? `${span(Math.abs(camera.clockOffSeconds))} ${camera.clockOffSeconds > 0 ? "ahead" : "behind"}` : "right"}</td>
      </tr>`)}
    <//>
    <h2>Camera pairs</h2>
    ${across.length === 0 ? html`<p>Nothing was learned yet.</p>` : html`
    <${Table} label="Camera pairs" head=${["Cameras", "Verdict", "Associations", "Median time", "A tenth is faster than", "A tenth is slower than"]}>
      ${across.slice(0, 200).map(({ sensorIds: [first, second], ...pair }) => html`<tr key=${`${first} ${second}`}>
        <th scope="row"><a href=${link("pair", { site, first, second })}>${first} – ${second}</a></th>
        <td>${VERDICTS[pair.verdict] ?? pair.verdict}</td><td class="number">${number(pair.associations)}</td>
        <td class="number">${span(pair.medianSeconds)}</td><td class="number">${span(pair.p10Seconds)}</td><td class="number">${span(pair.p90Seconds)}</td>
      </tr>`)}
    <//>`}
    <h2>Just now</h2>
    ${recent.length === 0 ? html`<p class="small">Nothing has happened since this page was opened.</p>` : html`
    <ul>${recent.map((event) => html`<li key=${event.number}><${Happened} site=${site} event=${event} /></li>`)}</ul>`}
    <p class="small">${body.calibratedAt && html`Calibrated at ${when(body.calibratedAt)}, alpha ${number(body.alpha, 2)}. `}${body.extractor && html`Embedded by ${body.extractor}.`}</p>`;
}

const Table = ({ head, label, children }) => html`
  <div class="scroll" tabindex="0" role="region" aria-label=${label}>
    <table><thead><tr>${head.map((text) => html`<th key=${text} scope="col">${text}</th>`)}</tr></thead><tbody>${children}</tbody></table>
  </div>`;

const VERBS = { created: "is new", joined: "was seen again", ended: "left the window", static: "is no person: it never moves" };
function Happened({ site, event }) {
  const name = html`<a class="mono" href=${link("identity", { site, id: event.identity })}>${short(event.identity)}</a>`;
  if (event.type === "renamed") return html`<span class="mono">${short(event.fromIdentity)}</span> is ${name} (${when(event.at)})`;
  return html`${name} ${VERBS[event.type] ?? event.type} (${when(event.at)})`;
}

function Graph({ cameras, pairs, site }) {
  const drawn = pairs.filter((pair) => pair.associations > 0 || pair.verdict === "linked").slice(0, 300);
  const most = Math.max(1, ...drawn.map((pair) => pair.associations));
  const option = {
    animation: false,
    series: [{
      type: "graph", layout: "circular", roam: false, circular: { rotateLabel: false },
      top: 25, bottom: 25, left: 90, right: 90, silent: false,
      label: { show: true, position: "right", fontSize: 12 },
      data: cameras.slice(0, 300).map((camera) => ({
        id: camera.sensorId, name: camera.sensorId, value: camera.people,
        symbolSize: 16 + 6 * Math.sqrt(camera.people),
        itemStyle: { color: camera.silentSeconds > 300 ? "#8b8b8b" : "#3c71f7" },
      })),
      links: drawn.map((pair) => {
        const linked = pair.verdict === "linked";
        return {
          source: pair.sensorIds[0], target: pair.sensorIds[1],
          lineStyle: { width: 1 + (7 * pair.associations) / most, opacity: linked ? 0.75 : 0.15, curveness: 0.1, color: linked ? "#3c71f7" : "#8b8b8b" },
          label: { show: linked && pair.medianSeconds !== null, formatter: span(pair.medianSeconds), fontSize: 12, backgroundColor: dark() ? "#13171f" : "#fff", padding: 2 },
        };
      }),
    }],
  };
  const open = useCallback((event) => {
    if (event.dataType === "edge") location.hash = link("pair", { site, first: event.data.source, second: event.data.target });
    if (event.dataType === "node") location.hash = link("identities", { site, camera: event.data.id });
  }, [site]);
  return html`<${Chart} option=${option} onClick=${open} label=${`The cameras of ${site} and how people go between them; the table below says the same`} />
    <p class="small">The wider a line, the more people; at it, the time that half of them take at most. Grey: that people go that way could not be shown.</p>`;
}

export function Pair({ site, first, second, version }) {
  const { body, error } = useAnswer(api("pair", { site, first, second }), version);
  if (error && !body) return html`<${Problem} text=${error} />`;
  if (!body) return html`<${Busy} />`;
  const { centres, counts } = histogram(body.travelTimesSeconds);
  const past = body.history.filter((entry) => entry.medianSeconds !== null);
  return html`
    <h1>${first} – ${second}</h1>
    ${body.pair && html`<p>${IN_WORDS[body.pair.verdict] ?? body.pair.verdict}
      ${body.pair.medianSeconds !== null && html` Of those who were associated, half took less than ${span(body.pair.medianSeconds)}, and eight of ten between ${span(body.pair.p10Seconds)} and ${span(body.pair.p90Seconds)}.`}</p>`}
    <h2>Travel times</h2>
    ${counts.length === 0 ? html`<p>No pair was accepted between these two.</p>` : html`
    <${Chart} low label=${`How many of ${body.travelTimesSeconds.length} accepted pairs took how long`} option=${{
      animation: false, grid: { left: 45, right: 20, top: 32, bottom: 45 },
      xAxis: { type: "category", data: centres.map((value) => span(value)), name: "travel time", nameLocation: "middle", nameGap: 28 },
      yAxis: { type: "value", name: "pairs", minInterval: 1 },
      series: [{ type: "bar", data: counts, barCategoryGap: "5%", itemStyle: { color: "#3c71f7" } }],
    }} />`}
    ${past.length > 1 && html`<h2>How the median has changed</h2>
    <${Chart} low label="Median travel time by calibration" option=${{
      animation: false, grid: { left: 55, right: 20, top: 32, bottom: 30 },
      xAxis: { type: "time" }, yAxis: { type: "value", name: "s", scale: true },
      series: [{ type: "line", data: past.map((entry) => [entry.at, entry.medianSeconds]), symbolSize: 5 }],
    }} />`}
    <h2>Newest pairs</h2>
    <ul class="cards">${body.pairs.map((pair) => html`<li key=${`${pair.query} ${pair.gallery}`}>
      <div class="two">
        <${Crop} site=${site} sighting=${pair.gallery} alt=${`Earlier sighting ${short(pair.gallery)}`} />
        <${Crop} site=${site} sighting=${pair.query} alt=${`Later sighting ${short(pair.query)}`} />
      </div>
      ${span(pair.travelTimeSeconds)}, P<sub>v</sub> ${share(pair.pVisual)}, P<sub>t</sub> ${share(pair.pTravel)}
    </li>`)}</ul>`;
}

const instant = (text) => (text ? new Date(text).toISOString() : undefined);

export function Identities({ site, camera, since, until, version }) {
  const [more, setMore] = useState({ key: "", items: [], next: null });
  const asked = { site, camera, since: instant(since), until: instant(until), limit: 48 };
  const address = api("identities", asked);
  const { body, error } = useAnswer(address, version);
  const { body: where } = useAnswer(api("site", { site }));
  const added = more.key === address ? more : { items: [], next: body?.next };
  const next = added.items.length ? added.next : body?.next;
  const goOn = () => ask(api("identities", { ...asked, cursor: next })).then((page) =>
    setMore({ key: address, items: [...added.items, ...page.items], next: page.next }));
  const filter = (event) => {
    event.preventDefault();
    location.hash = link("identities", { site, ...Object.fromEntries(new FormData(event.currentTarget)) });
  };
  const seen = new Set();
  const shown = [...(body?.items ?? []), ...added.items].filter(({ id }) => !seen.has(id) && seen.add(id));
  return html`
    <h1>Identities</h1>
    <form class="filter" onsubmit=${filter} key=${`${camera} ${since} ${until}`}>
      <label>Camera <select name="camera">
        <option value="">all</option>
        ${(where?.cameras ?? []).map(({ sensorId }) => html`<option key=${sensorId} value=${sensorId} selected=${sensorId === camera}>${sensorId}</option>`)}
      </select></label>
      <label>Seen after <input type="datetime-local" name="since" step="1" value=${since ?? ""} /></label>
      <label>Seen before <input type="datetime-local" name="until" step="1" value=${until ?? ""} /></label>
      <button>Show</button>
    </form>
    ${error && html`<${Problem} text=${error} />`}
    ${!body && !error && html`<${Busy} />`}
    ${body && shown.length === 0 && html`<p>Nobody was seen there and then.</p>`}
    <ul class="cards">${shown.map((one) => html`<li key=${one.id}>
      <a href=${link("identity", { site, id: one.id })}>
        <${Crop} site=${site} sighting=${one.newestSighting} alt=${`Newest sighting of ${short(one.id)}`} />
        <span class="mono">${short(one.id)}</span>
      </a>
      <div>${one.sightings} sighting${one.sightings === 1 ? "" : "s"}, ${one.sensorIds.slice(0, 4).join(", ")}${one.sensorIds.length > 4 ? " …" : ""}</div>
      <div class="small">${one.isStatic ? "no person: never moves; " : ""}${when(one.lastSeen)}</div>
    </li>`)}</ul>
    ${next && html`<button class="secondary" onclick=${goOn}>Show more</button>`}`;
}

function usual(pTravel) {
  if (pTravel >= 0.2) return "is usual";
  return pTravel >= 0.02 ? "is possible" : "is unusual";
}

function Why({ event, sensorId }) {
  const found = event.evidence;
  if (event.correction) return html`<p>${event.sighting ? "Parted from" : "One person with"} <span class="mono">${short(event.fromIdentity)}</span>: an operator said so.</p>`;
  if (event.type === "renamed" && !found) return html`<p>Parted from <span class="mono">${short(event.fromIdentity)}</span>: they are two people after all.</p>`;
  const what = { created: "First seen: nobody known was likely enough.", joined: "Joined", renamed: html`Was <span class="mono">${short(event.fromIdentity ?? "")}</span> before; held to be one person` }[event.type];
  if (!found) return html`<p>${what ?? event.type}</p>`;
  return html`<p>${what}: looks alike ${share(found.pVisual)}; ${span(found.travelTimeSeconds)} from ${found.partnerSensorId}${sensorId ? ` to ${sensorId}` : ""} ${usual(found.pTravel)} (P<sub>t</sub> ${share(found.pTravel)}). P<sub>a</sub> ${share(found.pAssociation)}${found.runnerUp ? `, runner-up ${share(found.runnerUp.pAssociation)}` : ", no runner-up"}; log odds ${number(found.logOdds, 1)}.</p>`;
}

export function Identity({ site, id, version }) {
  const { body, error } = useAnswer(api("identity", { site, id }), version);
  const [marked, setMarked] = useState(new Set());
  const mayCorrect = useMayCorrect();
  useEffect(() => setMarked(new Set()), [id]);
  const mark = (sighting, on) => setMarked((old) => { const now = new Set(old); now[on ? "add" : "delete"](sighting); return now; });
  if (error && !body) return html`<${Problem} text=${error} />`;
  if (!body) return html`<${Busy} />`;
  const of = (sighting) => body.events.filter((event) => event.sighting === sighting && event.type !== "ended" && event.type !== "static");
  const whole = body.events.filter((event) => event.type === "renamed" && !event.sighting);
  return html`
    <h1>Identity <span class="mono">${id}</span></h1>
    ${body.mergedInto && html`<p>This is now <a class="mono" href=${link("identity", { site, id: body.mergedInto })}>${body.mergedInto}</a>.</p>`}
    ${body.sightings.length > 0 && html`<p>${body.sightings.length} sightings from ${when(body.identity.firstSeen)} to ${when(body.identity.lastSeen)}${body.identity.leftWindow ? "; too long ago to be joined by new ones" : ""}.</p>`}
    ${!body.complete && html`<p>Only the newest are shown.</p>`}
    ${body.identity.isStatic && html`<p>This is no person: neither the box nor what it shows has changed for minutes. It is compared with nobody.</p>`}
    ${whole.map((event) => html`<div key=${event.number}>${event.identity === id ? html`<${Why} event=${event} />` : html`<p>Held to be one person with <a class="mono" href=${link("identity", { site, id: event.identity })}>${short(event.identity)}</a>${event.correction ? ": an operator said so" : ""}.</p>`}</div>`)}
    ${mayCorrect && body.sightings.length > 0 && !body.identity.leftWindow && html`
      <${CorrectIdentity} key=${id} site=${site} id=${id} marked=${marked} all=${body.sightings.map((one) => one.id)} />`}
    <ol class="way">${body.sightings.map((one) => html`<li key=${one.id}>
      <a href=${link("search", { site, sighting: one.id })} aria-label=${`Search for people like this one in ${one.sensorId}`}>
        <${Crop} site=${site} sighting=${one.id} has=${one.hasCrop} alt=${`Seen in ${one.sensorId}`} />
      </a>
      <div>
        <p><strong>${one.sensorId}</strong> ${when(one.start)}, for ${span((new Date(one.end) - new Date(one.start)) / 1000)}${one.lateSeconds ? `, came ${span(one.lateSeconds)} late` : ""}</p>
        ${of(one.id).map((event) => html`<${Why} key=${event.number} event=${event} sensorId=${one.sensorId} />`)}
        <p class="small">${one.detections} detection${one.detections === 1 ? "" : "s"}${one.trackId ? `, camera's track ${one.trackId}` : ""} · <a href=${link("search", { site, sighting: one.id })}>who looks like that?</a>${mayCorrect && body.sightings.length > 1 && !body.identity.leftWindow && html` · <label class="mark"><input type="checkbox" checked=${marked.has(one.id)} onchange=${(event) => mark(one.id, event.currentTarget.checked)} /> somebody else</label>`}</p>
      </div>
    </li>`)}</ol>`;
}

export function Search({ site, sighting }) {
  const mayCorrect = useMayCorrect();
  const [uploaded, setUploaded] = useState(null);
  const known = useAnswer(sighting ? api("search", { site, sighting }) : "api/v1/sites");
  const picture = (file) => {
    if (!file) return;
    setUploaded({ busy: true });
    const preview = URL.createObjectURL(file);
    ask(api("search", { site }), { method: "POST", headers: { "Content-Type": file.type }, body: file }).then(
      (body) => setUploaded({ body, preview }),
      (error) => setUploaded({ error: error.message, preview }),
    );
  };
  useEffect(() => {
    const pasted = (event) => picture([...event.clipboardData.files][0]);
    addEventListener("paste", pasted);
    return () => removeEventListener("paste", pasted);
  }, [site]);
  useEffect(() => setUploaded(null), [sighting, site]);
  const { body, error, busy, preview } = uploaded ?? (sighting ? { ...known, busy: !known.body && !known.error } : {});
  return html`
    <h1>Search by picture</h1>
    <p>One person, cut out: a file, or paste it. Or open an identity and choose one of its pictures.</p>
    <label>Picture <input type="file" accept="image/jpeg,image/png,image/webp" onchange=${(event) => picture(event.currentTarget.files[0])} /></label>
    ${busy && html`<${Busy} />`}
    ${error && html`<${Problem} text=${error} />`}
    <div class="cards">${preview ? html`<img class="crop" src=${preview} alt="Your picture" />` : sighting && html`<${Crop} site=${site} sighting=${sighting} alt="What is searched for" />`}</div>
    ${body?.matches && html`
      <p role="status">${number(body.searched)} sightings compared in ${number(body.seconds * 1000)} ms; the most alike first.</p>
      <ol class="cards">${body.matches.map((match) => html`<li key=${match.sighting.id}>
        <a href=${link("identity", { site, id: match.sighting.identity })}>
          <${Crop} site=${site} sighting=${match.sighting.id} has=${match.sighting.hasCrop} alt=${`Seen in ${match.sighting.sensorId}`} />
          <span class="mono">${short(match.sighting.identity)}</span>
        </a>
        <div><strong>${match.sighting.sensorId}</strong>, P<sub>v</sub> ${share(match.pVisual)}${match.pAssociation !== null && html`, P<sub>a</sub> ${share(match.pAssociation)}`}</div>
        ${match.travelTimeSeconds !== null && html`<div>${span(match.travelTimeSeconds)} away</div>`}
        <div class="small">${when(match.sighting.start)}</div>
        ${mayCorrect && body.sighting && html`<${CorrectMatch} site=${site} sighting=${body.sighting.id} match=${match.sighting} own=${body.sighting.identity} />`}
      </li>`)}</ol>`}`;
}

export function Models({ version }) {
  const [n, setN] = useState(0);
  const [told, setTold] = useState(null);
  const mayCorrect = useMayCorrect();
  const { body, error } = useAnswer("api/v1/models", `${version} ${n}`);
  const say = (address) => ask(address, { method: "POST" }).then(
    ({ version: next }) => { setTold({ text: `Daemons change over to ${next ?? "the configured extractor"} by themselves.` }); setN(n + 1); },
    (fault) => setTold({ problem: fault.message }));
  if (error && !body) return html`<${Problem} text=${error} />`;
  if (!body) return html`<${Busy} />`;
  const gate = (one) => (one.passed ? "passed" : `refused: ${one.reason ?? "no reason given"}`);
  return html`
    <h1>Models</h1>
    <p>${body.inUse ? html`In use: <strong>${body.inUse}</strong>.` : "No release is in use: daemons run the configured or shipped extractor."}${" "}
      ${mayCorrect && body.inUse && html`<button class="outline small" onclick=${() => say("api/v1/models/rollback")}>Go back to the one before</button>`}</p>
    <${Told} told=${told} />
    ${body.faults.map((text) => html`<${Problem} key=${text} text=${text} />`)}
    ${body.releases.length === 0 ? html`<p>There are no releases yet. <code>stgal-stream retrain</code> makes one.</p>` : html`
    <${Table} label="Releases" head=${["Release", "Made", "Pairs", "Gain at least", "Gate"]}>
      ${body.releases.map((one) => html`<tr key=${one.version}>
        <th scope="row">${one.version}${one.inUse ? " (in use)" : ""}${one.refusedBy.map((text) => html`<div class="small" key=${text}>refused by ${text}</div>`)}</th>
        <td>${when(one.created)}</td><td class="number">${number(one.pairs)}</td><td class="number">${number(one.gainAtLeast, 3)}</td><td class="wrap">${gate(one)}${mayCorrect && !one.inUse && html` <button class="outline small" onclick=${() => say(api("models/promote", { version: one.version }))}>Promote ${one.version}</button>`}</td>
      </tr>`)}
    <//>`}`;
}
