"""Lava's LIF neurons behind a window gate.

The equations are Intel's: `subthr_dynamics`, `spiking_activation` and `reset_voltage` of Lava's own
LIF models. What is ours: the window [offset, offset + steps) of each period, outside of which state
is zero and nothing is sent; biases that depend on the step of the window; recording to .npy files
on disk; and the soft reset, which no neuron of Lava has.
"""

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.variable import Var
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from lava.proc.lif.models import PyLifModelBitAcc, PyLifModelFloat
from lava.proc.lif.process import LIF


class GatedLIF(LIF):
    """LIF that lives in a window of each period.

    Parameters
    ----------
    shape : tuple(int)
    window : dict(offset, steps, period, samples)
    files : dict(name -> path of a .npy file [samples * steps, neurons]) for "s", "u", "v"
    tables : dict; fixed point: "bias_u", "bias_v" [K, neurons]; floating point: "bias" [K, neurons],
        "gain", "reset" [neurons]. Row K - 1 holds from step K - 1 of the window on.
    subtract : bool, a spike takes the threshold off the membrane
    """

    def __init__(self, *, shape, window, files, tables, subtract, **parameters):
        super().__init__(
            shape=shape, window=window, files=files, tables=tables, subtract=subtract, **parameters
        )


class GatedNeuronwiseLIF(GatedLIF):
    """GatedLIF whose decays and threshold are one value a neuron."""

    def __init__(self, *, shape, du, dv, vth, **parameters):
        super().__init__(shape=shape, **parameters)
        self.du = Var(shape=shape, init=du)
        self.dv = Var(shape=shape, init=dv)
        self.vth = Var(shape=shape, init=vth)


class GatedLI(GatedNeuronwiseLIF):
    """Leaky integrator: a GatedNeuronwiseLIF without threshold, which sends its membrane."""


class Gate:
    """Mixed into a LIF model of Lava: calls its equations inside the window only."""

    # Lava's decorator refuses a model whose parent implements another Process.
    implements_process = None

    def __init__(self, proc_params):
        super().__init__(proc_params)
        self.window = proc_params["window"]
        self.tables = proc_params["tables"]
        self.subtract = proc_params["subtract"]
        self.records = {name: np.load(path, mmap_mode="r+") for name, path in proc_params["files"].items()}

    def run_spk(self):
        received = self.a_in.recv()
        since = self.time_step - 1 - self.window["offset"]
        sample, step = divmod(since, self.window["period"])
        if since < 0 or step >= self.window["steps"] or sample >= self.window["samples"]:
            self.u[:] = 0
            self.v[:] = 0
            self.s_out.send(np.zeros(self.v.shape, self.s_out._d_type))
            return
        self.integrate(received, step)
        self.s_out_buff = self.spiking_activation()
        self.reset_voltage(spike_vector=self.s_out_buff)
        values = {"s": self.s_out_buff, "u": self.u, "v": self.v}
        for name, record in self.records.items():
            record[sample * self.window["steps"] + step] = values[name]
        self.s_out.send(self.message())

    def message(self):
        """What the axon carries in this step."""
        return self.s_out_buff

    def row(self, name, step):
        """The row of a table that holds in `step` of the window."""
        table = self.tables[name]
        return table[min(step, len(table) - 1)]


@implements(proc=GatedLIF, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyGatedLIFFixed(Gate, PyLifModelBitAcc):
    """Lava's bit-accurate LIF behind the gate."""

    def integrate(self, received, step):
        if not self.isthrscaled:
            self.scale_threshold()
        self.effective_bias = self.row("bias_v", step)
        self.subthr_dynamics(activation_in=received + self.row("bias_u", step))

    def reset_voltage(self, spike_vector):
        if self.subtract:
            self.v[spike_vector] -= self.effective_vth
        else:
            super().reset_voltage(spike_vector)


class GatedFloat(Gate, PyLifModelFloat):
    """Lava's floating-point LIF behind the gate, with a reset value other than zero."""

    du: np.ndarray = LavaPyType(np.ndarray, float)
    dv: np.ndarray = LavaPyType(np.ndarray, float)
    vth: np.ndarray = LavaPyType(np.ndarray, float)

    def integrate(self, received, step):
        self.subthr_dynamics(activation_in=self.tables["gain"] * (received + self.row("bias", step)))

    def reset_voltage(self, spike_vector):
        if self.subtract:
            self.v[spike_vector] -= self.vth[spike_vector]
        else:
            self.v[spike_vector] = self.tables["reset"][spike_vector]


@implements(proc=GatedNeuronwiseLIF, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PyGatedLIFFloat(GatedFloat):
    """Spiking population in float64."""


@implements(proc=GatedLI, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PyGatedLIFloat(GatedFloat):
    """Leaky integrator in float64: never fires, sends v."""

    def message(self):
        return self.v
