// The front in two figures.

const MARGIN = { left: 66, right: 18, top: 26, bottom: 46 };
const kind = (trial) => (trial.front ? "front" : trial.feasible ? "feasible" : "outside");
const known = (trial, names) => names.every((name) => trial[name] !== null && trial[name] !== undefined);
const limitOf = (name) => data.limits[name];
const tinted = (name) => {
  const live = charted.filter((trial) => trial.feasible);
  return scale(
    (live.length ? live : charted).map((trial) => trial[name]),
    0,
    1,
  );
};
const better = (name) => (goalOf.get(name).larger_is_better ? "larger is better" : "smaller is better");

function mark(x, y, trial, colour) {
  const chosen = trial.arch === data.chosen,
    title = svg("title", {}, `${trial.arch}${chosen ? ", chosen" : ""}`);
  const style = {
    front: { r: 6, fill: colour, stroke: "var(--ink)", "stroke-width": 1.4 },
    feasible: { r: 3.6, fill: colour, "fill-opacity": 0.55 },
  }[kind(trial)];
  if (!style) {
    return svg(
      "path",
      {
        d: `M${x - 3},${y - 3}l6,6m0,-6l-6,6`,
        stroke: "var(--soft)",
        "stroke-opacity": 0.6,
        fill: "none",
        "data-arch": trial.arch,
      },
      title,
    );
  }
  return svg("circle", { cx: x, cy: y, ...style, "data-arch": trial.arch }, title);
}
function ring(x, y, text, width) {
  const left = x > width - 130;
  return svg(
    "g",
    {},
    svg("circle", { cx: x, cy: y, r: 11, fill: "none", stroke: "var(--accent)", "stroke-width": 3 }),
    label(left ? x - 16 : x + 16, y - 9, text, {
      class: "strong halo",
      "text-anchor": left ? "end" : "start",
    }),
  );
}
const layered = (trials) => {
  const rank = { outside: 0, feasible: 1, front: 2 };
  return [...trials].sort((a, b) => rank[kind(a)] - rank[kind(b)]);
};

function scatter(width) {
  const [across, up, tint] = state.axes,
    height = Math.min(400, Math.max(290, width * 0.7));
  const trials = layered(charted.filter((trial) => known(trial, [across, up])));
  const x = scale(
    trials.map((trial) => trial[across]),
    MARGIN.left,
    width - MARGIN.right,
    limitOf(across),
  );
  const y = scale(
    trials.map((trial) => trial[up]),
    height - MARGIN.bottom,
    MARGIN.top,
    limitOf(up),
  );
  const colour = tinted(tint);
  const places = trials.map((trial) => [x(trial[across]), y(trial[up]), trial.arch]);
  const tone = (trial) => (trial[tint] === null ? "var(--soft)" : mixed(colour.share(trial[tint])));
  const chosen = places.find(([, , arch]) => arch === state.arch);
  const drawing = canvas(
    width,
    height,
    axisX(x, across, height, width),
    axisY(y, up, width, height),
    budget(x, y, across, up, width, height),
    stairs(trials, x, y, across, up),
    trials.map((trial, at) => mark(places[at][0], places[at][1], trial, tone(trial))),
    chosen ? ring(chosen[0], chosen[1], state.arch, width) : null,
  );
  drawing.addEventListener("click", (event) => pick(event, drawing, places, 30));
  const bare = data.trials.filter((trial) => !known(trial, [across, up])).length;
  const far = data.trials.length - trials.length - bare;
  fill(
    "scatter-text",
    key(tint, colour),
    ` Ringed dark: front. Pale: inside the budget. ×: outside it. ` +
      `Line: best of ${titled(up).toLowerCase()} for each ${titled(across).toLowerCase()}.` +
      (bare ? ` Not drawn, without these figures (silent, failed or not fitting): ${bare}.` : "") +
      (far ? ` Not drawn, more than ${FAR} times the budget: ${far}.` : ""),
  );
  return drawing;
}
function key(name, colour) {
  const unit = goalOf.get(name).unit,
    ramp = `linear-gradient(90deg in oklab, var(--low), var(--high))`;
  return html(
    "span",
    {},
    `Colour: ${titled(name).toLowerCase()} ${brief(colour.low, unit)} `,
    html("i", {
      style: `display:inline-block;width:4.5rem;height:.65rem;border-radius:3px;background:${ramp}`,
    }),
    ` ${brief(colour.high, unit)}.`,
  );
}
function gridX(x, count, bottom, text) {
  return x
    .ticks(count)
    .map((tick) => [
      svg("line", { x1: x(tick), x2: x(tick), y1: MARGIN.top, y2: bottom, stroke: "var(--grid)" }),
      label(x(tick), bottom + 17, text(tick), { "text-anchor": "middle" }),
    ]);
}
function gridY(y, width, text) {
  return y
    .ticks(5)
    .map((tick) => [
      svg("line", { x1: MARGIN.left, x2: width - MARGIN.right, y1: y(tick), y2: y(tick), stroke: "var(--grid)" }),
      label(MARGIN.left - 8, y(tick) + 4, text(tick), { "text-anchor": "end" }),
    ]);
}
function axisX(x, name, height, width) {
  const unit = goalOf.get(name).unit,
    bottom = height - MARGIN.bottom;
  return [
    gridX(x, width < 420 ? 4 : 6, bottom, (tick) => brief(tick, unit)),
    label((MARGIN.left + width - MARGIN.right) / 2, height - 8, `${titled(name)} (${better(name)})`, {
      class: "title",
      "text-anchor": "middle",
    }),
  ];
}
function axisY(y, name, width, height) {
  const unit = goalOf.get(name).unit;
  return [
    gridY(y, width, (tick) => brief(tick, unit)),
    label(6, 14, `${titled(name)} (${better(name)})`, { class: "title" }),
  ];
}
function budget(x, y, across, up, width, height) {
  const found = [],
    right = width - MARGIN.right,
    bottom = height - MARGIN.bottom;
  const line = (attributes) =>
    svg("line", { stroke: "var(--over)", "stroke-width": 1.5, "stroke-dasharray": "6 4", ...attributes });
  const at = limitOf(across),
    above = limitOf(up);
  if (x.holds(at)) {
    found.push(
      svg("rect", {
        x: x(at),
        y: MARGIN.top,
        width: right - x(at),
        height: bottom - MARGIN.top,
        fill: "var(--over-fill)",
      }),
      line({ x1: x(at), x2: x(at), y1: MARGIN.top, y2: bottom }),
      label(x(at) - 5, bottom - 7, `budget ${brief(at, goalOf.get(across).unit)}`, {
        class: "budget halo",
        "text-anchor": "end",
      }),
    );
  }
  if (y.holds(above)) {
    found.push(
      svg("rect", {
        x: MARGIN.left,
        y: MARGIN.top,
        width: right - MARGIN.left,
        height: y(above) - MARGIN.top,
        fill: "var(--over-fill)",
      }),
      line({ x1: MARGIN.left, x2: right, y1: y(above), y2: y(above) }),
      label(MARGIN.left + 6, y(above) + 15, `budget ${brief(above, goalOf.get(up).unit)}`, {
        class: "budget halo",
      }),
    );
  }
  return found;
}
// The two-figure front among the feasible networks.
function stairs(trials, x, y, across, up) {
  const sign = (name) => (goalOf.get(name).larger_is_better ? -1 : 1);
  const live = trials
    .filter((trial) => trial.feasible)
    .sort((a, b) => sign(across) * (a[across] - b[across]) || sign(up) * (a[up] - b[up]));
  const path = [];
  let best = Infinity;
  for (const trial of live) {
    if (sign(up) * trial[up] >= best) continue;
    if (path.length) path.push(`H${x(trial[across])}`);
    path.push(path.length ? `V${y(trial[up])}` : `M${x(trial[across])},${y(trial[up])}`);
    best = sign(up) * trial[up];
  }
  return svg("path", {
    d: path.join(""),
    fill: "none",
    stroke: "var(--soft)",
    "stroke-opacity": 0.55,
    "stroke-width": 1.5,
  });
}
