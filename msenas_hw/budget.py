"""What a network may cost: section `[budget]` of a configuration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

DEVICE_RESOURCES = ("energy_j", "latency_s", "cores", "memory")
RESOURCES = (*DEVICE_RESOURCES, "parameters", "synops")


class DeviceBudget(BaseModel):
    """Section `[budget.devices.NAME]`: a further device that the same architecture must satisfy.

    Attributes:
        chip: device whose limits the network must fit; by default the chip of NAME, where it has one.
        energy_j, latency_s, cores, memory: limits on this device, as in `[budget]`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    chip: str | None = None
    energy_j: float | None = Field(default=None, gt=0)
    latency_s: float | None = Field(default=None, gt=0)
    cores: int | None = Field(default=None, ge=1)
    memory: int | None = Field(default=None, ge=1)

    @property
    def limits(self) -> dict[str, float]:
        """The limits that are set, by resource."""
        return _set_limits(self, DEVICE_RESOURCES)


class BudgetConfig(BaseModel):
    """Section `[budget]`: the chip, and what a sample may cost on it. A limit left out does not bind.

    Attributes:
        device: cost model of energy and latency; the objectives are its figures.
        chip: device whose limits the network must fit; by default the chip of `device`.
        devices: further devices that the same architecture must satisfy, each with its own limits. A list of
            names gives them none but their chips'; where `device` is left out, the first of them is `device`.
        models: further cost models of energy, measured beside `device`.
        robust: whether the front keeps only networks that no other dominates under any of the models.
        energy_j: joules a sample.
        latency_s: seconds a sample.
        cores: neuron cores.
        memory: synapse memory, in the chip's words.
        parameters: stored weights and biases.
        synops: synaptic operations a sample.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    device: str = "loihi1-sanafe"
    chip: str | None = None
    devices: dict[str, DeviceBudget] = Field(default_factory=dict)
    models: tuple[str, ...] = ()
    robust: bool = False
    energy_j: float | None = Field(default=None, gt=0)
    latency_s: float | None = Field(default=None, gt=0)
    cores: int | None = Field(default=None, ge=1)
    memory: int | None = Field(default=None, ge=1)
    parameters: int | None = Field(default=None, ge=1)
    synops: float | None = Field(default=None, gt=0)

    @model_validator(mode="before")
    @classmethod
    def _first_device(cls, values: Any) -> Any:
        """Names become tables without limits; the first device becomes `device` where none is named."""
        found = values.get("devices") if isinstance(values, dict) else None
        if isinstance(found, list | tuple) and all(isinstance(name, str) for name in found):
            if len(set(found)) != len(found):
                raise ValueError(f"devices: found {found}, allowed each device once")
            found = {name: {} for name in found if name != values.get("device")}
        if not isinstance(found, dict) or not found:
            return values
        if "device" in values:
            return {**values, "devices": found}
        first, *others = found
        own = found[first] if isinstance(found[first], dict) else {}
        return {**own, **values, "device": first, "devices": {name: found[name] for name in others}}

    @model_validator(mode="after")
    def _something_to_compare(self) -> BudgetConfig:
        if self.robust and not self.models:
            raise ValueError("robust: needs budget.models, the cost models to compare with budget.device")
        if self.device in self.models or len(set(self.models)) != len(self.models):
            raise ValueError(f"models: found {self.models}, allowed each once and not {self.device!r} again")
        if self.device in self.devices:
            raise ValueError(f"devices: found {self.device!r} again, whose limits stand in [budget] itself")
        return self

    @property
    def fits_on(self) -> str:
        """Name of the device whose limits bind."""
        return self.chip or self.device

    @property
    def limits(self) -> dict[str, float]:
        """The limits that are set, by resource."""
        return _set_limits(self, RESOURCES)


def _set_limits(section: BaseModel, keys: Sequence[str]) -> dict[str, float]:
    return {key: float(value) for key in keys if (value := getattr(section, key)) is not None}
