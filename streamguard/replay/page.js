const report = JSON.parse(byId("report").textContent);

/* What is chosen. Monitor, segment, setting and alerts are places in the lists of the report. */
const state = {
  monitor: 0,
  segment: 0,
  setting: 0,
  find: "",
  segmentOrder: { key: "moved", isUp: false },
  settingOrder: { key: null, isUp: false },
  view: null, // [from, to] in ms; null: everything
  cursor: null, // ms
  dragFrom: null, // ms
  everywhere: false,
  limit: 100,
  opened: new Set(),
  carried: null, // the place of the segment whose features are shown; null: the chosen one's
  features: FEATURES,
  unfolded: new Set(), // features of which all is shown
};

/* ---------- Words ---------- */

const NONE = "–";
const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const UNITS = [["d", DAY / SECOND], ["h", HOUR / SECOND], ["min", MINUTE / SECOND], ["s", 1]];
// From here on digits are no help.
const FAR = 1e15;

const integers = new Intl.NumberFormat("en");
const decimals = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });
const compacts = new Intl.NumberFormat("en", { maximumSignificantDigits: 3, notation: "compact" });
const percents = new Intl.NumberFormat("en", { maximumSignificantDigits: 3, style: "percent" });

function isKnown(value) {
  return value !== null && value !== undefined;
}

function written(value, format) {
  if (!isKnown(value)) return NONE;
  return Math.abs(value) >= FAR ? value.toExponential(2) : format.format(value);
}

function number(value) {
  return written(value, Number.isInteger(value) ? integers : decimals);
}

function compact(value) {
  return written(value, compacts);
}

function percent(value) {
  return written(value, percents);
}

/* A mean loss: a share where the loss is one. */
function level(value, monitor) {
  return monitor?.is_rate === false ? number(value) : percent(value);
}

/* A text as it is, and anything else in JSON. */
function inJson(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}

function counted(count, noun) {
  return `${count === 0 ? "no" : number(count)} ${noun}${count === 1 ? "" : "s"}`;
}

function duration(seconds) {
  if (!isKnown(seconds)) return NONE;
  const place = UNITS.findIndex(([, size]) => seconds >= size);
  if (place < 0 || place === UNITS.length - 1) return `${number(seconds)} s`;
  const [[unit, size], [smaller, fraction]] = UNITS.slice(place, place + 2);
  const [parts, perUnit] = [Math.round(seconds / fraction), size / fraction];
  const rest = parts % perUnit;
  return `${number(Math.floor(parts / perUnit))} ${unit}${rest ? ` ${rest} ${smaller}` : ""}`;
}

function days(ms) {
  return ms >= 2 * DAY ? counted(Math.round(ms / DAY), "day") : duration(ms / SECOND);
}

/* Of a time in ms the characters of `2026-01-31 23:59:59.999` from one place to another. */
function stamp(ms, from = 0, to = 16) {
  const date = new Date(ms);
  return Number.isNaN(date.getTime()) ? NONE : date.toISOString().slice(from, to).replace("T", " ");
}

function range(from, to) {
  const isOneDay = stamp(from, 0, 10) === stamp(to, 0, 10);
  return `${stamp(from)} to ${stamp(to, isOneDay ? 11 : 0)} UTC`;
}

/* A text of RFC 3339; what is none is shown as it is. */
function moment(text) {
  if (!isKnown(text)) return NONE;
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? text : `${stamp(ms, 0, 19)} UTC`;
}

function segmentName(segment) {
  const fields = Object.entries(segment ?? {});
  return fields.map(([field, value]) => `${field}=${value ?? "(none)"}`).join(", ") || "all outcomes";
}

function lossName(monitor) {
  return monitor.loss === "mismatch" ? "mismatch rate" : `mean loss (${monitor.loss})`;
}

function checkName(check) {
  return [check?.of, check?.type].filter(isKnown).join(", by ") || "its own check";
}

/* ---------- Elements ---------- */

function byId(id) {
  return document.getElementById(id);
}

function furnished(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (isKnown(value) && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter(isKnown));
  return element;
}

function h(tag, attributes = {}, ...children) {
  return furnished(document.createElement(tag), attributes, children);
}

function svg(tag, attributes = {}, ...children) {
  return furnished(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

/* Text of the user's, whose direction does not reach beyond it. */
function said(text) {
  return h("bdi", {}, String(text));
}

/* Puts children into a place, and leaves the focus where it was. */
function fill(place, ...children) {
  const key = place.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  place.replaceChildren(...children.flat(Infinity).filter(isKnown));
  if (key !== undefined) place.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus({ preventScroll: true });
}

function fillList(place, texts) {
  fill(place, texts.map((text) => h("li", {}, said(text))));
  place.hidden = texts.length === 0;
}

function fillSelect(place, options, selected) {
  fill(place, options.map(([value, text]) => h("option", { value, selected: value === selected }, text)));
}

/* ---------- What follows from the report and from what is chosen ---------- */

const chosen = {
  get monitor() {
    return report.monitors[state.monitor];
  },
  get segment() {
    return this.monitor?.segments[state.segment];
  },
  get setting() {
    return report.settings[state.setting];
  },
};

function segmentKey(segment) {
  return JSON.stringify(Object.entries(segment ?? {}).sort());
}

const alerts = report.alerts
  .map((alert, place) => ({ ...alert, place, at: Date.parse(alert.event_time), key: segmentKey(alert.segment) }))
  .sort((one, other) => one.at - other.at);

function isNotice(alert) {
  return alert.status === "raised" && alert.direction === "better";
}

/* What is said of settings calls nobody, and is in the list all the same. */
const OF_SETTINGS = new Set(["segments_full", "type_disagreement"]);

function isAlarm(alert) {
  return alert.status === "raised" && alert.direction !== "better" && !OF_SETTINGS.has(alert.kind);
}

function alertsOfSetting() {
  return alerts.filter((alert) => alert.setting === state.setting);
}

function alertsOfSegment() {
  if (!chosen.segment) return [];
  const key = segmentKey(chosen.segment.segment);
  return alertsOfSetting().filter((alert) => alert.monitor === chosen.monitor.name && alert.key === key);
}

/* The alarms of each segment of the chosen monitor. */
function alarmCounts() {
  const counts = new Map();
  for (const alert of alertsOfSetting()) {
    const isOurs = alert.monitor === chosen.monitor?.name && isAlarm(alert);
    if (isOurs) counts.set(alert.key, (counts.get(alert.key) ?? 0) + 1);
  }
  return (segment) => counts.get(segmentKey(segment.segment)) ?? 0;
}

function hasBins(series) {
  return series.rate.length > 0 && series.width_ms > 0;
}

function startOf(series, bin) {
  return series.start_ms + bin * series.width_ms;
}

function total(bins, valueOf) {
  return bins.reduce((sum, bin) => sum + valueOf(bin), 0);
}

/* The mean loss of some bins; null where none has a loss. */
function meanOf(series, bins) {
  const known = bins.filter((bin) => isKnown(series.rate[bin]));
  const count = total(known, (bin) => series.labelled[bin]);
  return count > 0 ? total(known, (bin) => series.rate[bin] * series.labelled[bin]) / count : null;
}

/* From the first event time of the report to the last; null where there is none. A record without an outcome does not
   reach beyond those that have one: its time may be wrong by years. */
function timeOf({ inputs, monitors }) {
  const all = monitors.flatMap((each) => each.segments.map(({ series }) => series)).filter(hasBins);
  const starts = all.map((series) => series.start_ms);
  const ends = all.map((series) => startOf(series, series.rate.length));
  const [first, last] = [inputs.first, inputs.last].map((text) => [Date.parse(text)].filter((ms) => stamp(ms) !== NONE));
  const from = Math.max(...first, starts.length ? Math.min(...starts) : -Infinity);
  const to = Math.min(...last, ends.length ? Math.max(...ends) : Infinity);
  return Number.isFinite(from) && Number.isFinite(to) && from < to ? [from, to] : null;
}

const everything = timeOf(report);

/* The threshold of a setting for the chosen monitor. */
function threshold(setting = chosen.setting) {
  return setting?.thresholds[chosen.monitor.name] ?? null;
}

/* The moving window is drawn as configured, which is the first setting: another's would be another line. */
function hasOwnWindow() {
  return threshold()?.window !== threshold(report.settings[0])?.window;
}

function sums(values) {
  const found = [0];
  for (const value of values) found.push(found.at(-1) + value);
  return found;
}

/* What an outcome of a stretch with this mean adds to a likelihood ratio. */
function surprise(mean, usual) {
  const ratio = mean / usual;
  return ratio <= 0 ? 1 : ratio * Math.log(ratio) - ratio + 1;
}

/* The stretch of time that differs most from the rest. A likelihood ratio says how much: few outcomes weigh little. */
function movement(series, isRate) {
  const counts = sums(series.rate.map((rate, bin) => (rate === null ? 0 : series.labelled[bin])));
  const losses = sums(series.rate.map((rate, bin) => (rate ?? 0) * series.labelled[bin]));
  const [bins, count, loss] = [series.rate.length, counts.at(-1), losses.at(-1)];
  const usual = loss / count;
  const stride = Math.ceil(bins / 128);
  let best = null;
  for (let from = 0; from < bins; from += stride) {
    for (let to = from + stride; to < bins + stride; to += stride) {
      const end = Math.min(to, bins);
      const inside = counts[end] - counts[from];
      const rate = (losses[end] - losses[from]) / inside;
      const rest = (loss - losses[end] + losses[from]) / (count - inside);
      const size = (inside * surprise(rate, usual) + (count - inside) * surprise(rest, usual)) * (isRate ? usual : 1);
      // Neither is a number where one side is empty, and then this is false.
      if (size > (best?.size ?? 0)) best = { size, from, levels: [rest, rate] };
    }
  }
  // A stretch at the beginning comes before the rest.
  return best && { size: best.size, levels: best.from === 0 ? best.levels.reverse() : best.levels };
}

// So much comes by chance in one segment of twenty: e ** -12 for each of some eight thousand stretches.
const SALIENT = 12;
const movements = new WeakMap();

function moved(monitor, { series }) {
  if (!movements.has(series)) movements.set(series, movement(series, monitor.is_rate));
  return movements.get(series);
}

/* The place of the segment of the chosen monitor that moved most, of those with alarms where there are any. */
function mostMoved() {
  const alarms = alarmCounts();
  const all = chosen.monitor?.segments ?? [];
  const alarmed = all.filter((each) => alarms(each) > 0);
  const size = (each) => moved(chosen.monitor, each)?.size;
  return Math.max(0, all.indexOf(sorted(alarmed.length ? alarmed : all, size, false)[0]));
}

/* The alerts of an episode as one bar: from the estimated onset over the alarm to the end. */
function episodesOf(shown) {
  const groups = Map.groupBy(shown, (alert) => alert.episode);
  return [...groups.values()].map((group) => {
    const [first, last] = [group[0], group.at(-1)];
    const onset = isAlarm(first) ? Date.parse(first.onset) : NaN;
    return {
      alerts: group,
      onset: Math.min(first.at, Number.isNaN(onset) ? first.at : onset),
      raised: first.at,
      end: last.status === "resolved" || isNotice(last) ? last.at : everything[1],
    };
  });
}

/* ---------- Head ---------- */

function headline() {
  if (!chosen.setting) return "Nothing was replayed.";
  const isCompared = report.monitors.some(({ carried }) => carried?.predictions > 0);
  if (report.outcomes.released === 0 && !isCompared) return "No outcome, so nothing could be judged.";
  const ms = everything ? everything[1] - everything[0] : 0;
  const first = alertsOfSetting().find(isAlarm);
  const alarms = counted(chosen.setting.raised, "alarm").replace("no", "No");
  const when = first ? `; the first at ${stamp(first.at)} UTC` : "";
  return `${alarms}${ms > 0 ? ` in ${days(ms)}` : ""}${when}.`;
}

function verdict() {
  const score = chosen.setting?.score;
  if (!score) return "";
  const late = score.found ? `, ${duration(score.delay_median_s)} after the beginning (median)` : "";
  const alarms = `${counted(score.false_alarms, "false alarm")}, ${number(score.false_per_month)} a month`;
  return `${number(score.found)} of ${counted(score.found + score.missed, "known incident")} found${late}; ${alarms}.`;
}

function fact(term, ...values) {
  return [h("dt", {}, term), h("dd", {}, values)];
}

function incident({ name, from, to, monitor, segment }) {
  const where = [monitor, segment && segmentName(segment)].filter(isKnown).join(", ");
  const end = isKnown(to) ? moment(to) : "an unknown end";
  return h("li", {}, said(name), `, ${moment(from)} to ${end}`, where ? [", ", said(where)] : null);
}

function facts({ inputs, outcomes, normal, truth, mode, agreement }) {
  const { released, late, held } = outcomes;
  const asked = inputs.from || inputs.to ? `; asked for: ${moment(inputs.from)} to ${moment(inputs.to)}` : "";
  return [
    fact("Read from", said(inputs.kind)),
    fact("Predictions", said(inputs.predictions)),
    fact("Labels", said(inputs.labels)),
    fact("Event time", inputs.first ? `${moment(inputs.first)} to ${moment(inputs.last)}` : "none", asked),
    fact("Outcomes", `${number(released)} judged, ${number(late)} late, ${number(held)} held`),
    fact("Mode", h("strong", {}, said(mode)), ": ", said(agreement)),
    normal && fact("Normal", `${moment(normal.from)} to ${moment(normal.to)}`),
    truth.length > 0 ? fact("Incidents", h("ul", {}, truth.map(incident))) : null,
  ];
}

function countsTable(counts) {
  const sides = Object.keys(counts);
  const row = (end) => {
    const cells = sides.map((side) => counts[side][end]).map((count) => h("td", { class: "n" }, number(count)));
    return h("tr", {}, h("th", { scope: "row" }, end), cells);
  };
  const head = [h("th", { scope: "col" }, "records"), sides.map((side) => h("th", { scope: "col", class: "n" }, side))];
  return h("table", {}, h("thead", {}, h("tr", {}, head)), h("tbody", {}, Object.keys(counts[sides[0]]).map(row)));
}

function drawHead() {
  byId("title").textContent = [report.title, chosen.setting?.name].filter(isKnown).join(": ");
  byId("headline").textContent = headline();
  byId("verdict").textContent = verdict();
}

/* What no choice changes. */
function drawOnce() {
  document.title = `${report.title} - streamguard backtest`;
  byId("partial").hidden = !isKnown(report.partial);
  byId("partial").textContent = `A part only: ${report.partial}`;
  fillList(byId("notes"), report.notes);
  fillList(byId("suggestions"), report.suggestions);
  fill(byId("facts"), facts(report));
  fill(byId("counts"), report.counts && countsTable(report.counts));
  byId("config").textContent = report.config;
  const source = `Made by streamguard ${report.streamguard}`;
  byId("footer").textContent = `${source}. Times are event times in UTC. The page is whole: it loads nothing.`;
}

/* ---------- Tables ---------- */

/* What has no value comes last, whichever way the rest is sorted. */
function sorted(rows, valueOf, isUp) {
  const compare = (one, other) => (typeof one === "string" ? one.localeCompare(other, "en") : one - other);
  const isMissing = (value) => !isKnown(value) || Number.isNaN(value);
  return rows
    .map((row) => [row, valueOf(row)])
    .sort(([, one], [, other]) => {
      if (isMissing(one) || isMissing(other)) return isMissing(one) - isMissing(other);
      return isUp ? compare(one, other) : compare(other, one);
    })
    .map(([row]) => row);
}

/* In the order that is chosen by a column's key; without one, as they are. */
function ordered(rows, columns, { key, isUp }) {
  const column = columns.find((each) => each.key === key);
  return column ? sorted(rows, column.value, isUp) : rows;
}

function heading({ key, title, value, isText }, order, reorder) {
  const isChosen = key === order.key;
  const attributes = { scope: "col", class: isText ? null : "n" };
  if (!value) return h("th", attributes, title);
  // Of numbers the large ones are of interest, of texts the first.
  const next = { key, isUp: isChosen ? !order.isUp : Boolean(isText) };
  const arrow = h("span", { class: "arrow", "aria-hidden": "true" }, isChosen && order.isUp ? "▲" : "▼");
  const act = { type: "button", "data-key": `sort ${key}`, onclick: () => reorder(next) };
  const button = h("button", act, `${title}\u00a0`, arrow);
  if (isChosen) attributes["aria-sort"] = order.isUp ? "ascending" : "descending";
  return h("th", attributes, button);
}

function row(columns, data, { key, isChosen, choose, name, note }) {
  const button = { type: "button", "data-key": key, "aria-pressed": String(isChosen) };
  const cells = columns.map(({ cell, isText }, place) => {
    const isButton = place === 0 && choose;
    return h("td", { class: isText ? null : "n" }, isButton ? [h("button", button, cell(data)), note] : cell(data));
  });
  return h("tr", { class: isChosen ? "chosen" : name, ...(choose && { onclick: choose }) }, cells);
}

function table(columns, rows, order, reorder) {
  const head = columns.map((column) => heading(column, order, reorder));
  return h("table", {}, h("thead", {}, h("tr", {}, head)), h("tbody", {}, rows));
}

function plain(key, title, format = number) {
  return { key, title, value: (each) => each[key], cell: (each) => format(each[key]) };
}

function named(title, nameOf) {
  return { key: "name", title, isText: true, value: nameOf, cell: (each) => said(nameOf(each)) };
}

function segmentColumns() {
  const own = chosen.monitor;
  const alarms = alarmCounts();
  const change = (each) => {
    const found = moved(own, each);
    return found?.size > SALIENT ? found.levels.map((value) => level(value, own)).join(" → ") : NONE;
  };
  return [
    named("Segment", (each) => segmentName(each.segment)),
    plain("outcomes", "Outcomes"),
    { key: "labelled", title: "Labelled", value: coverage, cell: (each) => percent(coverage(each)) },
    plain("rate", "Rate", (rate) => level(rate, own)),
    { key: "moved", title: "Moved most", value: (each) => moved(own, each)?.size, cell: change },
    { key: "course", title: "Course", isText: true, cell: (each) => sparkline(each.series) },
    { key: "alarms", title: "Alarms", value: alarms, cell: (each) => number(alarms(each)) },
  ];
}

function coverage({ outcomes, labelled }) {
  return outcomes > 0 ? labelled / outcomes : null;
}

/* The segments that are looked for, in the order that is chosen, each with its place. */
function segmentsShown(columns) {
  const wanted = state.find.trim().toLowerCase();
  const all = (chosen.monitor?.segments ?? []).map((segment, place) => ({ ...segment, place }));
  const matching = all.filter((each) => segmentName(each.segment).toLowerCase().includes(wanted));
  return ordered(matching, columns, state.segmentOrder);
}

function drawSegments(columns, shown) {
  const rows = shown.map((each) => {
    const isChosen = each.place === state.segment;
    const select = () => choose({ segment: each.place, carried: null });
    const choice = { key: `segment ${each.place}`, isChosen, choose: select };
    return row(columns, each, choice);
  });
  const all = chosen.monitor?.segments.length ?? 0;
  const leftOut = chosen.monitor?.left_out ?? 0;
  const found = shown.length < all && `${number(shown.length)} of ${counted(all, "segment")} found.`;
  const rest = leftOut > 0 && `${counted(leftOut, "further segment")} left out of this report.`;
  byId("segments-about").textContent = [found, rest].filter(Boolean).join(" ");
  fill(byId("segments"), table(columns, rows, state.segmentOrder, (segmentOrder) => choose({ segmentOrder })));
}

function drawClasses() {
  const classes = chosen.segment?.classes ?? [];
  const most = Math.max(...classes.map(({ share }) => share));
  const bar = (share) => h("span", { class: "bar", style: `--share: ${share / most}` }, percent(share));
  const columns = [
    { title: "Predicted", isText: true, cell: (each) => said(each.predicted) },
    { title: "Label", isText: true, cell: (each) => said(each.label) },
    { title: "Outcomes", cell: (each) => number(each.count) },
    { title: "Share", cell: ({ share }) => bar(share) },
  ];
  const rows = classes.map((each) => row(columns, each, {}));
  fill(byId("classes-about"), chosen.segment ? said(segmentName(chosen.segment.segment)) : "No segment.");
  fill(byId("classes"), classes.length ? table(columns, rows, {}) : h("p", { class: "quiet" }, "No classes."));
}

/* A path breaks between its words before it breaks within one. */
function changesList({ changes }) {
  const words = (path) => path.split(/(?<=[._])/).flatMap((word) => [word, h("wbr")]);
  return h("ul", {}, Object.entries(changes).map(([path, value]) =>
    h("li", {}, h("code", {}, h("bdi", {}, words(path), ": ", inJson(value))))));
}

function scored(key, title, format = number) {
  const value = ({ score }) => score?.[key];
  return { key, title, value, cell: (each) => format(value(each)) };
}

const SETTING_COLUMNS = [
  named("Setting", ({ name }) => name),
  plain("raised", "Alarms"),
  plain("per_month", "a month"),
  plain("per_month_normal", "a month when normal"),
  plain("notices", "Notices"),
  scored("found", "Found"),
  scored("missed", "Missed"),
  scored("delay_median_s", "Delay, median", duration),
  scored("delay_worst_s", "worst", duration),
  scored("outcomes_median", "in outcomes"),
  scored("false_alarms", "False alarms"),
  scored("false_per_month", "false a month"),
];

/* Columns that say something; references come last, for they are no choice. */
function drawSettings() {
  const { references } = report;
  const settings = report.settings.map((each, place) => ({ ...each, place }));
  const all = [...settings, ...references];
  const columns = SETTING_COLUMNS.filter(({ value }) => all.some((each) => isKnown(value(each))));
  const rows = ordered(settings, columns, state.settingOrder).map((each) => {
    const isChosen = each.place === state.setting;
    const choice = { key: `setting ${each.place}`, isChosen, choose: () => choose({ setting: each.place }) };
    return row(columns, each, { ...choice, note: changesList(each) });
  });
  const last = references.map((each) => row(columns, each, { name: "reference" }));
  const reorder = (settingOrder) => choose({ settingOrder });
  fill(byId("settings"), table(columns, [rows, last], state.settingOrder, reorder));
}

/* ---------- Chart ---------- */

const GAP = 14;
const TITLE = 26;
const LANE = 18;
const LANES = 8;
const STRIP = 20;
const CHARACTER = 6.6;
const STEPS = [SECOND, 5 * SECOND, 15 * SECOND, 30 * SECOND, MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE,
  HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY, 14 * DAY];
const MONTHS = [1, 2, 3, 6, 12, 24, 60, 120, 600];
// Weeks of the epoch begin on Thursdays, ours on Mondays.
const MONDAY = 4 * DAY;
const SHAPES = {
  raised: "M0-6L6 5H-6Z",
  updated: "M0-6L6 0 0 6-6 0Z",
  resolved: "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0-10 0Z",
  notice: "M0 6L6-5H-6Z",
};

/* What is in view, and where a time lies in the plots, in pixels from their left edge. */
function sceneOf() {
  const width = Math.max(280, byId("chart").clientWidth);
  const left = width < 600 ? 44 : 56;
  const inner = width - left - 12;
  const [from, to] = state.view ?? everything;
  const { series } = chosen.segment;
  const isInView = (bin) => startOf(series, bin + 1) > from && startOf(series, bin) < to;
  const bins = [...series.rate.keys()].filter(isInView);
  return { width, left, inner, from, to, series, bins, x: (ms) => ((ms - from) / (to - from)) * inner };
}

function px(value) {
  return Math.round(Math.max(-1e4, Math.min(1e4, value)) * 10) / 10 || 0;
}

/* A rectangle from one time to another. */
function stretch({ x }, from, to, attributes) {
  const left = px(x(from));
  return svg("rect", { x: left, width: Math.max(1, px(x(to)) - left), ...attributes });
}

function ticks(low, high, most) {
  const power = 10 ** Math.floor(Math.log10((high - low) / most));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((each) => (high - low) / each <= most);
  const first = Math.ceil(low / step - 1e-9);
  return Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, place) => (first + place) * step);
}

/* Full units of time: each with its text, or the month where days are too many. */
function timeTicks({ from, to, inner }) {
  const least = (to - from) / Math.max(2, Math.floor(inner / 75));
  const step = STEPS.find((each) => each >= least);
  if (!step) return monthTicks(from, to, least);
  const found = [];
  for (let ms = Math.ceil((from - MONDAY) / step) * step + MONDAY; ms <= to; ms += step) {
    const isClock = step < DAY && ms % DAY !== 0;
    found.push([ms, isClock ? stamp(ms, 11, step < MINUTE ? 19 : 16) : stamp(ms, 5, 10)]);
  }
  return found;
}

function monthTicks(from, to, least) {
  const step = MONTHS.find((months) => months * 30 * DAY >= least) ?? MONTHS.at(-1);
  const begin = new Date(from);
  const month = Math.ceil((begin.getUTCFullYear() * 12 + begin.getUTCMonth()) / step) * step;
  const found = [];
  for (let next = month, ms = from; ms <= to; next += step) {
    ms = Date.UTC(Math.floor(next / 12), next % 12);
    if (ms >= from && ms <= to) found.push([ms, stamp(ms, 0, 7)]);
  }
  return found;
}

/* The stretches of bins that have a value. */
function runs(bins, values) {
  const known = bins.filter((bin) => isKnown(values[bin]));
  const starts = known.flatMap((bin, place) => (known[place - 1] === bin - 1 ? [] : [place]));
  return starts.map((start, place) => known.slice(start, starts[place + 1]));
}

function points({ series, x }, bins, values, y) {
  return bins.map((bin) => `${px(x(startOf(series, bin + 0.5)))} ${px(y(values[bin]))}`).join("L");
}

/* Those in view and one beyond on either side, to which lines lead. */
function drawnBins({ bins }) {
  return [bins[0] - 1, ...bins, bins.at(-1) + 1];
}

/* A line through the middle of the bins; one by itself is a dot. */
function line(scene, values, y, name) {
  const path = runs(drawnBins(scene), values).map((bins) => `M${points(scene, bins, values, y)}h0`);
  return svg("path", { class: name, d: path.join("") });
}

function area(scene, low, high, y, name) {
  const path = runs(drawnBins(scene), low).map((bins) =>
    `M${points(scene, bins, low, y)}L${points(scene, [...bins].reverse(), high, y)}Z`);
  return svg("path", { class: name, d: path.join("") });
}

/* The lines and texts of an axis, and where a value lies. */
function axisOf({ inner }, [low, high], height, format) {
  const y = (value) => height - ((value - low) / (high - low)) * height;
  const marks = ticks(low, high, height < 100 ? 2 : 5).map((value) => [
    svg("path", { class: "grid", d: `M0 ${px(y(value))}H${inner}` }),
    svg("text", { class: "tick", x: -6, y: px(y(value)) + 4, "text-anchor": "end" }, format(value)),
  ]);
  return { y, axis: svg("g", {}, marks) };
}

/* From where to where the rates reach. Bins of few outcomes may lie beyond, or they alone would be seen. */
function reach({ series, bins }, limits, expected) {
  const counts = bins.map((bin) => series.labelled[bin]).sort((one, other) => one - other);
  const enough = counts[Math.floor(counts.length / 2)] / 10;
  const solid = bins.filter((bin) => isKnown(series.rate[bin]) && series.labelled[bin] >= enough);
  const drawn = [...solid.map((bin) => series.rate[bin]), ...bins.map((bin) => series.window[bin])];
  const rates = [...drawn, ...(expected ? expected.bins.map((bin) => expected.values[bin]) : [])].filter(isKnown);
  let high = Math.max(0, ...rates);
  const lines = [limits?.max, limits?.resolve].filter((limit) => isKnown(limit) && (high === 0 || limit <= 4 * high));
  high = Math.max(high, ...lines);
  const bands = solid.map((bin) => Math.min(series.high[bin] ?? 0, 1.4 * high));
  const low = Math.min(high, ...rates, ...lines);
  const top = Math.max(high, ...bands) * 1.06 || 1;
  // A change of a few percent of a large loss is seen only where the axis does not begin at zero.
  return [low > 0.6 * high ? Math.max(0, low - (top - low) / 2) : 0, top];
}

/* A line of the threshold with its text; one that lies outside the scale is told of at its upper edge. */
function limitLine({ inner }, { limit, name, text, isBelow }, y, [low, high]) {
  if (!isKnown(limit)) return [];
  const isSeen = limit >= low && limit <= high;
  const place = isSeen ? px(y(limit)) : 0;
  const under = isBelow || place < 14;
  const label = { class: "label", x: inner - 4, y: place + (under ? 13 : -5), "text-anchor": "end" };
  return [
    isSeen ? svg("path", { class: name, d: `M0 ${place}H${inner}` }) : null,
    svg("text", label, `${text} ${level(limit, chosen.monitor)}${isSeen ? "" : ": outside this scale"}`),
  ];
}

function limitLines(scene, limits, y, bounds) {
  const above = { limit: limits?.max, name: "limit", text: "alarm above", isBelow: false };
  const resolve = { limit: limits?.resolve, name: "limit resolve", text: "resolved at", isBelow: true };
  const isSeen = resolve.limit <= bounds[1];
  return [limitLine(scene, above, y, bounds), isSeen ? limitLine(scene, resolve, y, bounds) : []];
}

function ratePanel(scene) {
  const height = scene.width < 600 ? 200 : 260;
  const { series, bins, x } = scene;
  const limits = threshold();
  const expected = expectedOf(scene);
  const bounds = reach(scene, limits, expected);
  const { y, axis } = axisOf(scene, bounds, height, chosen.monitor.is_rate ? percent : compact);
  const beyond = bins.filter((bin) => series.rate[bin] > bounds[1]);
  const middle = (bin) => x(startOf(series, bin + 0.5));
  const alarms = alertsOfSegment().filter(isAlarm);
  const body = [
    area(scene, series.low, series.high, y, "band"),
    alarms.map(({ at }) => svg("path", { class: "alarm-line", d: `M${px(x(at))} 0V${height}` })),
    line(scene, series.rate, y, "rate"),
    hasOwnWindow() ? null : line(scene, series.window, y, "window"),
    expected && line(expected, expected.values, y, "expected"),
    limitLines(scene, limits, y, bounds),
    svg("path", { class: "beyond", d: beyond.map((bin) => `M${px(middle(bin))} 0l3 5h-6Z`).join("") }),
  ];
  return { title: lossName(chosen.monitor), height, axis, body };
}

function coveragePanel(scene) {
  const { outcomes, labelled } = scene.series;
  const height = 54;
  const { y, axis } = axisOf(scene, [0, 1], height, percent);
  const shares = outcomes.map((count, bin) => (count > 0 ? labelled[bin] / count : null));
  return { title: "outcomes with a label", height, axis, body: [line(scene, shares, y, "coverage")] };
}

function delayPanel(scene) {
  const { delay_median_s: median, delay_p90_s: late } = scene.series;
  const highest = Math.max(0, ...scene.bins.flatMap((bin) => [median[bin], late[bin]]).filter(isKnown));
  const [unit, size] = UNITS.find(([, each]) => highest >= 2 * each) ?? UNITS.at(-1);
  const height = 54;
  const { y, axis } = axisOf(scene, [0, (highest / size) * 1.06 || 1], height, compact);
  const inUnit = (value) => y(value / size);
  const body = [line(scene, late, inUnit, "delay late"), line(scene, median, inUnit, "delay")];
  return { title: `delay of labels in ${unit}: median, and dashed 90%`, height, axis, body };
}

/* Puts things that have a left and a right edge into lanes, so that none covers another. */
function intoLanes(things) {
  const ends = [];
  return [...things].sort((one, other) => one.left - other.left).map((thing) => {
    const free = ends.findIndex((end) => end < thing.left);
    const lane = free < 0 ? ends.length : free;
    ends[lane] = thing.right;
    return { ...thing, lane };
  });
}

function markClass(alert) {
  return isNotice(alert) ? "notice" : alert.status;
}

function mark(alert, x) {
  const attributes = {
    class: "mark",
    transform: `translate(${px(x(alert.at))} 0)`,
    role: "button",
    tabindex: -1,
    "data-alert": alert.place,
    "data-key": `mark ${alert.place}`,
    "aria-label": inShort(alert),
  };
  const hit = svg("circle", { class: "hit", r: 9 });
  return svg("g", attributes, svg("title", {}, inShort(alert)), hit, sign(markClass(alert)));
}

function episodeBar(scene, { lane, alerts, onset, raised, end }) {
  const size = { y: -4, height: 8 };
  const seen = alerts.filter(({ at }) => at >= scene.from && at <= scene.to);
  return svg("g", { transform: `translate(0 ${(lane + 0.5) * LANE})` },
    stretch(scene, onset, raised, { class: "onset", ...size }),
    stretch(scene, raised, end, { class: "episode", ...size }),
    seen.map((alert) => mark(alert, scene.x)));
}

function episodesPanel(scene) {
  const { x, inner } = scene;
  const bars = episodesOf(alertsOfSegment());
  const edges = bars.map((each) => ({ ...each, left: x(each.onset) - 10, right: x(each.end) + 10 }));
  const placed = intoLanes(edges.filter(({ left, right }) => right > 0 && left < inner));
  const shown = placed.filter(({ lane }) => lane < LANES);
  const height = Math.max(1, ...shown.map(({ lane }) => lane + 1)) * LANE;
  const hidden = placed.length - shown.length;
  const title = `alerts by episode${hidden ? `; ${counted(hidden, "more episode")} in the list` : ""}`;
  const axis = svg("path", { class: "grid", d: `M0 ${height}H${inner}` });
  const none = svg("text", { class: "label", x: 4, y: 13 }, "none here");
  return { title, height, axis, body: shown.length ? shown.map((each) => episodeBar(scene, each)) : none };
}

/* Whether the chosen setting has found an incident, and how late; nothing of one that began outside the range. */
function outcomeOf(incident) {
  const place = report.truth.filter((each) => each.is_scored).indexOf(incident);
  const delays = chosen.setting?.score?.delays_s ?? [];
  if (place < 0 || place >= delays.length) return "";
  return isKnown(delays[place]) ? `: found after ${duration(delays[place])}` : ": missed";
}

/* What is known of the time: the normal period, and the incidents that concern what is chosen. */
function spansOf() {
  const normal = report.normal ? [{ ...report.normal, name: "normal", isNormal: true }] : [];
  const own = chosen.segment.segment ?? {};
  const isOfOurs = (truth) =>
    (!isKnown(truth.monitor) || truth.monitor === chosen.monitor.name) &&
    Object.entries(truth.segment ?? {}).every(([field, value]) => !Object.hasOwn(own, field) || own[field] === value);
  const known = report.truth.map((each) => ({ ...each, name: `${each.name}${outcomeOf(each)}` }));
  return [...normal, ...known.filter(isOfOurs)].map((each) => ({
    ...each,
    first: Date.parse(each.from),
    last: isKnown(each.to) ? Date.parse(each.to) : everything[1],
  }));
}

/* A name with the room it takes: from the beginning of its span, and at the right edge before that. */
function nameOf(span, { x, inner }) {
  const text = span.name.length > 56 ? `${span.name.slice(0, 55)}…` : span.name;
  const room = Math.min(inner, text.length * CHARACTER + 8);
  const left = Math.min(Math.max(0, x(span.first)), inner - room);
  return { ...span, text, room, left, right: Math.max(x(span.last), left + room) };
}

/* The names of the spans above the plots. */
function stripPanel(scene) {
  const { x, inner } = scene;
  const seen = spansOf().filter(({ first, last }) => x(last) > 0 && x(first) < inner);
  const placed = intoLanes(seen.map((span) => nameOf(span, scene)));
  const body = placed.map(({ lane, text, room, left, first, last, isNormal }) =>
    svg("g", { transform: `translate(0 ${lane * STRIP})` },
      stretch(scene, first, last, { class: isNormal ? "name normal" : "name truth", y: STRIP - 4, height: 3 }),
      svg("svg", { x: px(left), width: px(room), height: STRIP }, svg("text", { class: "label", y: 11 }, text))));
  return { title: "", height: Math.max(0, ...placed.map(({ lane }) => lane + 1)) * STRIP, axis: null, body };
}

function background(scene, marks, height) {
  const { x, inner } = scene;
  const spans = spansOf().map(({ first, last, isNormal }) =>
    stretch(scene, first, last, { class: isNormal ? "normal" : "truth", height }));
  const grid = marks.map(([ms]) => svg("path", { class: "grid", d: `M${px(x(ms))} 0V${height}` }));
  return svg("svg", { width: inner, height }, grid, spans);
}

function timeAxis({ x, inner }, marks, top) {
  return marks.map(([ms, text]) => {
    const anchor = x(ms) > inner - 20 ? "end" : "middle";
    return svg("text", { class: "tick", x: px(x(ms)), y: top, "text-anchor": anchor }, text);
  });
}

function chartOf(scene) {
  const { width, left, inner } = scene;
  const marks = timeTicks(scene);
  let top = 0;
  const panels = [stripPanel, ratePanel, episodesPanel, coveragePanel, delayPanel].map((draw) => {
    const { title, height, axis, body } = draw(scene);
    top += title ? TITLE : 0;
    const name = svg("text", { class: "title", x: -left, y: -10 }, title);
    const plot = svg("svg", { width: inner, height }, body);
    const panel = svg("g", { transform: `translate(0 ${top})` }, name, axis, plot);
    top += height && height + GAP;
    return panel;
  });
  const height = top - GAP;
  const cursor = svg("svg", { id: "cursor", width: inner, height });
  const content = [background(scene, marks, height), panels, timeAxis(scene, marks, top + 4), cursor];
  const chart = svg("svg", { viewBox: `0 0 ${width} ${top + 10}`, class: "plot" }, hatch(),
    svg("g", { transform: `translate(${left} 0)` }, content));
  chart.querySelector(".mark")?.setAttribute("tabindex", 0);
  return chart;
}

function hatch() {
  const size = { width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" };
  return svg("defs", {}, svg("pattern", { id: "hatch", ...size }, svg("path", { d: "M0 0V6" })));
}

function isDrawable() {
  return everything !== null && chosen.segment !== undefined && hasBins(chosen.segment.series);
}

function drawChart() {
  const name = [chosen.monitor?.name ?? "No monitor", chosen.segment && segmentName(chosen.segment.segment)];
  fill(byId("chart-heading"), said(name.filter(isKnown).join(": ")));
  fill(byId("about"), chosen.monitor ? [lossName(chosen.monitor), "; checks: ", said(chosen.setting?.checks?.[chosen.monitor.name] ?? chosen.monitor.checks)] : null);
  byId("reset").disabled = state.view === null;
  byId("hint").hidden = !isDrawable();
  fill(byId("legend"), isDrawable() ? legend() : null);
  fill(byId("chart"), isDrawable() ? chartOf(sceneOf()) : h("p", { class: "quiet" }, "No outcomes to draw."));
  drawCursor();
}

/* ---------- Legend and readout ---------- */

function swatch(...shapes) {
  return svg("svg", { class: "swatch", width: 22, height: 14, viewBox: "-11 -7 22 14", "aria-hidden": "true" }, shapes);
}

function stroke(name) {
  return svg("path", { class: name, d: "M-10 0H10" });
}

function block(name) {
  return svg("rect", { class: name, x: -10, y: -5, width: 20, height: 10 });
}

function sign(name) {
  return svg("path", { class: `sign ${name}`, d: SHAPES[name] });
}

function legend() {
  const spans = spansOf();
  const shown = new Set(alertsOfSegment().map(markClass));
  const items = [
    [`each ${duration(chosen.segment.series.width_ms / SECOND)}`, stroke("rate")],
    ["its interval", block("band")],
    !hasOwnWindow() && chosen.segment.series.window.some(isKnown) && ["moving window", stroke("window")],
    expectedOf(sceneOf()) && ["expected from scores", stroke("expected")],
    threshold() && ["threshold", stroke("limit")],
    spans.some(({ isNormal }) => isNormal) && ["normal", block("normal")],
    spans.some(({ isNormal }) => !isNormal) && ["known incident", block("truth")],
    shown.has("raised") && ["from estimated onset", block("onset")],
    shown.has("raised") && ["alarm until resolved", block("episode")],
    ...Object.keys(SHAPES).map((name) => shown.has(name) && [name === "notice" ? "got better" : name, sign(name)]),
  ];
  return items.filter(Boolean).map(([text, ...shapes]) => h("li", {}, swatch(shapes), text));
}

function interval(low, high, own) {
  return isKnown(low) && isKnown(high) ? ` (${level(low, own)} to ${level(high, own)})` : "";
}

/* What a bin says, and without one all that is in view. */
function readings({ series, bins, from, to }, bin) {
  const read = bin === null ? bins : [bin];
  const outcomes = total(read, (each) => series.outcomes[each]);
  const labelled = total(read, (each) => series.labelled[each]);
  const own = chosen.monitor;
  const at = (values) => (bin === null ? null : values[bin]);
  const [median, late] = [at(series.delay_median_s), at(series.delay_p90_s)];
  return [
    bin === null ? ["in view", range(from, to)] : ["time", range(startOf(series, bin), startOf(series, bin + 1))],
    [lossName(own), `${level(meanOf(series, read), own)}${interval(at(series.low), at(series.high), own)}`],
    ["moving window", hasOwnWindow() ? NONE : level(at(series.window), own)],
    ["labelled", `${number(labelled)} of ${number(outcomes)} (${percent(coverage({ outcomes, labelled }))})`],
    ["delay of labels", isKnown(median) ? `${duration(median)}; 90% within ${duration(late)}` : NONE],
  ];
}

function cursorBin({ series, bins }) {
  if (state.cursor === null) return null;
  const bin = Math.floor((state.cursor - series.start_ms) / series.width_ms);
  return bins.includes(bin) ? bin : null;
}

function inOrder(one, other) {
  return [Math.min(one, other), Math.max(one, other)];
}

/* By itself, because it follows the pointer. */
function drawCursor() {
  if (!isDrawable()) {
    fill(byId("readout"));
    return;
  }
  const scene = sceneOf();
  const { series } = scene;
  const bin = cursorBin(scene);
  const box = ([from, to], name) => stretch(scene, from, to, { class: name, height: "100%" });
  fill(
    byId("cursor"),
    state.dragFrom === null ? null : box(inOrder(state.dragFrom, state.cursor), "drag"),
    bin === null ? null : box([startOf(series, bin), startOf(series, bin + 1)], "cursor"),
  );
  fill(byId("readout"), readings(scene, bin).map(([term, text]) => h("div", {}, h("dt", {}, term), h("dd", {}, text))));
}

/* ---------- Zooming ---------- */

function zoom(from, to) {
  const [first, last] = everything;
  const least = Math.min(last - first, 2 * chosen.segment.series.width_ms);
  const width = Math.max(to - from, least);
  const start = Math.max(first, Math.min((from + to - width) / 2, last - width));
  const end = Math.min(last, start + width);
  choose({ view: start <= first && end >= last ? null : [start, end] });
}

function zoomBy(factor) {
  const [from, to] = state.view ?? everything;
  const middle = state.cursor ?? (from + to) / 2;
  zoom(middle - (middle - from) * factor, middle + (to - middle) * factor);
}

function timeAt(event) {
  const { left, inner, from, to } = sceneOf();
  const share = (event.clientX - byId("chart").getBoundingClientRect().left - left) / inner;
  return from + Math.max(0, Math.min(1, share)) * (to - from);
}

function moveCursor(ms) {
  state.cursor = ms;
  drawCursor();
}

function moveByBins(bins) {
  const [from, to] = state.view ?? everything;
  const { width_ms: width } = chosen.segment.series;
  const next = (state.cursor ?? (from + to) / 2) + bins * width;
  moveCursor(Math.max(from, Math.min(next, to - 1)));
}

const CHART_KEYS = {
  ArrowLeft: (event) => moveByBins(event.shiftKey ? -10 : -1),
  ArrowRight: (event) => moveByBins(event.shiftKey ? 10 : 1),
  Home: () => moveByBins(-Infinity),
  End: () => moveByBins(Infinity),
  "+": () => zoomBy(0.5),
  "=": () => zoomBy(0.5),
  "-": () => zoomBy(2),
  Escape: () => choose({ view: null, cursor: null, dragFrom: null }),
};

function onChartKey(event) {
  const own = event.target.closest(".mark");
  const keys = own ? MARK_KEYS : CHART_KEYS;
  const act = event.ctrlKey || event.metaKey || event.altKey ? undefined : keys[event.key];
  if (!act || !isDrawable()) return;
  event.preventDefault();
  act(event, own);
}

function moveFocus(own, by) {
  const marks = [...byId("chart").querySelectorAll(".mark")];
  marks[(marks.indexOf(own) + by + marks.length) % marks.length].focus();
}

const MARK_KEYS = {
  ArrowLeft: (_, own) => moveFocus(own, -1),
  ArrowRight: (_, own) => moveFocus(own, 1),
  Enter: (_, own) => openAlert(Number(own.dataset.alert)),
  " ": (_, own) => openAlert(Number(own.dataset.alert)),
  Escape: () => byId("chart").focus(),
};

function onPointerDown(event) {
  if (event.button !== 0 || event.target.closest(".mark") || !isDrawable()) return;
  // Otherwise the end of a drag outside the chart would be missed.
  byId("chart").setPointerCapture(event.pointerId);
  state.dragFrom = state.cursor = timeAt(event);
}

function onPointerMove(event) {
  if (isDrawable()) moveCursor(timeAt(event));
}

function onPointerUp(event) {
  if (state.dragFrom === null) return;
  const [from, to] = inOrder(state.dragFrom, timeAt(event));
  const { x } = sceneOf();
  state.dragFrom = null;
  if (x(to) - x(from) > 5) zoom(from, to);
  else drawCursor();
}

function onPointerLeave() {
  state.dragFrom = null;
  moveCursor(null);
}

/* ---------- Sparklines ---------- */

const SPARKS = 48;

function sparkline(series) {
  const bins = [...series.rate.keys()];
  const size = Math.ceil(bins.length / SPARKS);
  const means = bins.filter((bin) => bin % size === 0).map((bin) => meanOf(series, bins.slice(bin, bin + size)));
  const high = Math.max(...means) || 1;
  const scene = { series: { start_ms: 0, width_ms: 2 }, bins: [...means.keys()], x: (place) => place };
  const course = line(scene, means, (mean) => 22 - (mean / high) * 20, "rate");
  return svg("svg", { class: "spark", width: 2 * SPARKS, height: 24, "aria-hidden": "true" }, course);
}

/* ---------- Alerts ---------- */

const VERBS = { raised: "Alarm", updated: "Goes on", resolved: "Resolved", notice: "Improvement" };
const QUANTITIES = {
  mismatch_drift: "The mismatch rate",
  loss_drift: "The mean loss",
  label_starvation: "The share of predictions without a label",
};
const FINDINGS = {
  no_data: "There were no more outcomes",
  type_disagreement: "Predictions and labels cannot be compared",
  segments_full: "There are more segments than may be watched",
  data_drift: "Predictions do not carry what training did",
  preprocessing: "Predictions are not prepared as training was",
};

function monitorOf(alert) {
  return report.monitors.find(({ name }) => name === alert.monitor);
}

/* Levels of label_starvation are shares, whatever the loss. */
function levelOf(value, alert) {
  return alert.kind === "label_starvation" ? percent(value) : level(value, monitorOf(alert));
}

function change(alert) {
  if (alert.status === "resolved") return `after ${duration(alert.duration_s)}`;
  if (isOfData(alert)) return movedInShort(alert);
  return [alert.before, alert.after].filter(isKnown).map(({ rate }) => levelOf(rate, alert)).join(" → ");
}

function inShort(alert) {
  const when = `${VERBS[markClass(alert)]} ${stamp(alert.at, 0, 19)} UTC`;
  return [when, checkName(alert.check), change(alert)].filter(Boolean).join(", ");
}

function spoken(known, alert) {
  const [low, high] = known.interval ?? [];
  const interval = isKnown(low) ? `95% interval ${levelOf(low, alert)} to ${levelOf(high, alert)}, ` : "";
  return `${levelOf(known.rate, alert)} (${interval}${counted(known.count, "outcome")})`;
}

function movementWords(alert) {
  const { before, after, kind, direction } = alert;
  const since = isKnown(alert.onset) ? `, since about ${moment(alert.onset)}` : "";
  if (!QUANTITIES[kind]) return `${FINDINGS[kind] ?? kind}${isOfData(alert) ? since : ""}`;
  const verb = { worse: "rose", better: "fell" }[direction] ?? "changed";
  const levels = [before && `from ${spoken(before, alert)}`, after && `to ${spoken(after, alert)}`].filter(Boolean);
  return `${QUANTITIES[kind]} ${[verb, ...levels].join(" ")}${since}`;
}

function resolvedWords(alert) {
  const usual = isOfData(alert) ? "what has moved is taken for usual" : "the new level is taken for usual";
  const how = alert.resolution === "accepted" ? usual : "it recovered";
  const now = alert.after ? `, and is at ${spoken(alert.after, alert)}` : "";
  return `Over after ${duration(alert.duration_s)}: ${how}${now}`;
}

function words(alert) {
  if (alert.status === "resolved") return `${resolvedWords(alert)}.`;
  const again = alert.status === "updated" ? "It goes on. " : "";
  return `${again}${movementWords(alert)}.`;
}

/* All that an alert says, field by field; the report's own are left out. */
function fields(alert) {
  const shown = Object.entries(report.alerts[alert.place]).filter(([name]) => name !== "setting");
  return shown.map(([name, value]) => {
    const isPlain = value === null || typeof value !== "object";
    const text = said(inJson(value ?? NONE));
    return [h("dt", {}, said(name)), h("dd", {}, isPlain ? text : h("code", {}, text))];
  });
}

async function copy(text, button, code) {
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    // Where a page may not write to the clipboard, people can.
    getSelection().selectAllChildren(code);
    button.textContent = "Selected";
  }
}

function command(alert) {
  // To be run in the report's directory.
  const text = `streamguard explain ${alert.id} .`;
  const code = h("code", {}, said(text));
  const button = h("button", { type: "button", onclick: () => copy(text, button, code) }, "Copy");
  return h("p", { class: "command" }, code, button);
}

/* A button that leads to an alert's episode, where its segment is in the report. */
function showInChart(alert) {
  const place = report.monitors.findIndex(({ name }) => name === alert.monitor);
  const segments = report.monitors[place]?.segments ?? [];
  const found = segments.findIndex((each) => segmentKey(each.segment) === alert.key);
  if (found < 0 || everything === null) return null;
  const show = () => {
    Object.assign(state, { monitor: place, segment: found });
    const { onset, end } = episodesOf(alertsOfSegment()).find(({ alerts }) => alerts.includes(alert));
    const margin = Math.max(10 * segments[found].series.width_ms, 0.4 * (end - onset));
    zoom(onset - margin, end + margin);
    scrollTo(byId("chart-heading"));
  };
  return h("button", { type: "button", "data-key": `show ${alert.place}`, onclick: show }, "Show in the chart");
}

function lookFirst({ look_first: texts }) {
  const items = (texts ?? []).map((text) => h("li", {}, said(text)));
  return items.length ? [h("p", {}, "Look first at:"), h("ul", {}, items)] : null;
}

function detail(alert) {
  return h("div", { class: "detail" },
    h("p", {}, said(words(alert))), isOfData(alert) ? carriedDetail(alert) : lookFirst(alert), estimated(alert),
    relatedTo(alert), command(alert), showInChart(alert),
    h("dl", { class: "fields" }, fields(alert)));
}

function summary(alert) {
  const name = markClass(alert);
  const where = [alert.monitor, segmentName(alert.segment)].join(", ");
  return h("summary", { "data-key": `alert ${alert.place}` },
    swatch(sign(name)),
    h("span", { class: "when" }, `${stamp(alert.at)} UTC`),
    h("strong", {}, VERBS[name]),
    h("span", { class: "change" }, change(alert)),
    h("span", { class: "where" }, said(where), ", ", said(checkName(alert.check))));
}

/* The detail is made when it is opened first: there may be hundreds. */
function item(alert) {
  const isOpen = state.opened.has(alert.place);
  const content = [summary(alert), isOpen ? detail(alert) : null];
  const element = h("details", { open: isOpen, "data-place": alert.place }, content);
  element.addEventListener("toggle", () => {
    if (!element.open) state.opened.delete(alert.place);
    else state.opened.add(alert.place);
    if (element.open && !element.querySelector(".detail")) element.append(detail(alert));
  });
  return element;
}

function drawAlerts() {
  const all = alertsOfSetting();
  const shown = state.everywhere ? all : alertsOfSegment();
  const others = all.length - shown.length;
  const about = [
    `${chosen.setting?.name ?? "No setting"}: ${counted(shown.length, "alert")}`,
    state.everywhere ? "." : ` of this segment, ${number(others)} of others.`,
    report.alerts_left_out ? ` ${counted(report.alerts_left_out, "further alert")} left out of this report.` : "",
  ];
  fill(byId("alerts-about"), said(about.join("")));
  const showMore = () => choose({ limit: state.limit + 100 });
  const more = h("button", { type: "button", "data-key": "more", onclick: showMore }, "100 more");
  fill(byId("alerts"), shown.slice(0, state.limit).map(item), shown.length > state.limit ? more : null);
}

function openAlert(place) {
  state.opened.add(place);
  const at = alertsOfSegment().findIndex((alert) => alert.place === place);
  choose({ limit: Math.max(state.limit, at + 1) });
  const element = byId("alerts").querySelector(`[data-place="${place}"]`);
  element.querySelector("summary").focus({ preventScroll: true });
  scrollTo(element);
}

function scrollTo(element) {
  const isCalm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  element.scrollIntoView({ block: "start", behavior: isCalm ? "auto" : "smooth" });
}

/* ---------- Controls ---------- */

const MANY = 8;

function choose(changes) {
  Object.assign(state, changes);
  draw();
}

function chooseMonitor(place) {
  byId("find").value = "";
  Object.assign(state, { monitor: place, find: "", cursor: null, carried: null });
  choose({ segment: mostMoved() });
}

/* The chosen segment is an option even where it is not among those that are looked for. */
function drawSegmentSelect(shown) {
  const alarms = alarmCounts();
  const isShown = shown.some(({ place }) => place === state.segment);
  const own = chosen.segment && !isShown ? [{ ...chosen.segment, place: state.segment }] : [];
  const options = [...own, ...shown].map((each) => {
    const count = alarms(each);
    return [each.place, `${segmentName(each.segment)}${count ? ` (${counted(count, "alarm")})` : ""}`];
  });
  fillSelect(byId("segment"), options, state.segment);
}

function drawControls(columns, shown) {
  const orders = columns.filter(({ value }) => value).map(({ key, title }) => [key, title]);
  fillSelect(byId("monitor"), report.monitors.map(({ name }, place) => [place, name]), state.monitor);
  fillSelect(byId("setting"), report.settings.map(({ name }, place) => [place, name]), state.setting);
  fillSelect(byId("order"), orders, state.segmentOrder.key);
  drawSegmentSelect(shown);
  for (const control of document.querySelectorAll(".many")) control.hidden = !(chosen.monitor?.segments.length > MANY);
}

function draw() {
  const columns = segmentColumns();
  const shown = segmentsShown(columns);
  drawHead();
  drawControls(columns, shown);
  drawChart();
  drawAlerts();
  drawCarried();
  drawSettings();
  drawSegments(columns, shown);
  drawClasses();
}

function chosenPlace(event) {
  return Number(event.target.value);
}

function listen() {
  byId("monitor").addEventListener("change", (event) => chooseMonitor(chosenPlace(event)));
  byId("segment").addEventListener("change", (event) => choose({ segment: chosenPlace(event), carried: null }));
  byId("setting").addEventListener("change", (event) => choose({ setting: chosenPlace(event) }));
  byId("carried-segment").addEventListener("change", (event) => choose({ carried: chosenPlace(event) }));
  byId("find").addEventListener("input", (event) => choose({ find: event.target.value }));
  byId("order").addEventListener("change", ({ target }) =>
    choose({ segmentOrder: { key: target.value, isUp: target.value === "name" } }));
  byId("everywhere").addEventListener("change", (event) => choose({ everywhere: event.target.checked }));
  byId("reset").addEventListener("click", () => choose({ view: null }));
  const chart = byId("chart");
  chart.addEventListener("pointerdown", onPointerDown);
  chart.addEventListener("pointermove", onPointerMove);
  chart.addEventListener("pointerup", onPointerUp);
  chart.addEventListener("pointercancel", onPointerLeave);
  chart.addEventListener("pointerleave", onPointerLeave);
  chart.addEventListener("keydown", onChartKey);
  chart.addEventListener("click", (event) => {
    const own = event.target.closest(".mark");
    if (own) openAlert(Number(own.dataset.alert));
  });
}

/* Draws the chart anew where it has another width. */
function watchWidth() {
  let width = byId("chart").clientWidth;
  new ResizeObserver(([{ target }]) => {
    if (target.clientWidth === width) return;
    width = target.clientWidth;
    // Not at once: the chart's height may change the width again.
    requestAnimationFrame(drawChart);
  }).observe(byId("chart"));
}

/* At the monitor of the first alarm, and there at what moved most. */
function begin() {
  const first = alertsOfSetting().find(isAlarm);
  state.monitor = Math.max(0, report.monitors.findIndex(({ name }) => name === first?.monitor));
  state.segment = mostMoved();
}

begin();
drawOnce();
draw();
listen();
watchWidth();
