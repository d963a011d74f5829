"""A tiny ONNX model, written without the onnx package: protobuf's wire format by hand."""

from __future__ import annotations


def mean_over_time(n_mels: int) -> bytes:
    """A model from `(1, n_frames, n_mels)` to the mean over frames, `(1, n_mels)`. Field numbers are onnx.proto's."""
    axes = _text(1, "axes") + _number(8, 1) + _number(20, 7)  # ints: [1], type INTS
    keep = _text(1, "keepdims") + _number(3, 0) + _number(20, 2)  # i: 0, type INT
    node = _text(1, "feats") + _text(2, "embs") + _text(4, "ReduceMean") + _message(5, axes) + _message(5, keep)
    inputs, outputs = _value("feats", (1, "frames", n_mels)), _value("embs", (1, n_mels))
    graph = _message(1, node) + _text(2, "mean") + _message(11, inputs) + _message(12, outputs)
    return _number(1, 8) + _message(7, graph) + _message(8, _number(2, 13))  # IR 8, opset 13


def _value(name: str, shape: tuple[int | str, ...]) -> bytes:
    """A ValueInfoProto of float32."""
    sizes = (_number(1, size) if isinstance(size, int) else _text(2, size) for size in shape)
    dimensions = b"".join(_message(1, size) for size in sizes)
    return _text(1, name) + _message(2, _message(1, _number(1, 1) + _message(2, dimensions)))


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    return bytes([*encoded, number])


def _number(field: int, number: int) -> bytes:
    return _varint(field << 3) + _varint(number)


def _message(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _text(field: int, text: str) -> bytes:
    return _message(field, text.encode())
