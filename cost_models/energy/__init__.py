"""What a run costs: one file a model, found by the `model` key of the device."""
