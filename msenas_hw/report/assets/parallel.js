// Every network as a line across all figures.

function parallel(width) {
  const height = 345,
    top = 52,
    bottom = height - 38,
    gap = (width - 130) / Math.max(1, AXES.length - 1);
  const trials = charted.filter((trial) => known(trial, AXES));
  const columns = AXES.map((name, at) => {
    const larger = goalOf.get(name).larger_is_better,
      values = trials.map((trial) => trial[name]);
    return {
      name,
      x: 65 + at * gap,
      y: scale(values, larger ? bottom : top, larger ? top : bottom, limitOf(name)),
    };
  });
  const path = (trial) =>
    columns
      .map(({ name, x, y }, at) => `${at ? "L" : "M"}${x.toFixed(1)},${y(trial[name]).toFixed(1)}`)
      .join("");
  const colour = tinted(state.axes[2]);
  const line = (trial) =>
    svg("path", {
      d: path(trial),
      fill: "none",
      "data-arch": trial.arch,
      ...(trial.front
        ? { stroke: mixed(colour.share(trial[state.axes[2]])), "stroke-width": 2 }
        : { stroke: "var(--soft)", "stroke-opacity": trial.feasible ? 0.3 : 0.12 }),
    });
  const chosen = trials.find((trial) => trial.arch === state.arch);
  const drawing = canvas(
    width,
    height,
    layered(trials).slice(-400).map(line),
    columns.map((column, at) => upright(column, at, gap, top, bottom)),
    chosen
      ? [
          svg("path", { d: path(chosen), fill: "none", stroke: "var(--accent)", "stroke-width": 3.5 }),
          columns.map(({ name, x, y }) =>
            label(x + 6, y(chosen[name]) - 6, figure(chosen, name), { class: "strong halo" }),
          ),
        ]
      : null,
  );
  const places = frontOf
    .filter((trial) => known(trial, AXES))
    .flatMap((trial) =>
      columns.flatMap(({ name, x, y }, at) => {
        const next = columns[at + 1],
          here = [x, y(trial[name]), trial.arch];
        if (!next) return [here];
        return [0, 0.25, 0.5, 0.75].map((t) => [
          x + t * gap,
          here[1] + t * (next.y(trial[next.name]) - here[1]),
          trial.arch,
        ]);
      }),
    );
  drawing.addEventListener("click", (event) => pick(event, drawing, places, 30));
  return drawing;
}
function upright({ name, x, y }, at, gap, top, bottom) {
  const goal = goalOf.get(name),
    limit = limitOf(name),
    objective = data.objectives.includes(name);
  const words = goal.label.replace(" a sample", "").split(" "),
    upper = goal.larger_is_better ? y.high : y.low;
  const found = [
    svg("line", {
      x1: x,
      x2: x,
      y1: top,
      y2: bottom,
      stroke: "var(--soft)",
      "stroke-width": objective ? 2 : 1,
    }),
    words.map((word, row) =>
      label(x, 14 + row * 14, word, { class: objective ? "strong" : "", "text-anchor": "middle" }),
    ),
    label(x, top - 6 + (words.length > 2 ? 6 : 0), brief(upper, goal.unit), { "text-anchor": "middle" }),
    label(x, bottom + 16, brief(goal.larger_is_better ? y.low : y.high, goal.unit), {
      "text-anchor": "middle",
    }),
  ];
  if (limit !== undefined && !y.holds(limit)) {
    found.push(
      label(x, bottom + 31, `budget ${brief(limit, goal.unit)}`, {
        class: "budget",
        "text-anchor": "middle",
      }),
    );
  } else if (limit !== undefined) {
    const place = y(limit);
    found.push(
      svg("line", {
        x1: x,
        x2: x,
        y1: place,
        y2: bottom,
        stroke: "var(--over)",
        "stroke-width": 5,
        "stroke-opacity": 0.55,
      }),
      svg(
        "line",
        { x1: x - 9, x2: x + 9, y1: place, y2: place, stroke: "var(--over)", "stroke-width": 2.5 },
        svg("title", {}, `budget ${brief(limit, goal.unit)}`),
      ),
    );
  }
  return found;
}
