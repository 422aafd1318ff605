/* ---------- What predictions carried ---------- */

const FEATURES = 60;
const [MISSING, ODD, OWN] = [0, 1, 2];
const VALUES = 6;
const HIST = { width: 260, height: 62 };
const WHOLE = new Set(["number", "category", "text"]);
const DECLARED = new Set(["step", "names"]);
const LISTED = new Set(["category", "text"]);
const TRAITS = {
  length: "length",
  upper: "capitals",
  digits: "digits",
  punctuation: "punctuation",
  non_ascii: "characters beyond ASCII",
  whitespace_runs: "runs of white space",
  words: "words that training did not have",
  names: "names of all fields",
  raw: "what training makes of the raw value",
};

function isOfData(alert) {
  return isKnown(alert.features);
}

function columnKey({ feature, trait }) {
  return JSON.stringify([feature, trait]);
}

function carriedAll() {
  return chosen.monitor?.carried?.segments ?? [];
}

/* The place of what is shown: as chosen here, else of the chosen segment; -1 where nothing is kept of that. */
function carriedPlace() {
  if (state.carried !== null) return state.carried;
  if (!chosen.segment) return carriedAll().length ? 0 : -1;
  const key = segmentKey(chosen.segment.segment);
  return carriedAll().findIndex((each) => segmentKey(each.segment) === key);
}

function carriedOf(segment) {
  const key = segmentKey(segment);
  return carriedAll().find((each) => segmentKey(each.segment) === key);
}

function carriedName({ segment }) {
  const isWhole = Object.keys(segment).length === 0;
  return isWhole ? `all predictions${carriedAll().length > 1 ? " together" : ""}` : segmentName(segment);
}

/* Of a column what alerts of the segment say, and when. */
function saidOf(carried) {
  const key = segmentKey(carried.segment);
  const found = new Map();
  for (const alert of alertsOfSetting()) {
    if (!isOfData(alert) || alert.monitor !== chosen.monitor.name || alert.key !== key) continue;
    for (const each of alert.features.moved) {
      const place = columnKey(each);
      if (!found.has(place)) found.set(place, { told: new Map(), alerts: [] });
      if (alert.status !== "resolved") found.get(place).told.set(each.change, each.told);
      if (found.get(place).alerts.at(-1) !== alert) found.get(place).alerts.push(alert);
    }
  }
  return found;
}

/* Since when counts are counted once more: where alerts of a setting begin elsewhere, they cannot be told apart. */
function splitOf(carried) {
  const key = segmentKey(carried.segment);
  const onsets = alertsOfSetting()
    .filter((alert) => isOfData(alert) && alert.status === "raised")
    .filter((alert) => alert.monitor === chosen.monitor.name && alert.key === key)
    .map(({ onset }) => Date.parse(onset));
  if (!onsets.length || carried.since_ms === null) return null;
  const { start_ms: start, width_ms: width, predictions } = carried;
  const bin = Math.floor((Math.min(...onsets) - start) / width);
  const at = start + Math.min(Math.max(0, bin), predictions.length - 1) * width;
  return at === carried.since_ms ? at : null;
}

/* Everything that a row says of a column. */
function columnsOf(carried) {
  const split = splitOf(carried);
  const alarmed = saidOf(carried);
  return chosen.monitor.carried.columns.map((column, place) => {
    const live = carried.columns[place];
    const isSplit = split !== null;
    const since = isSplit ? live.since : live.counts;
    const before = isSplit ? live.counts.map((count, bin) => count - live.since[bin]) : null;
    const named = alarmed.get(columnKey(column));
    const distance = isSplit ? live.distance_since : live.distance;
    const asked = since[OWN] + since[OWN + 1];
    const share = DECLARED.has(column.kind) && asked ? since[OWN + 1] / asked : null;
    return { ...column, live, since, before, named, distance, share, size: distance ?? share ?? -1 };
  });
}

/* Those of a feature together, what alerts name first, and then what is farthest from training. */
function featuresOf(carried) {
  const isFarther = (one, other) =>
    Number(isKnown(other.named)) - Number(isKnown(one.named)) || other.size - one.size;
  const groups = Map.groupBy(columnsOf(carried), (each) =>
    DECLARED.has(each.kind) ? columnKey(each) : JSON.stringify([each.feature]));
  const found = [...groups].map(([key, columns]) => ({ key, columns: columns.sort(isFarther) }));
  return found.sort((one, other) => isFarther(one.columns[0], other.columns[0]));
}

/* Counts as parts of those from a bin on; null where there are none. */
function partsOf(counts, from) {
  const sum = total([...counts.keys()].slice(from), (bin) => counts[bin]);
  return sum > 0 ? counts.map((count, bin) => (bin < from ? 0 : count / sum)) : null;
}

function sharesOf({ kind, training, since, before }) {
  const from = WHOLE.has(kind) ? MISSING : OWN;
  return { training, since: partsOf(since, from), before: before && partsOf(before, from) };
}

function shown(text, most) {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

/* What a bin is called: of numbers between which edges it lies. */
function binName({ kind, edges, values }, bin) {
  if (bin === MISSING) return "missing";
  if (bin === ODD) return kind === "text" ? "not a text" : "of another kind";
  const place = bin - OWN;
  if (kind === "text") return "a text";
  if (kind === "category") {
    if (place >= values.length) return "all others";
    return values[place] === "" ? '""' : inJson(values[place]);
  }
  if (kind === "rate" || kind === "words") {
    if (place === 0) return "none";
    return place === 33 ? "all" : `${percent((place - 1) / 32)} to ${percent(place / 32)}`;
  }
  if (place === 0) return `below ${number(edges[0])}`;
  if (place === edges.length) return `from ${number(edges.at(-1))}`;
  return `${number(edges[place - 1])} to ${number(edges[place])}`;
}

/* In words, for whoever does not see the picture, or points at a bar. */
function binWords(column, shares, bin) {
  const { training, before, since } = shares;
  const parts = [
    training && `${percent(training[bin])} in training`,
    before && `${percent(before[bin])} before`,
    since && `${percent(since[bin])} ${before ? "since" : "live"}`,
  ];
  return `${binName(column, bin)}: ${parts.filter(Boolean).join(", ")}`;
}

/* Bins that there is something of, or that are between such; what is missing or odd only where there is some. */
function binsOf({ since, training }, shares) {
  const isSome = (bin) => [training, shares.before, shares.since].some((each) => each && each[bin] > 0);
  return [...since.keys()].filter((bin) => bin >= OWN || isSome(bin));
}

function mostOf(bins, { training, before, since }) {
  return Math.max(...[training, before, since].filter(Boolean).flatMap((each) => bins.map((bin) => each[bin])), 1e-9);
}

function edgeLabels({ kind, edges }, bins, width) {
  const first = bins.indexOf(OWN);
  const isPart = kind === "rate" || kind === "words";
  const wanted = isPart
    ? [[first, "0%"], [first + 17, "50%"], [bins.length, "100%"]]
    : [0, Math.floor((edges.length - 1) / 2), edges.length - 1].map((edge) => [first + 1 + edge, compact(edges[edge])]);
  const named = first > 0 ? [[0, bins[0] === MISSING ? "missing" : "odd"]] : [];
  let free = -Infinity;
  const place = ([at]) => (at / bins.length) * width;
  const anchor = (x) => (x < 30 ? "start" : x > width - 30 ? "end" : "middle");
  const left = (x, room) => ({ start: x, middle: x - room / 2, end: x - room })[anchor(x)];
  return [...named, ...wanted].flatMap(([at, text]) => {
    const [x, room] = [place([at]), text.length * CHARACTER];
    if (left(x, room) < free + 4) return [];
    free = left(x, room) + room;
    return svg("text", { class: "tick", x: px(x), y: HIST.height + 13, "text-anchor": anchor(x) }, text);
  });
}

function histogram(column, shares) {
  const { width, height } = HIST;
  const bins = binsOf(column, shares);
  const most = mostOf(bins, shares);
  const slot = width / bins.length;
  const y = (share) => height - (share / most) * (height - 2);
  const bars = (parts, name, inset) => parts && bins.map((bin, place) => parts[bin] > 0 &&
    svg("rect", { class: name, x: px(place * slot + inset), width: Math.max(1, px(slot - 2 * inset)),
      y: px(y(parts[bin])), height: px(height - y(parts[bin])) })).filter(Boolean);
  const outline = shares.training &&
    svg("path", { class: "trained", d: `M0 ${height}${bins.map((bin, place) =>
      `V${px(y(shares.training[bin]))}H${px((place + 1) * slot)}`).join("")}V${height}` });
  const hits = bins.map((bin, place) => svg("rect", { class: "hit", x: px(place * slot), width: px(slot), height },
    svg("title", {}, binWords(column, shares, bin))));
  const labels = edgeLabels(column, bins, width);
  const base = svg("path", { class: "grid", d: `M0 ${height}H${width}` });
  const drawn = [bars(shares.before, "before", 0), bars(shares.since, "since", Math.min(3, slot / 5))];
  return [height + 18, [base, drawn, outline, labels, hits]];
}

/* The values of a category, each with a bar; of many those of which the share has changed most. */
function valueBars(column, shares) {
  const all = binsOf(column, shares).filter((bin) =>
    [shares.training, shares.before, shares.since].some((each) => each && each[bin] > 0));
  const changeOf = (bin) => Math.abs((shares.since?.[bin] ?? 0) - (shares.training?.[bin] ?? 0));
  const kept = new Set([...all].sort((one, other) => changeOf(other) - changeOf(one)).slice(0, VALUES));
  const bins = all.filter((bin) => kept.has(bin));
  const most = mostOf(bins, shares);
  const [left, row, width] = [92, 16, HIST.width];
  const room = width - left - 44;
  const bar = (parts, bin, name, y, height) => parts?.[bin] > 0 &&
    svg("rect", { class: name, x: left, y, height, width: Math.max(1, px((parts[bin] / most) * room)) });
  const rows = bins.map((bin, place) => svg("g", { transform: `translate(0 ${place * row})` },
    svg("title", {}, binWords(column, shares, bin)),
    svg("rect", { class: "hit", width, height: row }),
    svg("text", { class: "tick", x: left - 6, y: 12, "text-anchor": "end" }, shown(binName(column, bin), 14)),
    bar(shares.before, bin, "before", 2, 12) || null, bar(shares.since, bin, "since", 4, 8) || null,
    bar(shares.training, bin, "trained", 2, 12) || null,
    svg("text", { class: "tick", x: width, y: 12, "text-anchor": "end" }, percent(shares.since?.[bin] ?? null))));
  const hidden = all.length - bins.length;
  const rest = hidden > 0 && svg("text", { class: "tick", x: left, y: bins.length * row + 12 },
    `and ${counted(hidden, "further value")}`);
  return [(bins.length + (hidden > 0)) * row + 4, [rows, rest || null]];
}

function distribution(column) {
  if (DECLARED.has(column.kind)) return null;
  const shares = sharesOf(column);
  if (!shares.since && !shares.training) return null;
  const [height, content] = LISTED.has(column.kind) ? valueBars(column, shares) : histogram(column, shares);
  const about = { role: "img", "aria-label": `Shares of ${columnName(column)}` };
  return svg("svg", { class: "hist", viewBox: `0 -2 ${HIST.width} ${height}`, ...about }, content);
}

/* ---------- How they went over time ---------- */

const COURSE = { width: 260, height: 44 };

/* What so few predictions are away from training by chance alone: about that is the mean of the index. */
function chanceOf({ training, rows, kind }, { predictions }) {
  if (!training || !rows) return null;
  const bins = training.filter((share, bin) => share > 0 && (WHOLE.has(kind) || bin >= OWN)).length;
  return predictions.map((count) => (count > 0 ? (bins - 1) * (1 / count + 1 / rows) : null));
}

function courseScene({ start_ms: start, width_ms: width, predictions }) {
  const bins = [...predictions.keys()];
  const end = start + bins.length * width;
  const x = (ms) => ((ms - start) / (end - start)) * COURSE.width;
  return { series: { start_ms: start, width_ms: width }, bins, x };
}

function coursePanel(carried, values, { top, name, format, least, chance, named }) {
  const scene = courseScene(carried);
  const { width, height } = COURSE;
  const known = values.filter(isKnown);
  const most = Math.max(least, ...known);
  const y = (value) => height - (Math.min(value, most) / most) * (height - 3);
  const marks = (named?.alerts ?? []).map((alert) => {
    const stem = svg("path", { class: "alarm-line", d: `M0 0V${-height}` });
    const place = { transform: `translate(${px(scene.x(alert.at))} ${height})` };
    return svg("g", place, svg("title", {}, inShort(alert)), stem, sign(markClass(alert)));
  });
  return svg("g", { transform: `translate(0 ${top})` },
    svg("title", {}, `${name}: at most ${format(known.length ? Math.max(...known) : null)}`),
    svg("rect", { class: "hit", width, height }),
    svg("path", { class: "grid", d: `M0 ${height}H${width}M0 3H${width}` }),
    chance ? line(scene, chance, y, "chance") : null,
    line(scene, values, y, "rate"),
    svg("text", { class: "tick", y: -2 }, `${name} to ${format(most)}`), marks);
}

function course(column, carried) {
  const { live, named } = column;
  const nothing = carried.predictions.map((count) => (count > 0 ? 0 : null));
  const main = DECLARED.has(column.kind)
    ? [live.changed ?? nothing, column.kind === "names" ? "unknown fields" : "would change", percent, 0.01]
    : live.distances && [live.distances, "PSI", number, 0.25];
  const oddName = column.kind === "step" ? "cannot tell" : "of another kind";
  const others = [[live.missing, "missing"], [live.odd, oddName]].map((each) => [...each, percent, 0.01]);
  const panels = [main, ...others].filter((each) => each && each[0]);
  if (!panels.length) return null;
  const [first, step] = [13, COURSE.height + 24];
  const drawn = panels.map(([values, name, format, least], place) => coursePanel(carried, values, {
    top: first + place * step, name, format, least, named, chance: name === "PSI" ? chanceOf(column, carried) : null,
  }));
  const end = carried.start_ms + carried.predictions.length * carried.width_ms;
  const under = first + panels.length * step - 8;
  const times = [svg("text", { class: "tick", y: under }, stamp(carried.start_ms)),
    svg("text", { class: "tick", x: COURSE.width, y: under, "text-anchor": "end" }, stamp(end))];
  const about = { role: "img", "aria-label": `${columnName(column)} over time` };
  return svg("svg", { class: "course", viewBox: `-1 0 ${COURSE.width + 2} ${under + 4}`, ...about }, drawn, times);
}

/* ---------- The list ---------- */

function columnName({ feature, trait }) {
  return isKnown(trait) ? `${feature}: ${TRAITS[trait] ?? trait}` : feature;
}

function heard(texts) {
  return texts.length ? h("ul", { class: "told" }, texts.map((text) => h("li", {}, said(text)))) : null;
}

function measured({ kind, distance, share, live, since, before, training }) {
  const rows = total([...since.keys()], (bin) => since[bin]);
  const what = kind === "names" ? "of predictions have unknown fields" : "would still change";
  const missing = WHOLE.has(kind) && live.missing && rows > 0
    && `missing ${percent(since[MISSING] / rows)} (${percent(training?.[MISSING])} in training)`;
  const changed = isKnown(share) && `${percent(share)} ${what}`;
  const parts = [isKnown(distance) && `PSI ${number(distance)}`, changed, missing];
  return [kind, ...parts].filter(Boolean).join(" · ") + (before && parts.some(Boolean) ? ", since the onset" : "");
}

function featureRow(column, carried, { told, toggle, isInner }) {
  const marked = column.named ? swatch(svg("title", {}, "named by an alert"), sign("raised")) : null;
  const name = h("h3", {}, marked, said(columnName(column)));
  const pictures = [distribution(column), course(column, carried)].map((each) => h("div", { class: "picture" }, each));
  return h("li", { class: isInner ? "feature inner" : "feature" },
    h("div", { class: "what" }, name, h("p", { class: "quiet" }, measured(column)), heard(told), toggle), pictures);
}

function toldOf(columns) {
  return columns.flatMap(({ named }) => [...(named?.told.values() ?? [])]);
}

function featureRows({ key, columns }, carried) {
  const [first, ...others] = columns;
  const isOpen = state.unfolded.has(key);
  const flip = () => {
    if (isOpen) state.unfolded.delete(key);
    else state.unfolded.add(key);
    drawCarried();
  };
  const act = { type: "button", "data-key": `feature ${key}`, "aria-expanded": String(isOpen), onclick: flip };
  const words = isOpen ? "Only the farthest" : `${number(others.length)} more of it`;
  const toggle = others.length ? h("button", act, words) : null;
  const inner = isOpen ? others.map((each) => featureRow(each, carried, { told: toldOf([each]), isInner: true })) : [];
  return [featureRow(first, carried, { told: toldOf(isOpen ? [first] : columns), toggle }), inner];
}

function carriedLegend(carried) {
  const split = splitOf(carried);
  const box = (name) => swatch(block(name));
  const items = [
    ["training", box("trained")],
    split !== null && [`before ${stamp(split)} UTC`, box("before")],
    [split === null ? "live" : `since then, the first onset`, box("since")],
    ["by chance alone, about", swatch(stroke("chance"))],
    saidOf(carried).size > 0 && ["alert", swatch(sign("raised"))],
  ];
  return items.filter(Boolean).map(([text, shape]) => h("li", {}, shape, text));
}

function carriedAbout(carried) {
  const { profile, left_out: leftOut } = chosen.monitor.carried;
  const predictions = total(carried.predictions, (count) => count);
  const rest = leftOut > 0 ? ` ${counted(leftOut, "further segment")} left out of this section.` : "";
  const what = profile === null ? "against the steps of preparation" : ["against profile ", said(profile)];
  const index = " PSI: population stability index, against training; 0.1 is little, 0.25 much.";
  const width = duration(carried.width_ms / SECOND);
  return [`${counted(predictions, "prediction")}, `, what, `, in time bins of ${width}.`, index, rest];
}

function drawFeatures(carried) {
  const all = featuresOf(carried);
  const showAll = () => {
    state.features = Infinity;
    drawCarried();
  };
  const act = { type: "button", "data-key": "features", onclick: showAll };
  const more = h("button", act, `Show all ${number(all.length)}`);
  const isMore = all.length > state.features;
  const rows = all.slice(0, state.features).map((each) => featureRows(each, carried));
  fill(byId("features"), h("ol", { class: "features" }, rows), isMore ? more : null);
}

function drawCarried() {
  const kept = carriedAll();
  byId("carried").hidden = !isKnown(chosen.monitor?.carried);
  if (byId("carried").hidden) return;
  const place = carriedPlace();
  const carried = kept[place];
  const options = kept.map((each, number) => [number, carriedName(each)]);
  fillSelect(byId("carried-segment"), place < 0 ? [[-1, "choose one"], ...options] : options, place);
  byId("carried-choice").hidden = kept.length < 2;
  fill(byId("carried-legend"), carried ? carriedLegend(carried) : null);
  const none = kept.length ? "Of this segment nothing was kept: only the first that came are. Choose one of them."
    : "No window of predictions was compared.";
  fill(byId("carried-about"), carried ? carriedAbout(carried) : none);
  if (carried) drawFeatures(carried);
  else fill(byId("features"));
}

/* ---------- In the chart, and of alerts ---------- */

/* What scores let expect, as the chart draws it; null where nothing is known. */
function expectedOf({ from, to, x }) {
  const carried = chosen.monitor.loss === "mismatch" && chosen.segment && carriedOf(chosen.segment.segment);
  if (!carried || !carried.expected.some(isKnown)) return null;
  const isInView = (bin) => startOf(carried, bin + 1) > from && startOf(carried, bin) < to;
  const bins = [...carried.expected.keys()].filter(isInView);
  return bins.length ? { series: carried, bins, x, values: carried.expected } : null;
}

function movedName({ feature, trait, change }) {
  return change === "missing" ? `${feature} missing` : columnName({ feature, trait });
}

function movedInShort({ features: { moved } }) {
  const names = [...new Set(moved.map(movedName))];
  const rest = names.length > 2 ? `, ${number(names.length - 2)} more` : "";
  return shown(names.slice(0, 2).join(", "), 60) + rest;
}

function exampleOf({ example }) {
  if (!example) return null;
  const values = (example.shown ?? []).map((text) => h("code", {}, said(text)));
  const [made, came] = values;
  const pair = came ? [": training makes ", made, ", it carries ", came] : made && [": ", made];
  const where = ` (partition ${example.partition}, offset ${example.offset})`;
  return h("p", { class: "quiet" }, "first ", said(example.request_id), where, pair ?? null);
}

function movedItem(each) {
  const { psi, ks } = each.distances ?? {};
  const distances = [isKnown(psi) && `PSI ${number(psi)}`, isKnown(ks) && `KS ${number(ks)}`];
  const about = [...distances, counted(each.count, "prediction")].filter(Boolean).join(", ");
  return h("li", {}, said(each.told), h("span", { class: "quiet" }, ` (${about})`), exampleOf(each));
}

function estimated({ estimate }) {
  if (!estimate) return null;
  const count = counted(estimate.count, "prediction");
  return h("p", {}, `Scores let expect ${percent(estimate.rate)} errors meanwhile, by ${count}.`);
}

function carriedDetail(alert) {
  const { moved, ranking } = alert.features;
  const ranked = ranking.map((each, place) => [place ? ", " : "", said(each.feature), ` ${number(each.moved)}`]);
  const title = alert.status === "resolved" ? "What was named is now:" : "What has moved:";
  const farthest = "Farthest from what is usual, in standard deviations of training: ";
  return [
    moved.length ? [h("p", {}, title), h("ul", {}, moved.map(movedItem))] : null,
    ranked.length ? h("p", {}, farthest, ranked, ".") : null,
    showCarried(alert),
  ];
}

function showCarried(alert) {
  const monitor = report.monitors.findIndex(({ name }) => name === alert.monitor);
  const kept = report.monitors[monitor]?.carried?.segments ?? [];
  const place = kept.findIndex((each) => segmentKey(each.segment) === alert.key);
  if (place < 0) return null;
  const show = () => {
    choose({ monitor, segment: Math.max(0, placeOf(monitor, alert.key)), carried: place });
    scrollTo(byId("carried-heading"));
  };
  const act = { type: "button", "data-key": `carried ${alert.place}`, onclick: show };
  return h("button", act, "Show what predictions carried");
}

function placeOf(monitor, key) {
  return report.monitors[monitor].segments.findIndex((each) => segmentKey(each.segment) === key);
}

/* Leads from an alert to the episode of what its predictions carried meanwhile. */
function relatedTo({ related, setting }) {
  const named = (id) => alerts.find((each) => each.id === id && each.setting === setting);
  return (related ?? []).map(named).filter(Boolean).map((other) => {
    const show = () => {
      choose({ everywhere: true, limit: Math.max(state.limit, alertsOfSetting().indexOf(other) + 1) });
      openAlert(other.place);
    };
    const words = `What predictions carried: ${VERBS[markClass(other)]} ${stamp(other.at)}`;
    return h("button", { type: "button", onclick: show }, words);
  });
}
