// Everything about the selected network.

const HUES = 8;
const hue = (at) => `var(--c${at % HUES})`;
const list = (items) =>
  html(
    "ul",
    { class: "plain" },
    items.map((item) => html("li", {}, item)),
  );

function network(trial) {
  const known = data.networks[trial.arch],
    training = known?.training;
  const view = viewOf(known);
  byId("network-title").textContent = `Network ${trial.arch}`;
  fill(
    "detail",
    badges(trial, training),
    reason(trial),
    figures(trial),
    further(trial),
    known
      ? [html("h3", {}, "Architecture"), architecture(trial, known)]
      : html(
          "p",
          { class: "note" },
          "Only networks of the front are drawn and run again. Select one of them to see its layers, energy and cores.",
        ),
    known && !view
      ? html(
          "p",
          { class: "note" },
          "This network was not run again; give msenas report a larger --networks.",
        )
      : null,
    view ? views(known, view) : null,
    known ? [trained(trial.arch, training), agreement(trial.arch, known.agreement)] : null,
  );
  drawInside();
}
// Charts inside the detail, which is written anew at each selection.
function drawInside() {
  for (const [id, draw] of [
    ["terms", termBar],
    ["mesh", mesh],
  ])
    byId(id)?.replaceChildren(draw(Math.max(280, byId(id).clientWidth)));
}
function viewOf(known) {
  if (!known?.views.length) return null;
  return known.views.find((view) => view.state === state.view) || known.views.at(-1);
}
function badges(trial, training) {
  const badge = (text, kind) => html("span", { class: `badge ${kind}` }, text);
  return html(
    "p",
    {},
    [
      trial.arch === data.chosen ? badge("chosen", "good") : null,
      trial.front
        ? badge("on the front", "good")
        : trial.feasible
          ? badge("inside the budget", "plain")
          : badge("outside the budget", "over"),
      badge(`generation ${trial.generation}, evaluation ${trial.trial + 1}`, "plain"),
      training ? badge("trained", "good") : null,
    ]
      .filter(Boolean)
      .flatMap((one) => [one, " "]),
  );
}
const reason = (trial) => (trial.why_not ? html("p", { class: "over" }, `Why not: ${trial.why_not}.`) : null);
function figures(trial) {
  const rows = data.figures.map((goal) => {
    const value = trial[goal.name],
      limit = limitOf(goal.name),
      share = limit ? value / limit : null;
    return [
      goal.label + (data.objectives.includes(goal.name) ? " (objective)" : ""),
      shown(value, goal.unit),
      limit === undefined ? "–" : shown(limit, goal.unit),
      share === null || value === null ? "–" : meter(share, percent(share)),
    ];
  });
  return scrolled(
    table(
      "As the search measured it: an untrained network with balanced weights.",
      [["Figure", "text"], ["Value"], ["Budget"], ["Used of the budget"]],
      rows,
    ),
  );
}

function further(trial) {
  const found = Object.entries(trial.devices || {});
  if (!found.length) return null;
  const units = { energy_j: "J", latency_s: "s" },
    cellOf = (one, key) => {
      const limit = one.limits[key],
        value = shown(one[key], units[key]);
      return limit === undefined || one[key] === null
        ? value
        : [`${value} of ${shown(limit, units[key])} `, meter(one[key] / limit, "")];
    };
  return scrolled(
    table(
      "The same architecture on the further devices of the budget.",
      [["Device", "text"], ["Energy"], ["Latency"], ["Cores"], ["Memory words"], ["Fits", "text"]],
      found.map(([name, one]) => [
        name,
        ...["energy_j", "latency_s", "cores", "memory"].map((key) => cellOf(one, key)),
        one.fits ? "yes" : `no: ${one.broken.join(", ")}`,
      ]),
    ),
  );
}

// Architecture

function architecture(trial, known) {
  const parts = [];
  if (known.drawing) {
    const told = `Drawing of network ${trial.arch}: ${trial.motifs.map((motif) => motif.replaceAll("_", " ")).join(", ")}; scrolls`;
    const frame = html("div", { class: "drawing", tabindex: "0", role: "region", "aria-label": told });
    frame.innerHTML = known.drawing;
    parts.push(frame);
  }
  const genes = known.genome,
    rows = genes.cells.map((cell, at) => [
      `cell ${at + 1}`,
      cell.motif.replaceAll("_", " "),
      cell.width,
      cell.halve ? "halved" : "kept",
      arriving(genes, at),
      html(
        "span",
        {},
        cell.nodes.map((gene) => html("span", { style: "display:block" }, geneText(gene))),
      ),
    ]);
  parts.push(
    html(
      "details",
      {},
      html("summary", {}, "Genes of every cell"),
      scrolled(
        table(
          "",
          [
            ["Cell", "text"],
            ["Motif", "text"],
            ["Channels"],
            ["Resolution", "text"],
            ["Reads", "text"],
            ["Populations", "text"],
          ],
          [
            ...rows,
            [
              "readout",
              "",
              "",
              "",
              arriving(genes, genes.cells.length),
              `learns by ${genes.readout_rule || "bp"}`,
            ],
          ],
        ),
      ),
    ),
  );
  return parts;
}
function arriving(genes, at) {
  const named = (source) => (source < 0 ? "input" : `cell ${source + 1}`);
  const forward = genes.forward.filter(([, to]) => to === at).map(([source]) => named(source));
  const back = genes.feedback.filter(([, to]) => to === at).map(([source]) => `${named(source)} (feedback)`);
  return [...forward, ...back].join(", ");
}
function geneText(gene) {
  const taus = [
    gene.model === "if" ? "" : `, τ ${gene.tau}`,
    gene.model === "cubalif" ? `, τ syn ${gene.tau_syn}` : "",
  ].join("");
  return `${gene.model}${taus}, threshold ${gene.threshold}, kernel ${gene.kernel}, learns by ${gene.rule || "bp"}`;
}
