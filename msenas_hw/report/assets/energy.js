// One run of the network: layers, energy, cores

function views(known, view) {
  const choose =
    known.views.length < 2
      ? null
      : html(
          "div",
          { class: "controls", role: "group", "aria-label": "Weights" },
          known.views.map((one) =>
            html(
              "button",
              {
                type: "button",
                "aria-pressed": String(one === view),
                "data-view": one.state,
                onclick: () => {
                  state.view = one.state;
                  network(byArch.get(state.arch));
                  document.querySelector(`[data-view="${one.state}"]`).focus();
                },
              },
              one.state === "trained" ? "Trained weights" : "Before training",
            ),
          ),
        );
  return [
    html("h3", {}, "Layers"),
    choose,
    html("p", { class: "note" }, `Run with ${view.told}. Figures are a sample's.`),
    layers(view),
    html("h3", {}, `Energy on ${view.cost.device}`),
    energy(view.cost),
    html("h3", {}, `Cores of ${data.chip.name}`),
    cores(view.fit),
  ];
}
function layers(view) {
  const most = (key) => Math.max(1e-12, ...view.layers.map((layer) => layer[key] || 0));
  const spikes = most("spikes"),
    synops = most("synops");
  return scrolled(
    table(
      "",
      [
        ["Population", "text"],
        ["Kind", "text"],
        ["Shape", "text"],
        ["Neurons"],
        ["Spikes"],
        ["Spikes a neuron and step"],
        ["Synapses into it"],
        ["Synaptic operations"],
        ["Cores"],
      ],
      view.layers.map((layer) => [
        layer.node,
        layer.kind,
        layer.shape.join(" × "),
        shown(layer.neurons),
        meter(layer.spikes / spikes, shown(layer.spikes)),
        shown(layer.rate),
        shown(layer.synapses),
        layer.synops === null ? "–" : meter(layer.synops / synops, shown(layer.synops)),
        shown(layer.cores),
      ]),
    ),
  );
}
function energy(cost) {
  const terms = Object.entries(cost.terms),
    total = cost.energy_j,
    [low, high] = cost.energy_band_j;
  const rows = terms.map(([name, joules], at) => [
    swatch(at, name.replaceAll("_", " ")),
    cost.kinds?.[name] || "–",
    shown(joules, "J"),
    total ? percent(joules / total) : "–",
    sourceOf(name),
  ]);
  const kinds = Object.entries(cost.by_kind)
    .filter(([, joules]) => joules === null)
    .map(([name]) => name);
  const device = data.device;
  return [
    html(
      "p",
      {},
      html("b", {}, shown(total, "J")),
      ` a sample, expected between ${shown(low, "J")} and ${shown(high, "J")}; latency `,
      html("b", {}, shown(cost.latency_s, "s")),
      cost.latency_band_s
        ? ` (${shown(cost.latency_band_s[0], "s")} to ${shown(cost.latency_band_s[1], "s")})`
        : "",
      ".",
    ),
    html("div", { class: "chart", id: "terms" }),
    scrolled(
      table(
        "",
        [["Term", "text"], ["Kind", "text"], ["Energy"], ["Share"], ["Price and source", "text long"]],
        rows,
      ),
    ),
    kinds.length ? html("p", { class: "note" }, `The model prices no ${kinds.join(", ")} energy.`) : null,
    device.omitted.length
      ? [html("p", { class: "note" }, `${device.name} leaves out:`), list(device.omitted)]
      : null,
    constants(device),
  ];
}
function sourceOf(term) {
  const found = data.device.constants.filter(
    (one) => one.name === `energy_${term}` || one.name.startsWith(`energy_${term}_`),
  );
  if (!found.length) return "see the constants below";
  return found.map((one) =>
    html(
      "span",
      { style: "display:block" },
      `${constant(one.value, one.unit)}: ${one.scope} (${one.grade}; ${one.source})`,
    ),
  );
}
const swatch = (at, text) => [html("i", { class: "swatch", style: `background:${hue(at)}` }), text];
function constants(device) {
  const rows = device.constants.map((one) => [
    one.name,
    constant(one.value, one.unit),
    one.unit,
    one.grade,
    one.scope,
    one.source,
    one.operating_point,
  ]);
  return html(
    "details",
    {},
    html("summary", {}, `All ${rows.length} constants of ${device.name}, with sources`),
    scrolled(
      table(
        device.describes,
        [
          ["Constant", "text"],
          ["Value"],
          ["Unit", "text"],
          ["Grade", "text"],
          ["Scope", "text long"],
          ["Source", "text long"],
          ["Holds for", "text long"],
        ],
        rows,
      ),
    ),
  );
}
function termBar(width) {
  const cost = viewOf(data.networks[state.arch])?.cost;
  if (!cost) return canvas(width, 1);
  const limit = limitOf("energy_j"),
    [low, high] = cost.energy_band_j,
    most = Math.max(high, limit !== undefined && limit < 3 * high ? limit : 0) * 1.04 || 1;
  const x = (joules) => 4 + (joules / most) * (width - 8),
    drawing = [];
  let from = 0;
  Object.entries(cost.terms).forEach(([name, joules], at) => {
    drawing.push(
      svg(
        "rect",
        { x: x(from), y: 22, width: Math.max(0, x(from + joules) - x(from)), height: 26, fill: hue(at) },
        svg("title", {}, `${name}: ${shown(joules, "J")}`),
      ),
    );
    from += joules;
  });
  drawing.push(
    svg("path", {
      d: `M${x(low)},58v8m0,-4H${x(high)}m0,-4v8`,
      stroke: "var(--ink)",
      "stroke-width": 1.5,
      fill: "none",
    }),
    label(Math.min(x(low), width - 190), 82, `band ${shown(low, "J")} to ${shown(high, "J")}`),
  );
  if (limit !== undefined && limit < 3 * high) {
    drawing.push(
      svg("line", {
        x1: x(limit),
        x2: x(limit),
        y1: 16,
        y2: 54,
        stroke: "var(--over)",
        "stroke-width": 2,
        "stroke-dasharray": "5 3",
      }),
      label(Math.min(x(limit) + 4, width - 4), 12, `budget ${shown(limit, "J")}`, {
        class: "budget",
        "text-anchor": "end",
      }),
    );
  }
  return canvas(width, 90, drawing);
}
