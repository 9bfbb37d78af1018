// The front in three figures, turned by hand.

function space(width) {
  const height = Math.min(400, Math.max(290, width * 0.7)),
    names = state.axes,
    size = Math.min(width, height * 1.1) * 0.29;
  const trials = charted.filter((trial) => known(trial, names));
  const scales = names.map((name) =>
    scale(
      trials.map((trial) => trial[name]),
      -1,
      1,
      limitOf(name),
    ),
  );
  const colour = tinted(names[2]),
    [turn, tilt] = state.turn,
    sin = Math.sin,
    cos = Math.cos;
  const project = ([x, y, z]) => {
    const depth = -x * sin(turn) + z * cos(turn);
    return [
      width / 2 + size * (x * cos(turn) + z * sin(turn)),
      height / 2 - size * (y * cos(tilt) - depth * sin(tilt)) * 0.95,
      depth * cos(tilt) + y * sin(tilt),
    ];
  };
  const point = (trial) => [
    scales[0](trial[names[0]]),
    scales[1](trial[names[1]]),
    scales[2](trial[names[2]]),
  ];
  const places = trials.map((trial) => ({
    trial,
    at: project(point(trial)),
    foot: project([point(trial)[0], -1, point(trial)[2]]),
  }));
  places.sort((a, b) => b.at[2] - a.at[2]);
  const chosen = places.find(({ trial }) => trial.arch === state.arch);
  const drawing = canvas(
    width,
    height,
    cube(project),
    planes(scales, names, project),
    places
      .filter(({ trial }) => trial.front)
      .map(({ at, foot }) =>
        svg("line", {
          x1: at[0],
          y1: at[1],
          x2: foot[0],
          y2: foot[1],
          stroke: "var(--soft)",
          "stroke-opacity": 0.5,
        }),
      ),
    places.map(({ trial, at }) => mark(at[0], at[1], trial, mixed(colour.share(trial[names[2]])))),
    captions(scales, names, project, height),
    chosen ? ring(chosen.at[0], chosen.at[1], state.arch, width) : null,
  );
  dragged(
    drawing,
    places.map(({ trial, at }) => [at[0], at[1], trial.arch]),
  );
  return drawing;
}
const corner = (bits) => [0, 1, 2].map((axis) => ((bits >> axis) & 1 ? 1 : -1));
function cube(project) {
  const found = [];
  for (let a = 0; a < 8; a += 1)
    for (const bit of [1, 2, 4]) {
      if (a & bit) continue;
      const [x1, y1] = project(corner(a)),
        [x2, y2] = project(corner(a | bit));
      found.push(svg("line", { x1, y1, x2, y2, stroke: "var(--line)" }));
    }
  return found;
}
// The budget as a plane across the cube.
function planes(scales, names, project) {
  return names.map((name, axis) => {
    const limit = limitOf(name);
    if (!scales[axis].holds(limit)) return null;
    const at = scales[axis](limit);
    const ends = [
      [-1, -1],
      [1, -1],
      [1, 1],
      [-1, 1],
    ].map((pair) => {
      const where = [...pair];
      where.splice(axis, 0, at);
      return project(where).slice(0, 2).join(",");
    });
    return svg(
      "polygon",
      {
        points: ends.join(" "),
        fill: "var(--over-fill)",
        stroke: "var(--over)",
        "stroke-dasharray": "5 4",
        "stroke-opacity": 0.7,
      },
      svg("title", {}, `budget: ${titled(name)} ${brief(limit, goalOf.get(name).unit)}`),
    );
  });
}
function captions(scales, names, project, height) {
  const middles = [
    [0, -1.22, 1.15],
    [-1.25, 0, 1.1],
    [1.15, -1.22, 0],
  ];
  return names.map((name, axis) => {
    const [x, y] = project(middles[axis]),
      unit = goalOf.get(name).unit;
    const range = `${brief(scales[axis].low, unit)} to ${brief(scales[axis].high, unit)}`;
    const anchor =
      axis === 1
        ? { x: 6, y: 14, "text-anchor": "start" }
        : { x, y: Math.min(y + 14, height - 20), "text-anchor": "middle" };
    return [
      label(anchor.x, anchor.y, titled(name).replace(" a sample", ""), {
        class: "title halo",
        "text-anchor": anchor["text-anchor"],
      }),
      label(anchor.x, anchor.y + 14, `${range}${axis === 1 ? ", upright" : ""}`, {
        class: "halo",
        "text-anchor": anchor["text-anchor"],
      }),
    ];
  });
}
function dragged(drawing, places) {
  let from = null,
    moved = false;
  drawing.addEventListener("pointerdown", (event) => {
    from = [event.clientX, event.clientY, ...state.turn];
    moved = false;
  });
  const move = (event) => {
    if (!from) return;
    const [x, y] = [event.clientX - from[0], event.clientY - from[1]];
    if (Math.hypot(x, y) > 4) moved = true;
    if (moved) turned(from[2] + x / 140, from[3] + y / 200);
  };
  // The drawing is replaced while it turns, so the page follows the pointer.
  const end = (event) => {
    removeEventListener("pointermove", move);
    removeEventListener("pointerup", end);
    if (from && !moved) pick(event, drawing, places, 30);
    from = null;
  };
  drawing.addEventListener("pointerdown", () => {
    addEventListener("pointermove", move);
    addEventListener("pointerup", end);
  });
}
let drawSpace = null;
function turned(turn, tilt) {
  state.turn = [turn, Math.max(-0.2, Math.min(1.3, tilt))];
  drawSpace();
}
