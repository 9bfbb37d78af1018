"""Run one job in Lava: `python main.py FOLDER`, FOLDER holding job.npz; runs on Python 3.10 and later.

Writes FOLDER/<population>.<s|u|v>.npy, [samples * steps, neurons], and at last FOLDER/done.json.
`spec` in job.npz is JSON text; the format is documented in targets/lava/job.py.
"""

import json
import logging
import os
import signal
import sys
import threading
import time
import traceback
from importlib.metadata import version
from pathlib import Path

import numpy as np
import shim  # noqa: F401  must come before Lava
from lava.magma.core.process.process import LogConfig
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.io.source import RingBuffer
from lava.proc.sparse.process import DelaySparse, Sparse
from lava.utils.weightutils import SignMode
from processes.gated_lif import GatedLI, GatedLIF, GatedNeuronwiseLIF
from scipy.sparse import csr_matrix, identity
from scipy.sparse.csgraph import connected_components

_RECORD_TYPES = {
    "fixed": {"s": np.uint8, "u": np.int32, "v": np.int32},
    "float64": {"s": np.uint8, "u": np.float64, "v": np.float64},
}
_WEIGHT_TYPES = {"fixed": np.int32, "float64": np.float64}
_TAGS = {"fixed": "fixed_pt", "float64": "floating_pt"}
_SIGNS = {
    "mixed": SignMode.MIXED,
    "excitatory": SignMode.EXCITATORY,
    "inhibitory": SignMode.INHIBITORY,
}


class Network:
    """The Lava processes of a job.

    Attributes:
        nodes: a source for each input, then each population, in the order of the job.
        edges: (source index, target index) of each hop that is not empty.
    """

    def __init__(self, folder, spec, arrays):
        self.folder, self.spec, self.arrays = folder, spec, arrays
        self.fixed = spec["arithmetic"] == "fixed"
        self.nodes = [self._source(i) for i in range(spec["inputs"])]
        self.nodes += [self._population(i, p) for i, p in enumerate(spec["populations"])]
        self.relays = {}
        self.edges = [edge for i, hop in enumerate(spec["hops"]) for edge in self._hop(i, hop)]

    def _source(self, index):
        return RingBuffer(data=self.arrays[f"input.{index}"])

    def _population(self, index, population):
        spec, size = self.spec, population["neurons"]
        files = {}
        for name in population["record"]:
            files[name] = str(self.folder / f"{index}.{name}.npy")
            kind = _RECORD_TYPES[spec["arithmetic"]][name]
            np.save(files[name], np.zeros((spec["samples"] * spec["steps"], size), kind))
        prefix = f"population.{index}."
        values = {k[len(prefix) :]: v for k, v in self.arrays.items() if k.startswith(prefix)}
        window = {name: spec[name] for name in ("steps", "period", "samples")}
        given = {
            "shape": (size,),
            "window": {"offset": population["offset"], **window},
            "files": files,
            "subtract": population["subtract"],
            "log_config": LogConfig(level=logging.INFO, level_console=logging.INFO),
        }
        given.update({name: values.pop(name) for name in ("du", "dv", "vth")})
        if self.fixed:
            given.update({name: int(given[name]) for name in ("du", "dv", "vth")})
            return GatedLIF(tables=values, **given)
        kind = GatedLI if population["sends_membrane"] else GatedNeuronwiseLIF
        return kind(tables=values, bias_mant=values.pop("leak"), **given)

    def _hop(self, index, hop):
        part = {k: self.arrays[f"hop.{index}.{k}"] for k in ("data", "indices", "indptr")}
        if part["data"].size == 0:
            return []
        matrix = csr_matrix((part["data"], part["indices"], part["indptr"]), shape=hop["shape"])
        synapse = Sparse(weights=matrix, **self._synapse_options(hop["exponent"], hop["sign"]))
        source = self.nodes[hop["source"]]
        if hop["axonal_delay"]:
            source = self._relay(hop["source"], hop["shape"][1], hop["axonal_delay"])
            source.a_out.connect(synapse.s_in)
        else:
            source.s_out.connect(synapse.s_in)
        synapse.a_out.connect(self.nodes[hop["target"]].a_in)
        return [(hop["source"], hop["target"])]

    def _relay(self, source, size, delay):
        """An identity synapse that hands on the messages of a node `delay` steps later."""
        if (source, delay) not in self.relays:
            one = csr_matrix(identity(size, dtype=_WEIGHT_TYPES[self.spec["arithmetic"]]))
            options = self._synapse_options(0, "excitatory")
            steps = csr_matrix(identity(size, dtype=int)) * (delay - 1)
            relay = (
                DelaySparse(weights=one, delays=steps, **options)
                if delay > 1
                else Sparse(weights=one, **options)
            )
            self.nodes[source].s_out.connect(relay.s_in)
            self.relays[source, delay] = relay
        return self.relays[source, delay]

    def _synapse_options(self, exponent, sign):
        # Any number of message bits makes Lava multiply; with 0 it selects columns, which is slower.
        bits = {"num_message_bits": 1}
        if not self.fixed:
            return bits
        return {"weight_exp": exponent, "num_weight_bits": 8, "sign_mode": _SIGNS[sign], **bits}

    def run(self):
        """Run every connected part of the network; Lava runs only what hangs together."""
        inputs, size = self.spec["inputs"], len(self.nodes)
        rows, columns = [a for a, _ in self.edges], [b for _, b in self.edges]
        links = csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(size, size))
        labels = connected_components(links, connection="weak")[1]
        first = {labels[i]: self.nodes[i] for i in reversed(range(inputs, size))}
        for process in first.values():
            config = Loihi2SimCfg(select_tag=_TAGS[self.spec["arithmetic"]])
            process.run(condition=RunSteps(num_steps=self.spec["total_steps"]), run_cfg=config)
            process.stop()


def end_group():
    """End this process and Lava's child processes, which outlive an error; then nothing waits for them."""
    sys.stderr.flush()
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGTERM)
    os._exit(1)


def end_with(parent):
    """End the group once `parent` is gone: a parent that is killed cannot end it."""
    while os.getppid() == parent:
        time.sleep(0.5)
    end_group()


def main(folder):
    threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
    with np.load(folder / "job.npz", allow_pickle=False) as stored:
        arrays = dict(stored)
    spec = json.loads(str(arrays.pop("spec")))
    Network(folder, spec, arrays).run()
    (folder / "done.json").write_text(json.dumps({"lava": version("lava-nc")}))


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except BaseException:
        traceback.print_exc()
        end_group()
