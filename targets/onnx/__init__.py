"""The ONNX target."""

import os

# onnxruntime sends usage data from its import on; this package uses no network. A choice made before stands.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
