// The run as a whole: progress, and rank agreement of the cost models.

// Heights that keep a distance, each as near to its own as the ones above it let it be.
function apart(heights, least) {
  const found = [...heights];
  const order = heights.map((_, at) => at).sort((a, b) => heights[b] - heights[a]);
  order.forEach((at, place) => {
    if (place) found[at] = Math.min(found[at], found[order[place - 1]] - least);
  });
  return found;
}
function volume(width) {
  const all = Object.entries(data.hypervolume),
    height = 270;
  if (!all.length) return canvas(width, 1);
  const evaluations = all.flatMap(([, points]) => points.map(([at]) => at));
  const x = scale([0, ...evaluations], MARGIN.left, width - MARGIN.right),
    y = scale(
      [0, ...all.flatMap(([, points]) => points.map(([, value]) => value))],
      height - MARGIN.bottom,
      MARGIN.top,
    );
  const dashes = ["", "6 4", "2 3", "9 3 2 3"];
  const heights = apart(
    all.map(([, points]) => y(points.at(-1)[1]) - 7),
    14,
  );
  const lines = all.map(([name, points], at) => {
    const path = points
      .map(
        ([n, value], index) =>
          `${index ? "H" : "M"}${x(n).toFixed(1)}${index ? "V" : ","}${y(value).toFixed(1)}`,
      )
      .join("");
    const end = points.at(-1);
    return [
      svg(
        "path",
        {
          d: path,
          fill: "none",
          stroke: hue(at),
          "stroke-width": 2.5,
          "stroke-dasharray": dashes[at % dashes.length],
        },
        svg("title", {}, name),
      ),
      label(Math.min(x(end[0]), width - 20), heights[at], name, {
        class: "strong halo",
        "text-anchor": "end",
      }),
    ];
  });
  const bottom = height - MARGIN.bottom,
    ticked = frontOf.map((trial) =>
      svg("line", {
        x1: x(trial.trial + 1),
        x2: x(trial.trial + 1),
        y1: bottom - 7,
        y2: bottom,
        stroke: trial.arch === state.arch ? "var(--accent)" : "var(--ink)",
        "stroke-width": trial.arch === state.arch ? 3 : 1.5,
      }),
    );
  const chosen = byArch.get(state.arch),
    at = chosen
      ? svg("line", {
          x1: x(chosen.trial + 1),
          x2: x(chosen.trial + 1),
          y1: MARGIN.top,
          y2: bottom,
          stroke: "var(--accent)",
          "stroke-width": 1.5,
        })
      : null;
  const drawing = canvas(
    width,
    height,
    gridX(x, 6, bottom, shown),
    gridY(y, width, (tick) => digits(tick, 2)),
    label((MARGIN.left + width) / 2, height - 8, "Evaluations", { class: "title", "text-anchor": "middle" }),
    label(6, 14, "Hypervolume, share of the box", { class: "title" }),
    at,
    ticked,
    lines,
  );
  drawing.addEventListener("click", (event) =>
    pick(
      event,
      drawing,
      frontOf.map((trial) => [x(trial.trial + 1), bottom - 4, trial.arch]),
      60,
    ),
  );
  return drawing;
}
function progress() {
  const names = Object.keys(data.hypervolume),
    again = drawn("volume", volume);
  byId("volume").setAttribute(
    "aria-label",
    "Hypervolume over evaluations. The arrow keys step through the networks of the front in the order in which they were found.",
  );
  keyboard(byId("volume"), () => [...frontOf].sort((a, b) => a.trial - b.trial));
  byId("volume-text").textContent = names.length
    ? "Share of the box between the best and the worst figures of all networks that the front dominates. Ticks below are where networks of the final front were found." +
      (names.length > 1
        ? " All searches share one box."
        : " No other search lies in the run folder to compare with.")
    : "No network is inside the budget, so there is no hypervolume.";
  fill(
    "generations",
    table(
      "",
      [["Generation"], ["Evaluations so far"], ["On the front"], ["Hypervolume, as the search kept it"]],
      data.generations.map((one) => [one.generation, one.trials, one.front, shown(one.hypervolume)]),
    ),
  );
  onSelect(again);
}

function models() {
  const { networks, models: names, pairs, least, robust } = data.ranking;
  if (!names.length) {
    fill(
      "ranking",
      html("p", { class: "note" }, "Fewer than two networks were run again, so there is nothing to rank."),
    );
    return;
  }
  const tau = new Map(
    pairs.flatMap((pair) => [
      [`${pair.a} ${pair.b}`, pair.kendall_tau],
      [`${pair.b} ${pair.a}`, pair.kendall_tau],
    ]),
  );
  const paint = (value) =>
    value === null
      ? null
      : `background:color-mix(in srgb, ${value < 0 ? "var(--over)" : "var(--good)"} ${Math.round(45 * Math.abs(value))}%, var(--paper))`;
  const rows = names.map((a) =>
    html(
      "tr",
      {},
      html("th", { scope: "row", class: "text" }, a),
      names.map((b) => {
        const value = a === b ? 1 : tau.get(`${a} ${b}`);
        return html(
          "td",
          { class: "tau", style: a === b ? null : paint(value) },
          a === b ? "·" : value === null ? "–" : digits(value, 2),
        );
      }),
    ),
  );
  const energies = html("div", { id: "energies", class: "scroll" });
  fill(
    "ranking",
    html(
      "p",
      {},
      `Kendall's tau over ${networks.length} networks of the front, untrained: 1 is the same order, 0 none, −1 reversed. Whether a network wins hangs on the model where tau is low.`,
    ),
    html(
      "div",
      { class: "scroll" },
      html(
        "table",
        {},
        html(
          "thead",
          {},
          html(
            "tr",
            {},
            html("th", {}),
            names.map((name) => html("th", { scope: "col" }, name)),
          ),
        ),
        html("tbody", {}, rows),
      ),
    ),
    html(
      "p",
      {},
      robust.length
        ? `Least energy under every model: ${robust.join(", ")}.`
        : "No network takes the least energy under every model.",
    ),
    energies,
  );
  onSelect((trial) => fill("energies", modelTable(trial, names, least)));
}
function modelTable(trial, names, least) {
  const found = data.networks[trial.arch]?.views[0]?.energies;
  return table(
    `Energy under every cost model${found ? `, for network ${trial.arch}` : ""}`,
    [["Cost model", "text"], ["This network"], ["Least", "text"]],
    names.map((name) => [
      name,
      found ? shown(found[name], "J") : "–",
      html("button", { type: "button", onclick: () => select(least[name]) }, least[name]),
    ]),
  );
}
