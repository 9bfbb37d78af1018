// Training and agreement

function trained(arch, training) {
  const command = `msenas train ${data.run} --arch ${arch}`;
  if (!training)
    return [
      html("h3", {}, "Accuracy"),
      html("p", { class: "note" }, "Not trained yet: "),
      html("pre", {}, command),
    ];
  const part = (value) => (value === null || value === undefined ? "–" : percent(value));
  const rows = training.runs.map((run) => [
    `${run.seed}${run.seed === training.kept ? " (kept)" : ""}`,
    part(run.validation_accuracy),
    part(run.test_accuracy),
    part(run.accuracy_fixed),
    shown(run.energy_j, "J"),
    shown(run.latency_s, "s"),
    shown(run.spikes),
    run.within_budget === null ? "no budget" : run.within_budget ? "yes" : "no",
  ]);
  return [
    html("h3", {}, "Accuracy"),
    scrolled(
      table(
        `${accuracyOf(arch)} on the test part; the kept seed is the best on validation.`,
        [
          ["Seed"],
          ["Validation"],
          ["Test"],
          ["Test, fixed point"],
          ["Energy"],
          ["Latency"],
          ["Spikes"],
          ["Inside the budget", "text"],
        ],
        rows,
      ),
    ),
  ];
}
function agreement(arch, found) {
  const title = html("h3", {}, "Do the targets compute the same spikes?");
  if (!found) {
    const place = `${data.run}/artifacts/${arch}`;
    return [
      title,
      html(
        "p",
        { class: "note" },
        "Not verified yet. This makes the file that the report reads, once the network is trained:",
      ),
      html(
        "pre",
        {},
        `msenas verify ${place}/model.nir --target reference --target onnx --target loihi \\\n  --format json > ${place}/verify.json`,
      ),
    ];
  }
  const rows = found.pairs.map((pair) => [
    `${pair.a} and ${pair.b}`,
    pair.arithmetic,
    shown(pair.compared),
    shown(pair.differing),
    shown(pair.states_differing),
    pair.first ? `${pair.first.node}, step ${pair.first.step}, sample ${pair.first.sample}` : "none",
  ]);
  const change = found.quantisation;
  return [
    title,
    html(
      "p",
      {},
      html("span", { class: found.agree ? "badge good" : "badge over" }, found.agree ? "agree" : "disagree"),
    ),
    scrolled(
      table(
        "",
        [
          ["Targets", "text"],
          ["Arithmetic", "text"],
          ["Neuron-steps compared"],
          ["Spikes that differ"],
          ["States that differ"],
          ["First difference", "text"],
        ],
        rows,
      ),
    ),
    change
      ? html(
          "p",
          { class: "note" },
          `Fixed point changes ${shown(change.spikes_changed)} spikes against floating point` +
            (change.accuracy_float === null
              ? "."
              : `; accuracy ${percent(change.accuracy_float)} before, ${percent(change.accuracy_fixed)} after.`),
        )
      : null,
  ];
}
