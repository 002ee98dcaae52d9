"""Stage 2: samples are batched across cameras and classified by ONNX models."""
