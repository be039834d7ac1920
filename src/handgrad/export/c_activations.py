"""The activations as C functions of one float."""

from handgrad.export.c_plan import Op
from handgrad.export.c_text import fill, number
from handgrad.network import GELU, Layer, LeakyReLU, ReLU, Sigmoid, SiLU, Tanh

_ACTIVATIONS: dict[type, tuple[str, str]] = {
    ReLU: ("relu", "return v < 0.0f ? 0.0f : v;"),
    LeakyReLU: ("leaky_relu", "return v < 0.0f ? slope * v : v;"),
    Sigmoid: ("sigmoid", "return 1.0f / (1.0f + expf(-v));"),
    Tanh: ("tanhf", ""),
    # Far to the left they are 0 to the last bit; -inf * 0 would be no number.
    SiLU: ("silu", "v = v < -1000.0f ? -1000.0f : v;\n    return v / (1.0f + expf(-v));"),
}
_GELU = "v = v < -40.0f ? -40.0f : v;\n    return 0.5f * v * erfcf(-0.70710678f * v);"
_GELU_TANH = (
    "v = v < -40.0f ? -40.0f : v;\n"
    "    return v / (1.0f + expf(-1.5957691f * (v + 0.044715f * v * v * v)));"
)


def activated(layer: Layer | None, expression: str) -> str:
    """Apply an activation to a float."""
    if layer is None:
        return expression
    if isinstance(layer, GELU):
        return f"{'gelu_tanh' if layer.approximate else 'gelu'}({expression})"
    name = _ACTIVATIONS[type(layer)][0]
    also = f", {number(layer.slope)}" if isinstance(layer, LeakyReLU) else ""
    return f"{name}({expression}{also})"


def activation_functions(ops: list[Op]) -> str:
    """Write the activations that the ops use."""
    bodies = {}
    for layer in (op.activation for op in ops):
        if isinstance(layer, GELU):
            bodies["gelu_tanh" if layer.approximate else "gelu"] = (
                _GELU_TANH if layer.approximate else _GELU
            )
        elif layer is not None and not isinstance(layer, Tanh):
            name, body = _ACTIVATIONS[type(layer)]
            bodies[name] = body
    return "\n".join(
        fill(
            "static inline float $name(float v$also)\n{\n    $body\n}",
            name=name,
            body=body,
            also=", float slope" if name == "leaky_relu" else "",
        )
        for name, body in sorted(bodies.items())
    )
