"""A trained model outside handgrad: as an ONNX file, a PyTorch module, or C source."""
