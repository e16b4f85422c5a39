"""Models of others as ONNX files: a folder with `model.onnx` and `model.yaml`, run in a process of its own."""
