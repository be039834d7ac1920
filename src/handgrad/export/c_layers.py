"""Each layer as a C function with its sizes in it: float, or int8 with sums in int32.

The loops are ordered for the compiler's vectors: the innermost runs over output channels, whose
weights are neighbours, and no sum is reordered, so that plain ``-O3`` vectorises it. A convolution
of floats with eight filters or more is written in `c_conv`.
"""

from dataclasses import dataclass

from handgrad.arrays import Array
from handgrad.descriptions_base import Shape
from handgrad.export import c_text
from handgrad.export.c_activations import activated
from handgrad.export.c_conv import LANES, conv_of_vectors
from handgrad.export.c_plan import Op
from handgrad.export.c_text import fill, number
from handgrad.network import LeakyReLU, ReLU

_FILTERS = 16  # accumulators beside each other: two vectors of AVX2, four of SSE or NEON
_PIXELS = (4, 5, 6)


@dataclass(frozen=True)
class Kinds:
    """In which numbers an op reads and writes.

    Attributes
    ----------
    given, made : float or None
        The step between neighbouring int8 values; None where the numbers are floats.
    weights : float32 array, optional
        The same for the weights, an output channel each; None where they are floats.
    """

    given: float | None = None
    made: float | None = None
    weights: Array | None = None

    @property
    def types(self) -> dict[str, str]:
        """C's types of input, output, and sums."""
        as_type = {True: "float", False: "int8_t"}
        return {
            "T": as_type[self.given is None],
            "U": as_type[self.made is None],
            "ACC": "float" if self.given is None else "int32_t",
        }

    def load(self, expression: str) -> str:
        """Read a number as float."""
        if self.given is None:
            return expression
        return f"{number(self.given)} * (float){expression}"

    def store(self, expression: str) -> str:
        """Make of a float what is written."""
        if self.made is None:
            return expression
        return f"to_int8({number(1 / self.made)} * ({expression}))"


def needs_math(ops: list[Op]) -> bool:
    """Whether math.h is needed."""
    return any(
        op.kind == "layernorm" or not isinstance(op.activation, ReLU | LeakyReLU | None)
        for op in ops
    )


def by_vectors(op: Op, kinds: Kinds) -> bool:
    """Whether an op is written with the compiler's vectors (`c_conv.VECTORS`)."""
    return op.kind == "conv" and kinds.weights is None and op.shape_out[0] >= LANES


def function(op: Op, name: str, kinds: Kinds) -> str:
    """Write an op as a C function ``name(x, y)``, its arrays before it."""
    write = {
        "conv": _conv, "dense": _dense, "maxpool": _maxpool, "avgpool": _avgpool, "pad": _pad,
        "affine": _elementwise, "activation": _elementwise, "layernorm": _layernorm,
        "input": _reordered, "reorder": _reordered,
    }[op.kind]  # fmt: skip
    into, out = (" x ".join(map(str, shape)) for shape in (op.shape_in, op.shape_out))
    return f"/* {op.said}: {into} to {out} */\n" + write(op, name, kinds)


def _weights(op: Op, name: str, kinds: Kinds) -> str:
    """Write weights and bias; of int8, what a sum is multiplied with, too."""
    if kinds.weights is None:
        made = c_text.array(f"{name}_w", "float", op.arrays["w"])
    else:
        assert kinds.given is not None
        made = c_text.array(f"{name}_w", "int8_t", op.arrays["w"])
        made += c_text.array(f"{name}_m", "float", kinds.given * kinds.weights)
    return made + c_text.array(f"{name}_b", "float", op.arrays["b"]) + "\n"


def _sum_stored(op: Op, name: str, kinds: Kinds, total: str, index: str) -> str:
    """What is written of a sum of products: scaled, with its bias, activated."""
    if kinds.weights is not None:
        total = f"{name}_m[{index}] * (float){total} + {name}_b[{index}]"
    return kinds.store(activated(op.activation, total))


def _blocks(filters: int) -> int:
    """How many filters are summed at once."""
    if filters <= _FILTERS:
        return filters
    return next((b for b in range(_FILTERS, 7, -1) if filters % b == 0), _FILTERS)


def _conv(op: Op, name: str, kinds: Kinds) -> str:
    if by_vectors(op, kinds):
        return conv_of_vectors(op, name)
    (C, _, W), (F, OH, OW) = op.shape_in, op.shape_out
    assert isinstance(op.window, int)
    block = _blocks(F)
    pixels = min(min(_PIXELS, key=lambda p: (-(-OW // p) * p, p)), OW)
    sums = [f"a{p}" for p in range(pixels)]
    start = "0" if kinds.weights is not None else f"{name}_b[f + n]"
    lines = {
        "sums": ", ".join(f"{a}[{block}]" for a in sums),
        "starts": " = ".join(f"{a}[n]" for a in sums) + f" = {start};",
        "adds": _lines(16, [f"{a}[n] += row[t + {p * op.stride * C}] * w[n];"
                            for p, a in enumerate(sums)]).replace("[t + 0]", "[t]"),
        "stores": _lines(8, [
            f"o[n + {p * F}] = {_sum_stored(op, name, kinds, f'{a}[n]', 'f + n')};"
            for p, a in enumerate(sums)
        ]).replace("[n + 0]", "[n]"),
    }  # fmt: skip
    text = """
LEVELS static void $name(const $T *restrict x, $U *restrict y)
{
    for (int g = 0; g < $F; g += $B) {
        const int f = $f;
        for (int i = 0; i < $OH; i++) {
            for (int h = 0; h < $OW; h += $P) {
                const int j = $j;
                $ACC $sums;
                for (int n = 0; n < $B; n++)
                    $starts
                for (int k = 0; k < $K; k++) {
                    const $T *row = x + ((i * $S + k) * $W + j * $S) * $C;
                    const $WT *w = ${name}_w + k * $KCF + f;
                    for (int t = 0; t < $KC; t++, w += $F) {
                        for (int n = 0; n < $B; n++) {
                            $adds
                        }
                    }
                }
                $U *o = y + (i * $OW + j) * $F + f;
                for (int n = 0; n < $B; n++) {
                    $stores
                }
            }
        }
    }
}
"""
    return _weights(op, name, kinds) + fill(
        text, name=name, C=C, W=W, F=F, OH=OH, OW=OW, B=block, P=pixels, K=op.window,
        S=op.stride, KC=op.window * C, KCF=op.window * C * F,
        WT="float" if kinds.weights is None else "int8_t",
        # The last block reaches back over what is done already, where sizes do not divide.
        f="g" if F % block == 0 else f"g < {F - block} ? g : {F - block}",
        j="h" if OW % pixels == 0 else f"h < {OW - pixels} ? h : {OW - pixels}",
        **kinds.types, **lines,
    )  # fmt: skip


def _lines(indent: int, lines: list[str]) -> str:
    """Join lines of a block that is so many spaces beyond its first one's twelve."""
    return ("\n" + " " * (indent + 12)).join(lines)


def _dense(op: Op, name: str, kinds: Kinds) -> str:
    D, M = op.arrays["w"].shape if kinds.weights is None else op.arrays["w"].shape[::-1]
    if kinds.weights is not None:
        text = """
LEVELS static void $name(const int8_t *restrict x, $U *restrict y)
{
    for (int o = 0; o < $M; o++) {
        const int8_t *w = ${name}_w + o * $D;
        int32_t sum = 0;
        for (int i = 0; i < $D; i++)
            sum += x[i] * w[i];
        y[o] = $store;
    }
}
"""
        store = _sum_stored(op, name, kinds, "sum", "o")
        return _weights(op, name, kinds) + fill(
            text, name=name, D=D, M=M, store=store, **kinds.types
        )
    text = """
LEVELS static void $name(const float *restrict x, float *restrict y)
{
    const float *w[4];
    float v[4];
    int n = 0;
    for (int o = 0; o < $M; o++)
        y[o] = ${name}_b[o];
    for (int i = 0; i < $D; i++) {
        if (x[i] != 0.0f) { /* a row of weights that 0 multiplies need not be read */
            v[n] = x[i];
            w[n++] = ${name}_w + i * $M;
        }
        if (n == 4) {
            const float *w0 = w[0], *w1 = w[1], *w2 = w[2], *w3 = w[3];
            for (int o = 0; o < $M; o++)
                y[o] += v[0] * w0[o] + v[1] * w1[o] + v[2] * w2[o] + v[3] * w3[o];
            n = 0;
        }
    }
    while (n-- > 0)
        for (int o = 0; o < $M; o++)
            y[o] += v[n] * w[n][o];
$activation}
"""
    activation = ""
    if op.activation is not None:
        activation = f"    for (int o = 0; o < {M}; o++)\n"
        activation += f"        y[o] = {activated(op.activation, 'y[o]')};\n"
    return _weights(op, name, kinds) + fill(text, name=name, D=D, M=M, activation=activation)


def _maxpool(op: Op, name: str, kinds: Kinds) -> str:
    """The largest of each window; a NaN in it comes through, wherever it stands."""
    (C, _, W), (_, OH, OW) = op.shape_in, op.shape_out
    text = """
LEVELS static void $name(const $T *restrict x, $U *restrict y)
{
    for (int i = 0; i < $OH; i++) {
        for (int j = 0; j < $OW; j++, y += $C) {
            const $T *p = x + (i * $W + j) * $SC;
            for (int c = 0; c < $C; c++) {
                $U most = $first;
                for (int k = 0; k < $K; k++) {
                    for (int l = 0; l < $K; l++) {
                        const $U v = $value;
                        most = $larger;
                    }
                }
                y[c] = most;
            }
        }
    }
}
"""

    def read(place: str) -> str:
        # int8 stays as it is: the largest of a window is one of its numbers.
        return f"p[{place}]" if kinds.made is not None else kinds.load(f"p[{place}]")

    return fill(
        text, name=name, C=C, W=W, SC=op.stride * C, OH=OH, OW=OW, K=op.window, first=read("c"),
        value=read(f"(k * {W} + l) * {C} + c"),
        larger="v > most || v != v ? v : most" if kinds.given is None else "v > most ? v : most",
        **kinds.types,
    )  # fmt: skip


def _avgpool(op: Op, name: str, kinds: Kinds) -> str:
    C, _, W = op.shape_in
    KH, KW = (op.window, op.window) if isinstance(op.window, int) else op.window
    OH, OW = op.shape_out[1:] if len(op.shape_out) == 3 else (1, 1)
    text = """
LEVELS static void $name(const $T *restrict x, $U *restrict y)
{
    for (int i = 0; i < $OH; i++) {
        for (int j = 0; j < $OW; j++, y += $C) {
            for (int c = 0; c < $C; c++) {
                const $T *p = x + (i * $W + j) * $SC + c;
                $ACC sum = 0;
                for (int k = 0; k < $KH; k++)
                    for (int l = 0; l < $KW; l++)
                        sum += p[(k * $W + l) * $C];
                y[c] = $store;
            }
        }
    }
}
"""
    total = "sum" if kinds.given is None else f"{number(kinds.given)} * (float)sum"
    return fill(
        text, name=name, C=C, W=W, SC=op.stride * C, OH=OH, OW=OW, KH=KH, KW=KW,
        store=kinds.store(f"{total} / {float(KH * KW)}f"), **kinds.types,
    )  # fmt: skip


def _pad(op: Op, name: str, kinds: Kinds) -> str:
    C, H, W = op.shape_in
    assert isinstance(op.window, int)
    text = """
LEVELS static void $name(const $T *restrict x, $U *restrict y)
{
    for (int i = 0; i < $SIZE; i++)
        y[i] = 0;
    for (int i = 0; i < $H; i++)
        for (int j = 0; j < $WC; j++)
            y[(i + $P) * $PWC + $PC + j] = x[i * $WC + j];
}
"""
    return fill(
        text, name=name, H=H, WC=W * C, P=op.window, PC=op.window * C, PWC=op.shape_out[2] * C,
        SIZE=op.size_out, **kinds.types,
    )  # fmt: skip


def _elementwise(op: Op, name: str, kinds: Kinds) -> str:
    """An activation, or a scale and shift: of all numbers, of each channel, or of each number."""
    arrays, value = "", kinds.load("x[i]")
    if op.kind == "affine":
        w, b = op.arrays["w"], op.arrays["b"]
        if w.size == 1:
            value = f"{number(float(w[0]))} * ({value}) + {number(float(b[0]))}"
        else:
            arrays = c_text.array(f"{name}_w", "float", w) + c_text.array(f"{name}_b", "float", b)
            index = "i" if w.size == op.size_in else f"i % {w.size}"
            value = f"{name}_w[{index}] * ({value}) + {name}_b[{index}]"
    text = """
LEVELS static void $name(const $T *x, $U *y)
{
    for (int i = 0; i < $SIZE; i++)
        y[i] = $store;
}
"""
    store = kinds.store(activated(op.activation, value))
    return arrays + fill(text, name=name, SIZE=op.size_in, store=store, **kinds.types)


def _layernorm(op: Op, name: str, kinds: Kinds) -> str:
    """Mean and variance from the first number on: those of what is constant are then exact."""
    arrays = c_text.array(f"{name}_g", "float", op.arrays["gamma"])
    arrays += c_text.array(f"{name}_b", "float", op.arrays["beta"])
    text = """
LEVELS static void $name(const $T *x, $U *y)
{
    const float first = $first;
    double sum = 0.0, squares = 0.0;
    for (int i = 0; i < $SIZE; i++)
        sum += (double)($value - first);
    const float mean = (float)(sum / $SIZE);
    for (int i = 0; i < $SIZE; i++) {
        const float d = $value - first - mean;
        squares += (double)(d * d);
    }
    const float inverse = 1.0f / sqrtf((float)(squares / $SIZE) + $eps);
    for (int i = 0; i < $SIZE; i++)
        y[i] = $store;
}
"""
    value = kinds.load("x[i]")
    result = f"({value} - first - mean) * inverse * {name}_g[i] + {name}_b[i]"
    return arrays + fill(
        text, name=name, SIZE=op.size_in, value=value, first=kinds.load("x[0]"),
        eps=number(float(op.arrays["eps"])),
        store=kinds.store(activated(op.activation, result)), **kinds.types,
    )  # fmt: skip


def _reordered(op: Op, name: str, kinds: Kinds) -> str:
    """Copy the input or the output, from channels first to channels last or back."""
    text = """
LEVELS static void $name(const $T *restrict x, $U *restrict y)
{
    for (int p = 0; p < $PIXELS; p++)
        for (int c = 0; c < $C; c++)
            y[$to] = $store;
}
"""
    image: Shape = op.shape_in if len(op.shape_in) == 3 else (1, 1, op.shape_in[0])
    C, pixels = image[0], image[1] * image[2]
    first, last = f"c * {pixels} + p", f"p * {C} + c"
    to, source = (last, first) if op.kind == "input" else (first, last)
    value = kinds.load(f"x[{source}]")
    if op.kind == "input" and "w" in op.arrays:
        value = f"{name}_w[c] * {value} + {name}_b[c]"
        arrays = c_text.array(f"{name}_w", "float", op.arrays["w"])
        arrays += c_text.array(f"{name}_b", "float", op.arrays["b"])
    else:
        arrays = ""
    return arrays + fill(
        text, name=name, PIXELS=pixels, C=C, to=to, store=kinds.store(value), **kinds.types
    )
