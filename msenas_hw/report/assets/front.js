// The front as a table, and what steers its charts.

function frontTable() {
  const names = AXES,
    rows = [...frontOf];
  if (state.sort) {
    const [name, by] = state.sort;
    rows.sort((a, b) => by * (a[name] - b[name]));
  }
  const head = html(
    "tr",
    {},
    html("th", { scope: "col", class: "text" }, "Network"),
    names.map((name) =>
      html(
        "th",
        { scope: "col", "aria-sort": sorted(name) },
        html(
          "button",
          { type: "button", onclick: () => sortBy(name), title: "Sort by this figure" },
          goalOf.get(name).label.replace(" a sample", ""),
          arrow(name),
        ),
      ),
    ),
    html("th", { scope: "col" }, "Test accuracy"),
    html("th", { scope: "col", class: "text" }, "Motifs"),
  );
  const body = rows.map((trial) =>
    html(
      "tr",
      {
        class: "pick",
        "data-arch": trial.arch,
        "aria-current": trial.arch === state.arch ? "true" : null,
        onclick: () => select(trial.arch),
      },
      html(
        "td",
        { class: "text" },
        html("button", { type: "button" }, trial.arch),
        trial.arch === data.chosen ? [" ", html("span", { class: "badge good" }, "chosen")] : null,
      ),
      names.map((name) => html("td", {}, figure(trial, name))),
      html("td", {}, accuracyOf(trial.arch)),
      html("td", { class: "text long" }, trial.motifs.map((motif) => motif.replaceAll("_", " ")).join(", ")),
    ),
  );
  fill(
    "table",
    html(
      "table",
      {},
      html(
        "caption",
        {},
        html("span", {}, "The front. Figures are a sample's, of untrained networks with balanced weights."),
      ),
      html("thead", {}, head),
      html("tbody", {}, body),
    ),
  );
}
function accuracyOf(arch) {
  const runs = data.networks[arch]?.training?.runs;
  if (!runs) return "not trained";
  const found = runs.map((run) => run.test_accuracy),
    mean = found.reduce((a, b) => a + b) / found.length;
  return `${percent(mean)} (${found.length} seed${found.length > 1 ? "s" : ""})`;
}
const sorted = (name) => (state.sort?.[0] === name ? (state.sort[1] > 0 ? "ascending" : "descending") : null);
const arrow = (name) => (state.sort?.[0] === name ? (state.sort[1] > 0 ? " ↑" : " ↓") : "");
function sortBy(name) {
  state.sort = [name, state.sort?.[0] === name ? -state.sort[1] : 1];
  frontTable();
  [...byId("table").querySelectorAll("th button")]
    .find((button) => button.textContent.startsWith(goalOf.get(name).label.replace(" a sample", "")))
    ?.focus();
}
function controls() {
  const names = ["Across", "Up", "Colour and depth"];
  fill(
    "axes",
    names.map((text, at) =>
      html(
        "label",
        {},
        text,
        html(
          "select",
          {
            onchange: (event) => {
              state.axes[at] = event.target.value;
              for (const again of frames) again();
            },
          },
          AXES.map((name) =>
            html("option", { value: name, selected: state.axes[at] === name }, titled(name)),
          ),
        ),
      ),
    ),
  );
  const by = (x, y) => () => turned(state.turn[0] + x, state.turn[1] + y);
  fill(
    "turn",
    [
      ["←", -0.3, 0, "Turn left"],
      ["→", 0.3, 0, "Turn right"],
      ["↑", 0, 0.2, "Tilt up"],
      ["↓", 0, -0.2, "Tilt down"],
    ].map(([text, x, y, told]) =>
      html("button", { type: "button", "aria-label": told, title: told, onclick: by(x, y) }, text),
    ),
  );
}
function front() {
  const free = AXES.filter((name) => !data.objectives.includes(name)),
    wanted = [...data.objectives, ...free];
  state.axes = [wanted[1], wanted[0], wanted[2]];
  controls();
  const named = {
    scatter: "Front in two figures",
    space: "Front in three figures",
    parallel: "Parallel coordinates of all figures",
  };
  const order = {
    scatter: () => [...frontOf].sort((a, b) => a[state.axes[0]] - b[state.axes[0]]),
    space: () => frontOf,
    parallel: () => frontOf,
  };
  for (const id of Object.keys(named)) {
    byId(id).setAttribute(
      "aria-label",
      `${named[id]}. The arrow keys step through the networks of the front.`,
    );
    keyboard(byId(id), order[id]);
  }
  const again = [drawn("scatter", scatter), (drawSpace = drawn("space", space)), drawn("parallel", parallel)];
  onSelect(() => {
    for (const draw of again) draw();
    frontTable();
  });
}
