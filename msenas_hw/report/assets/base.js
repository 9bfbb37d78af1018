const data = JSON.parse(document.getElementById("data").textContent);
const byArch = new Map(data.trials.map((trial) => [trial.arch, trial]));
// Networks far outside the budget would squeeze all others together; the charts leave them out.
const FAR = 2.5;
const close = data.trials.filter(
  (trial) =>
    trial.feasible ||
    Object.entries(data.limits).every(([name, limit]) => trial[name] !== null && trial[name] <= FAR * limit),
);
const charted = close.length ? close : data.trials;
const frontOf = data.front.map((arch) => byArch.get(arch));
// Figures that at least one network has.
const AXES = data.figures
  .map((goal) => goal.name)
  .filter((name) => !data.trials.length || data.trials.some((trial) => trial[name] !== null));
const goalOf = new Map(data.figures.map((goal) => [goal.name, goal]));
const byId = (name) => document.getElementById(name);

// Elements

function node(space, name, attributes, children) {
  const made = space
    ? document.createElementNS("http://www.w3.org/2000/svg", name)
    : document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...[children ?? []].flat(Infinity).filter((child) => child !== null && child !== undefined));
  return made;
}
const html = (name, attributes, ...children) => node(false, name, attributes, children);
const svg = (name, attributes, ...children) => node(true, name, attributes, children);
const fill = (id, ...children) => byId(id).replaceChildren(...children.flat(Infinity).filter(Boolean));

// Numbers

const PREFIXES = [
  [1e9, "G"],
  [1e6, "M"],
  [1e3, "k"],
  [1, ""],
  [1e-3, "m"],
  [1e-6, "µ"],
  [1e-9, "n"],
  [1e-12, "p"],
];

function digits(value, most) {
  return Number(value.toPrecision(most)).toLocaleString("en", { maximumSignificantDigits: most });
}
function scaled(value, unit, most) {
  if (value === 0) return unit ? `0 ${unit}` : "0";
  const [size, prefix] = PREFIXES.find(([size]) => Math.abs(value) >= size * 0.9999999) || PREFIXES.at(-1);
  return `${digits(value / size, most)}${unit ? "\u00a0" + prefix + unit : prefix}`;
}
function shown(value, unit) {
  if (value === null || value === undefined) return "–";
  if (unit) return scaled(value, unit, 4);
  if (Number.isInteger(value)) return value.toLocaleString("en");
  return Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en") : digits(value, 4);
}
// Constants of a device span many orders of magnitude.
const constant = (value, unit) => {
  if (typeof value !== "number") return JSON.stringify(value).slice(0, 48);
  if (["J", "s", "W", "V"].includes(unit)) return scaled(value, unit, 4);
  return value !== 0 && Math.abs(value) < 1e-3 ? value.toExponential(2) : digits(value, 5);
};
const brief = (value, unit) => (Math.abs(value) >= 1e4 || unit ? scaled(value, unit, 3) : digits(value, 4));
const percent = (share) => `${digits(100 * share, 3)} %`;
const figure = (trial, name) => shown(trial[name], goalOf.get(name).unit);
const titled = (name) => goalOf.get(name).label;

// Scales

function ticks(low, high, count) {
  if (!(high > low)) return [low];
  const raw = (high - low) / count,
    power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((one) => one * power).find((one) => one >= raw);
  const found = [];
  for (let at = Math.ceil(low / step - 1e-9) * step; at <= high + step * 1e-9; at += step)
    found.push(Math.abs(at) < step * 1e-9 ? 0 : at);
  return found;
}
function scale(values, from, to, limit) {
  const known = values.filter((value) => value !== null && Number.isFinite(value));
  const low = known.reduce((a, b) => Math.min(a, b), known[0] ?? 0);
  let high = known.reduce((a, b) => Math.max(a, b), known[0] ?? 1);
  // A budget far beyond every figure would squeeze them together; it is then named and not drawn.
  if (limit !== undefined && limit >= low && limit <= high + 1.5 * (high - low || Math.abs(high)))
    high = Math.max(high, limit);
  const log = low > 0 && high / low > 30,
    turn = log ? Math.log10 : (value) => value;
  let a = turn(low),
    b = turn(high);
  const span = b - a || Math.abs(b) || 1;
  a -= span * 0.05;
  b += span * 0.05;
  if (!log && low >= 0) a = Math.max(a, 0);
  const at = (value) => from + ((turn(value) - a) / (b - a)) * (to - from);
  at.holds = (value) => value !== undefined && turn(value) >= a && turn(value) <= b;
  at.share = (value) => (turn(value) - a) / (b - a);
  at.low = log ? 10 ** a : a;
  at.high = log ? 10 ** b : b;
  at.ticks = (count) => (log ? decades(a, b, count) : ticks(a, b, count));
  return at;
}
function decades(a, b, count) {
  const found = [];
  for (let power = Math.floor(a); power <= Math.ceil(b); power += 1)
    for (const step of b - a > count / 2 ? [1] : [1, 2, 5]) found.push(step * 10 ** power);
  return found.filter((value) => Math.log10(value) >= a && Math.log10(value) <= b);
}
const mixed = (share) =>
  `color-mix(in oklab, var(--high) ${Math.round(100 * Math.max(0, Math.min(1, share)))}%, var(--low))`;

// One selection for the whole page

const listeners = [];
const state = { arch: null, axes: [], turn: [0.72, 0.42], view: null, sort: null };
const onSelect = (listener) => listeners.push(listener);

function select(arch, silent) {
  if (!byArch.has(arch)) return;
  state.arch = arch;
  for (const listener of listeners) listener(byArch.get(arch));
  if (silent) return;
  history.replaceState(null, "", "#" + arch);
  const told = data.objectives.map((name) => `${titled(name)} ${figure(byArch.get(arch), name)}`);
  byId("live").textContent = `Network ${arch} selected. ${told.join(", ")}.`;
}
function step(order, by) {
  if (!order.length) return;
  const at = order.findIndex((trial) => trial.arch === state.arch);
  const next = at < 0 ? (by > 0 ? 0 : order.length - 1) : Math.max(0, Math.min(order.length - 1, at + by));
  select(order[next].arch);
}
const ahead = { ArrowRight: 1, ArrowLeft: -1, ArrowUp: 1, ArrowDown: -1 };
function keyboard(element, order) {
  element.tabIndex = 0;
  element.setAttribute("role", "group");
  element.addEventListener("keydown", (event) => {
    const ordered = order();
    if (event.key in ahead && !event.altKey && !event.ctrlKey && !event.metaKey)
      step(ordered, ahead[event.key]);
    else if (event.key === "Home") step(ordered, -Infinity);
    else if (event.key === "End") step(ordered, Infinity);
    else return;
    event.preventDefault();
  });
}
// The nearest of `places` [[x, y, arch]] to a pointer, in the units of the drawing.
function pick(event, drawing, places, reach) {
  const box = drawing.getBoundingClientRect(),
    [, , width] = drawing.getAttribute("viewBox").split(" ").map(Number);
  const ratio = width / box.width,
    x = (event.clientX - box.left) * ratio,
    y = (event.clientY - box.top) * ratio;
  let best = null,
    least = reach;
  for (const [px, py, arch] of places) {
    const distance = Math.hypot(px - x, py - y);
    if (distance < least) [best, least] = [arch, distance];
  }
  if (best) select(best);
}
const frames = [];
function drawn(id, draw) {
  const element = byId(id);
  const again = () => element.replaceChildren(draw(Math.max(280, Math.round(element.clientWidth))));
  frames.push(again);
  let width = 0;
  new ResizeObserver(() => {
    if (element.clientWidth !== width) {
      width = element.clientWidth;
      again();
    }
  }).observe(element);
  return again;
}
const canvas = (width, height, ...children) =>
  svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true" }, ...children);
const label = (x, y, text, attributes) => svg("text", { x, y, ...attributes }, text);

// Tables

function cell(value, kind, tag) {
  return html(tag || "td", { class: kind || null }, value);
}
function table(caption, columns, rows, attributes) {
  const head = html(
    "tr",
    {},
    columns.map(([text, kind]) => html("th", { scope: "col", class: kind }, text)),
  );
  return html(
    "table",
    {},
    caption ? html("caption", {}, html("span", {}, caption)) : null,
    html("thead", {}, head),
    html(
      "tbody",
      {},
      rows.map((row, at) =>
        html(
          "tr",
          attributes ? attributes(at) : {},
          row.map((value, column) => cell(value, columns[column][1])),
        ),
      ),
    ),
  );
}
const scrolled = (...children) =>
  html(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table, scrolls sideways" },
    ...children,
  );
const meter = (share, text) => [
  text,
  html(
    "span",
    { class: share > 1 ? "meter over" : "meter", "aria-hidden": "true" },
    html("i", { style: `width:${Math.min(100, 100 * share)}%` }),
  ),
];
