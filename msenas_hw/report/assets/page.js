// Header, selected network, reproduction; then everything is put together.

function top() {
  const names = data.objectives.map((name) => titled(name).toLowerCase().replace(" a sample", ""));
  const inside = data.trials.filter((trial) => trial.feasible).length,
    last = data.trials.at(-1);
  byId("title").textContent = data.run;
  byId("lede").textContent =
    `A search for spiking networks on ${data.config.data?.name ?? "digits"}, judged by ${names.join(", ")}. ` +
    `Energy and latency are estimates of ${data.device.name}. ${data.status === "complete" ? "" : `State: ${data.status}.`}`;
  const tiles = [
    [data.trials.length, "architectures evaluated"],
    [data.generations.length, "generations"],
    [inside, "inside the budget"],
    [data.front.length, "on the front"],
    [data.chosen ?? "none", "chosen"],
    [data.chip.name, "chip"],
  ];
  fill(
    "tiles",
    tiles.map(([value, text]) =>
      html(
        "li",
        {},
        html("b", {}, typeof value === "number" ? shown(value) : html("code", {}, value)),
        html("span", {}, text),
      ),
    ),
  );
  byId("front-text").textContent = data.front.length
    ? `${data.front.length} networks that no other one inside the budget dominates in ${names.join(", ")}. Select one anywhere on this page: a point, a line, a row, or with the arrow keys.`
    : last
      ? `No network is inside the budget so far. ${last.why_not ? `The last one: ${last.why_not}.` : ""}`
      : "No network was evaluated yet.";
}
function bar(trial) {
  const shownHere = trial
    ? data.figures.map((goal) =>
        html(
          "span",
          { class: data.objectives.includes(goal.name) ? "figure" : "figure extra" },
          `${goal.label.replace(" a sample", "")} `,
          html("b", {}, figure(trial, goal.name)),
        ),
      )
    : null;
  const button = (text, told, by) =>
    html(
      "button",
      {
        type: "button",
        "aria-label": told,
        title: told,
        onclick: (event) => {
          step(frontOf, by);
          byId("bar")
            .querySelector(`[aria-label="${event.currentTarget.getAttribute("aria-label")}"]`)
            .focus();
        },
      },
      text,
    );
  fill(
    "bar",
    trial
      ? html("span", {}, "Network ", html("strong", {}, trial.arch))
      : html("span", {}, "No network to select"),
    frontOf.length
      ? html(
          "span",
          { class: "steps" },
          button("‹", "Previous network of the front", -1),
          button("›", "Next network of the front", 1),
        )
      : null,
    shownHere,
  );
}

function reproduction() {
  const rows = (entries) =>
    entries.map(([name, value]) => [name, Array.isArray(value) ? value.join(", ") : String(value)]);
  const two = [
    ["", "text"],
    ["", "text"],
  ];
  fill(
    "again",
    html(
      "p",
      {},
      `Searched ${data.searched ?? "in memory"}. The trials depend on the configuration, the seeds and the versions alone, not on the number of workers.`,
    ),
    html(
      "pre",
      {},
      `msenas search config.toml --run ${data.run}-again\nmsenas front ${data.run}-again\nmsenas train ${data.run}-again --arch chosen\nmsenas report ${data.run}-again`,
    ),
    html(
      "div",
      { class: "columns" },
      html("div", {}, html("h3", {}, "Seeds"), table("", two, rows(Object.entries(data.seeds)))),
      html("div", {}, html("h3", {}, "Versions"), table("", two, rows(Object.entries(data.versions)))),
    ),
    html("details", {}, html("summary", {}, "config.toml"), html("pre", {}, data.toml)),
  );
}

top();
bar(null);
if (data.trials.length) {
  front();
  progress();
  onSelect(bar);
  onSelect(network);
  addEventListener("resize", drawInside);
  models();
  select(
    byArch.has(location.hash.slice(1)) ? location.hash.slice(1) : (data.chosen ?? data.trials[0].arch),
    true,
  );
}
reproduction();
addEventListener("hashchange", () => select(location.hash.slice(1), true));
addEventListener("beforeprint", () => {
  for (const one of document.querySelectorAll("details")) one.open = true;
});
