// Cores on the mesh

function cores(fit) {
  const chip = data.chip,
    needed = `${fit.cores} of ${chip.cores ?? "?"} cores`;
  const text = fit.fits
    ? `The network fits: ${needed}. Nearest its limit: ${fit.binding.replaceAll("_", " ")}${fit.binding_node ? ` of ${fit.binding_node}` : ""}.`
    : `The network does not fit: ${fit.broken.map((rule) => `${rule.rule} at ${rule.node}, found ${rule.found}, allowed ${rule.allowed}`).join("; ")}.`;
  const names = [...new Set(fit.placement.map((part) => part.population))];
  const use = Object.entries(fit.populations).map(([name, one]) => [
    swatch(Math.max(0, names.indexOf(name)), name),
    one.cores,
    Object.entries(one.use).map(([key, [most, allowed]]) =>
      html(
        "span",
        { style: "display:inline-block;margin-right:1.1rem" },
        `${key.replaceAll("_", " ")} `,
        meter(most / allowed, percent(most / allowed)),
      ),
    ),
  ]);
  const mapped = fit.placement.length > 0;
  const where = !mapped
    ? "No placement exists."
    : fit.placement[0].tile
      ? "A square is a core, a frame is a tile of the mesh; letters name populations."
      : "Cores in order; where they lie on this chip's mesh is not published.";
  return [
    html("p", {}, text),
    html("figure", {}, html("div", { id: "mesh", class: "chart" }), html("figcaption", {}, where)),
    scrolled(
      table(
        "Use of the fullest core of each population",
        [["Population", "text"], ["Cores"], ["Resources", "text"]],
        use,
      ),
    ),
  ];
}
const letter = (at) => String.fromCharCode(65 + (at % 26)) + (at >= 26 ? Math.floor(at / 26) : "");
function mesh(width) {
  const fit = viewOf(data.networks[state.arch])?.fit;
  if (!fit?.placement.length) return canvas(width, 1);
  const names = [...new Set(fit.placement.map((part) => part.population))],
    held = new Map();
  for (const part of fit.placement) held.set(part.core, [...(held.get(part.core) || []), part]);
  const tiled = fit.placement[0].tile && data.chip.tile_rows,
    perTile = tiled ? data.chip.cores_per_tile : 1;
  const total = Math.max(data.chip.cores || 0, Math.max(...held.keys()) + 1),
    tiles = Math.ceil(total / perTile);
  const rows = tiled ? data.chip.tile_rows : Math.ceil(tiles / 16),
    columns = Math.ceil(tiles / rows);
  const side = Math.min(tiled ? 64 : 34, (Math.min(width, 760) - 4) / columns),
    inner = tiled ? Math.ceil(Math.sqrt(perTile)) : 1,
    cellSide = (side - (tiled ? 8 : 4)) / inner;
  const drawing = [];
  for (let tile = 0; tile < tiles; tile += 1) {
    const column = tiled ? Math.floor(tile / rows) : tile % columns,
      row = tiled ? tile % rows : Math.floor(tile / columns);
    const left = 2 + column * side,
      top = 2 + row * side;
    if (tiled)
      drawing.push(
        svg("rect", {
          x: left + 1,
          y: top + 1,
          width: side - 3,
          height: side - 3,
          fill: "none",
          stroke: "var(--line)",
          rx: 3,
        }),
      );
    for (let at = 0; at < perTile && tile * perTile + at < total; at += 1)
      drawing.push(
        core(
          tile * perTile + at,
          held,
          names,
          left + 3 + (at % inner) * cellSide,
          top + 3 + Math.floor(at / inner) * cellSide,
          cellSide - 1.5,
        ),
      );
  }
  const chart = canvas(Math.ceil(columns * side) + 4, Math.ceil(rows * side) + 4, drawing);
  chart.style.width = "auto";
  chart.style.maxWidth = "100%";
  return chart;
}
function core(number, held, names, x, y, side) {
  const parts = held.get(number),
    at = parts ? names.indexOf(parts[0].population) : 0;
  const told = parts ? parts.map((part) => `${part.population}, ${part.neurons} neurons`).join("; ") : "free";
  return svg(
    "g",
    {},
    svg(
      "rect",
      { x, y, width: side, height: side, rx: 2, fill: parts ? hue(at) : "var(--grid)" },
      svg("title", {}, `core ${number}: ${told}`),
    ),
    parts && side > 11
      ? label(x + side / 2, y + side / 2 + 4, letter(at), {
          "text-anchor": "middle",
          style: "fill:#fff;font-weight:700",
        })
      : null,
  );
}
