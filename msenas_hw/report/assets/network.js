// Everything about the selected network.

const HUES = 8;
const hue = (at) => `var(--c${at % HUES})`;
const list = (items) => html("ul", { class: "plain" }, items.map((item) => html("li", {}, item)));

function network(trial) {
  const known = data.networks[trial.arch], training = known?.training;
  const view = viewOf(known);
  byId("network-title").textContent = `Network ${trial.arch}`;
  fill("detail", badges(trial, training), reason(trial), figures(trial), further(trial),
    known ? [html("h3", {}, "Architecture"), architecture(trial, known)] : html("p", { class: "note" },
      "Only networks of the front are drawn and run again. Select one of them to see its layers, energy and cores."),
    known && !view ? html("p", { class: "note" }, "This network was not run again; give msenas report a larger --networks.") : null,
    view ? views(known, view) : null, known ? [trained(trial.arch, training), agreement(trial.arch, known.agreement)] : null);
  drawInside();
}
// Charts inside the detail, which is written anew at each selection.
function drawInside() {
  for (const [id, draw] of [["terms", termBar], ["mesh", mesh]])
    byId(id)?.replaceChildren(draw(Math.max(280, byId(id).clientWidth)));
}
function viewOf(known) {
  if (!known?.views.length) return null;
  return known.views.find((view) => view.state === state.view) || known.views.at(-1);
}
function badges(trial, training) {
  const badge = (text, kind) => html("span", { class: `badge ${kind}` }, text);
  return html("p", {}, [
    trial.arch === data.chosen ? badge("chosen", "good") : null,
    trial.front ? badge("on the front", "good") : trial.feasible ? badge("inside the budget", "plain") : badge("outside the budget", "over"),
    badge(`generation ${trial.generation}, evaluation ${trial.trial + 1}`, "plain"),
    training ? badge("trained", "good") : null].filter(Boolean).flatMap((one) => [one, " "]));
}
const reason = (trial) => (trial.why_not ? html("p", { class: "over" }, `Why not: ${trial.why_not}.`) : null);
function figures(trial) {
  const rows = data.figures.map((goal) => {
    const value = trial[goal.name], limit = limitOf(goal.name), share = limit ? value / limit : null;
    return [goal.label + (data.objectives.includes(goal.name) ? " (objective)" : ""), shown(value, goal.unit),
      limit === undefined ? "–" : shown(limit, goal.unit), share === null || value === null ? "–" : meter(share, percent(share))];
  });
  return scrolled(table("As the search measured it: an untrained network with balanced weights.",
    [["Figure", "text"], ["Value"], ["Budget"], ["Used of the budget"]], rows));
}

function further(trial) {
  const found = Object.entries(trial.devices || {});
  if (!found.length) return null;
  const units = { energy_j: "J", latency_s: "s" }, cellOf = (one, key) => {
    const limit = one.limits[key], value = shown(one[key], units[key]);
    return limit === undefined || one[key] === null ? value : [`${value} of ${shown(limit, units[key])} `, meter(one[key] / limit, "")];
  };
  return scrolled(table("The same architecture on the further devices of the budget.",
    [["Device", "text"], ["Energy"], ["Latency"], ["Cores"], ["Memory words"], ["Fits", "text"]],
    found.map(([name, one]) => [name, ...["energy_j", "latency_s", "cores", "memory"].map((key) => cellOf(one, key)),
      one.fits ? "yes" : `no: ${one.broken.join(", ")}`])));
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
  const genes = known.genome, rows = genes.cells.map((cell, at) => [
    `cell ${at + 1}`, cell.motif.replaceAll("_", " "), cell.width, cell.halve ? "halved" : "kept", arriving(genes, at),
    html("span", {}, cell.nodes.map((gene) => html("span", { style: "display:block" }, geneText(gene))))]);
  parts.push(html("details", {}, html("summary", {}, "Genes of every cell"), scrolled(table("",
    [["Cell", "text"], ["Motif", "text"], ["Channels"], ["Resolution", "text"], ["Reads", "text"], ["Populations", "text"]],
    [...rows, ["readout", "", "", "", arriving(genes, genes.cells.length), `learns by ${genes.readout_rule || "bp"}`]]))));
  return parts;
}
function arriving(genes, at) {
  const named = (source) => (source < 0 ? "input" : `cell ${source + 1}`);
  const forward = genes.forward.filter(([, to]) => to === at).map(([source]) => named(source));
  const back = genes.feedback.filter(([, to]) => to === at).map(([source]) => `${named(source)} (feedback)`);
  return [...forward, ...back].join(", ");
}
function geneText(gene) {
  const taus = [gene.model === "if" ? "" : `, τ ${gene.tau}`, gene.model === "cubalif" ? `, τ syn ${gene.tau_syn}` : ""].join("");
  return `${gene.model}${taus}, threshold ${gene.threshold}, kernel ${gene.kernel}, learns by ${gene.rule || "bp"}`;
}

// One run of the network: layers, energy, cores

function views(known, view) {
  const choose = known.views.length < 2 ? null : html("div", { class: "controls", role: "group", "aria-label": "Weights" },
    known.views.map((one) => html("button", { type: "button", "aria-pressed": String(one === view), "data-view": one.state, onclick: () => {
      state.view = one.state;
      network(byArch.get(state.arch));
      document.querySelector(`[data-view="${one.state}"]`).focus();
    } }, one.state === "trained" ? "Trained weights" : "Before training")));
  return [html("h3", {}, "Layers"), choose, html("p", { class: "note" }, `Run with ${view.told}. Figures are a sample's.`),
    layers(view), html("h3", {}, `Energy on ${view.cost.device}`), energy(view.cost), html("h3", {}, `Cores of ${data.chip.name}`), cores(view.fit)];
}
function layers(view) {
  const most = (key) => Math.max(1e-12, ...view.layers.map((layer) => layer[key] || 0));
  const spikes = most("spikes"), synops = most("synops");
  return scrolled(table("", [["Population", "text"], ["Kind", "text"], ["Shape", "text"], ["Neurons"], ["Spikes"],
    ["Spikes a neuron and step"], ["Synapses into it"], ["Synaptic operations"], ["Cores"]],
  view.layers.map((layer) => [layer.node, layer.kind, layer.shape.join(" × "), shown(layer.neurons), meter(layer.spikes / spikes, shown(layer.spikes)),
    shown(layer.rate), shown(layer.synapses), layer.synops === null ? "–" : meter(layer.synops / synops, shown(layer.synops)), shown(layer.cores)])));
}
function energy(cost) {
  const terms = Object.entries(cost.terms), total = cost.energy_j, [low, high] = cost.energy_band_j;
  const rows = terms.map(([name, joules], at) => [swatch(at, name.replaceAll("_", " ")), cost.kinds?.[name] || "–", shown(joules, "J"),
    total ? percent(joules / total) : "–", sourceOf(name)]);
  const kinds = Object.entries(cost.by_kind).filter(([, joules]) => joules === null).map(([name]) => name);
  const device = data.device;
  return [html("p", {}, html("b", {}, shown(total, "J")), ` a sample, expected between ${shown(low, "J")} and ${shown(high, "J")}; latency `,
    html("b", {}, shown(cost.latency_s, "s")), cost.latency_band_s ? ` (${shown(cost.latency_band_s[0], "s")} to ${shown(cost.latency_band_s[1], "s")})` : "", "."),
  html("div", { class: "chart", id: "terms" }), scrolled(table("", [["Term", "text"], ["Kind", "text"], ["Energy"], ["Share"], ["Price and source", "text long"]], rows)),
  kinds.length ? html("p", { class: "note" }, `The model prices no ${kinds.join(", ")} energy.`) : null,
  device.omitted.length ? [html("p", { class: "note" }, `${device.name} leaves out:`), list(device.omitted)] : null, constants(device)];
}
function sourceOf(term) {
  const found = data.device.constants.filter((one) => one.name === `energy_${term}` || one.name.startsWith(`energy_${term}_`));
  if (!found.length) return "see the constants below";
  return found.map((one) => html("span", { style: "display:block" }, `${constant(one.value, one.unit)}: ${one.scope} (${one.grade}; ${one.source})`));
}
const swatch = (at, text) => [html("i", { class: "swatch", style: `background:${hue(at)}` }), text];
function constants(device) {
  const rows = device.constants.map((one) => [one.name, constant(one.value, one.unit),
    one.unit, one.grade, one.scope, one.source, one.operating_point]);
  return html("details", {}, html("summary", {}, `All ${rows.length} constants of ${device.name}, with sources`), scrolled(table(device.describes,
    [["Constant", "text"], ["Value"], ["Unit", "text"], ["Grade", "text"], ["Scope", "text long"], ["Source", "text long"], ["Holds for", "text long"]], rows)));
}
function termBar(width) {
  const cost = viewOf(data.networks[state.arch])?.cost;
  if (!cost) return canvas(width, 1);
  const limit = limitOf("energy_j"), [low, high] = cost.energy_band_j, most = Math.max(high, limit !== undefined && limit < 3 * high ? limit : 0) * 1.04 || 1;
  const x = (joules) => 4 + (joules / most) * (width - 8), drawing = [];
  let from = 0;
  Object.entries(cost.terms).forEach(([name, joules], at) => {
    drawing.push(svg("rect", { x: x(from), y: 22, width: Math.max(0, x(from + joules) - x(from)), height: 26, fill: hue(at) },
      svg("title", {}, `${name}: ${shown(joules, "J")}`)));
    from += joules;
  });
  drawing.push(svg("path", { d: `M${x(low)},58v8m0,-4H${x(high)}m0,-4v8`, stroke: "var(--ink)", "stroke-width": 1.5, fill: "none" }),
    label(Math.min(x(low), width - 190), 82, `band ${shown(low, "J")} to ${shown(high, "J")}`));
  if (limit !== undefined && limit < 3 * high) {
    drawing.push(svg("line", { x1: x(limit), x2: x(limit), y1: 16, y2: 54, stroke: "var(--over)", "stroke-width": 2, "stroke-dasharray": "5 3" }),
      label(Math.min(x(limit) + 4, width - 4), 12, `budget ${shown(limit, "J")}`, { class: "budget", "text-anchor": "end" }));
  }
  return canvas(width, 90, drawing);
}

// Cores on the mesh

function cores(fit) {
  const chip = data.chip, needed = `${fit.cores} of ${chip.cores ?? "?"} cores`;
  const text = fit.fits ? `The network fits: ${needed}. Nearest its limit: ${fit.binding.replaceAll("_", " ")}${fit.binding_node ? ` of ${fit.binding_node}` : ""}.`
    : `The network does not fit: ${fit.broken.map((rule) => `${rule.rule} at ${rule.node}, found ${rule.found}, allowed ${rule.allowed}`).join("; ")}.`;
  const names = [...new Set(fit.placement.map((part) => part.population))];
  const use = Object.entries(fit.populations).map(([name, one]) => [swatch(Math.max(0, names.indexOf(name)), name), one.cores,
    Object.entries(one.use).map(([key, [most, allowed]]) => html("span", { style: "display:inline-block;margin-right:1.1rem" }, `${key.replaceAll("_", " ")} `, meter(most / allowed, percent(most / allowed))))]);
  const mapped = fit.placement.length > 0;
  const where = !mapped ? "No placement exists." : fit.placement[0].tile ? "A square is a core, a frame is a tile of the mesh; letters name populations."
    : "Cores in order; where they lie on this chip's mesh is not published.";
  return [html("p", {}, text), html("figure", {}, html("div", { id: "mesh", class: "chart" }), html("figcaption", {}, where)),
    scrolled(table("Use of the fullest core of each population", [["Population", "text"], ["Cores"], ["Resources", "text"]], use))];
}
const letter = (at) => String.fromCharCode(65 + (at % 26)) + (at >= 26 ? Math.floor(at / 26) : "");
function mesh(width) {
  const fit = viewOf(data.networks[state.arch])?.fit;
  if (!fit?.placement.length) return canvas(width, 1);
  const names = [...new Set(fit.placement.map((part) => part.population))], held = new Map();
  for (const part of fit.placement) held.set(part.core, [...(held.get(part.core) || []), part]);
  const tiled = fit.placement[0].tile && data.chip.tile_rows, perTile = tiled ? data.chip.cores_per_tile : 1;
  const total = Math.max(data.chip.cores || 0, Math.max(...held.keys()) + 1), tiles = Math.ceil(total / perTile);
  const rows = tiled ? data.chip.tile_rows : Math.ceil(tiles / 16), columns = Math.ceil(tiles / rows);
  const side = Math.min(tiled ? 64 : 34, (Math.min(width, 760) - 4) / columns), inner = tiled ? Math.ceil(Math.sqrt(perTile)) : 1, cellSide = (side - (tiled ? 8 : 4)) / inner;
  const drawing = [];
  for (let tile = 0; tile < tiles; tile += 1) {
    const column = tiled ? Math.floor(tile / rows) : tile % columns, row = tiled ? tile % rows : Math.floor(tile / columns);
    const left = 2 + column * side, top = 2 + row * side;
    if (tiled) drawing.push(svg("rect", { x: left + 1, y: top + 1, width: side - 3, height: side - 3, fill: "none", stroke: "var(--line)", rx: 3 }));
    for (let at = 0; at < perTile && tile * perTile + at < total; at += 1)
      drawing.push(core(tile * perTile + at, held, names, left + 3 + (at % inner) * cellSide, top + 3 + Math.floor(at / inner) * cellSide, cellSide - 1.5));
  }
  const chart = canvas(Math.ceil(columns * side) + 4, Math.ceil(rows * side) + 4, drawing);
  chart.style.width = "auto";
  chart.style.maxWidth = "100%";
  return chart;
}
function core(number, held, names, x, y, side) {
  const parts = held.get(number), at = parts ? names.indexOf(parts[0].population) : 0;
  const told = parts ? parts.map((part) => `${part.population}, ${part.neurons} neurons`).join("; ") : "free";
  return svg("g", {}, svg("rect", { x, y, width: side, height: side, rx: 2, fill: parts ? hue(at) : "var(--grid)" }, svg("title", {}, `core ${number}: ${told}`)),
    parts && side > 11 ? label(x + side / 2, y + side / 2 + 4, letter(at), { "text-anchor": "middle", style: "fill:#fff;font-weight:700" }) : null);
}

// Training and agreement

function trained(arch, training) {
  const command = `msenas train ${data.run} --arch ${arch}`;
  if (!training) return [html("h3", {}, "Accuracy"), html("p", { class: "note" }, "Not trained yet: "), html("pre", {}, command)];
  const part = (value) => (value === null || value === undefined ? "–" : percent(value));
  const rows = training.runs.map((run) => [`${run.seed}${run.seed === training.kept ? " (kept)" : ""}`, part(run.validation_accuracy), part(run.test_accuracy),
    part(run.accuracy_fixed), shown(run.energy_j, "J"), shown(run.latency_s, "s"), shown(run.spikes), run.within_budget === null ? "no budget" : run.within_budget ? "yes" : "no"]);
  return [html("h3", {}, "Accuracy"), scrolled(table(`${accuracyOf(arch)} on the test part; the kept seed is the best on validation.`,
    [["Seed"], ["Validation"], ["Test"], ["Test, fixed point"], ["Energy"], ["Latency"], ["Spikes"], ["Inside the budget", "text"]], rows))];
}
function agreement(arch, found) {
  const title = html("h3", {}, "Do the targets compute the same spikes?");
  if (!found) {
    const place = `${data.run}/artifacts/${arch}`;
    return [title, html("p", { class: "note" }, "Not verified yet. This makes the file that the report reads, once the network is trained:"),
      html("pre", {}, `msenas verify ${place}/model.nir --target reference --target onnx --target loihi \\\n  --format json > ${place}/verify.json`)];
  }
  const rows = found.pairs.map((pair) => [`${pair.a} and ${pair.b}`, pair.arithmetic, shown(pair.compared), shown(pair.differing), shown(pair.states_differing),
    pair.first ? `${pair.first.node}, step ${pair.first.step}, sample ${pair.first.sample}` : "none"]);
  const change = found.quantisation;
  return [title, html("p", {}, html("span", { class: found.agree ? "badge good" : "badge over" }, found.agree ? "agree" : "disagree")),
    scrolled(table("", [["Targets", "text"], ["Arithmetic", "text"], ["Neuron-steps compared"], ["Spikes that differ"], ["States that differ"], ["First difference", "text"]], rows)),
    change ? html("p", { class: "note" }, `Fixed point changes ${shown(change.spikes_changed)} spikes against floating point` +
      (change.accuracy_float === null ? "." : `; accuracy ${percent(change.accuracy_float)} before, ${percent(change.accuracy_fixed)} after.`)) : null];
}
