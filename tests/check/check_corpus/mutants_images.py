"""Mistakes in convolution and pooling."""

from check_corpus.mutants import Plant

conv = Plant("conv", "layers.py")
pool = Plant("pool", "layers.py")

OUT = "np.tensordot(windows, w, axes=((1, 4, 5), (1, 2, 3)))"
DW = "np.tensordot(dout, windows, axes=((0, 2, 3), (0, 2, 3)))"
TAP = "w[:, :, i, j]"
ADD = "dx[:, :, i : i + OH, j : j + OW] += part.transpose(0, 3, 1, 2)\n"
LOOP = (
    "    dx = np.zeros_like(x)\n"
    "    for i in range(HH):\n"
    "        for j in range(WW):\n"
    f"            part = np.tensordot(dout, {TAP}, axes=(1, 0))  # (N, OH, OW, C)\n"
    f"            {ADD}"
)
CROPPED = (
    LOOP.replace(
        "np.zeros_like(x)",
        "np.pad(np.zeros_like(x), ((0, 0), (0, 0), (HH - 1, HH - 1), (WW - 1, WW - 1)))",
    )
    .replace("i : i + OH", "HH - 1 + i : HH - 1 + i + OH")
    .replace("j : j + OW", "WW - 1 + j : WW - 1 + j + OW")
)

CONV = [
    conv(
        "conv-flipped",
        "flips the filters (a true convolution)",
        OUT,
        OUT.replace("w,", "w[:, :, ::-1, ::-1],"),
        "kernel-flipped",
        "other-convention",
        also=("kernel-not-flipped",),
    ),
    conv(
        "conv-dx-kernel",
        "dx takes the filters the other way round",
        TAP,
        "w[:, :, HH - 1 - i, WW - 1 - j]",
        "kernel-flipped",
        "kernel-not-flipped",
    ),
    conv(
        "conv-dw-flipped",
        "dw is flipped",
        "return dx, dw\n\n\ndef filter",
        "return dx, dw[:, :, ::-1, ::-1]\n\n\ndef filter",
        "kernel-flipped",
    ),
    conv(
        "conv-dx-shifted",
        "dx is shifted by a pixel: the padding is one too large",
        LOOP,
        LOOP
        + "    shifted = np.zeros_like(dx)\n"
        + "    shifted[:, :, 1:, 1:] = dx[:, :, :-1, :-1]\n"
        + "    dx = shifted\n",
        "padding-off-by-one",
    ),
    conv(
        "conv-dx-borders",
        "dx only where a whole filter fits",
        LOOP,
        LOOP
        + "    inner = np.zeros_like(dx)\n"
        + "    inner[:, :, HH - 1 : OH, WW - 1 : OW] = dx[:, :, HH - 1 : OH, WW - 1 : OW]\n"
        + "    dx = inner\n",
        "borders-wrong",
    ),
    conv(
        "conv-dx-no-channels-sum",
        "dx of the first filter alone",
        f"np.tensordot(dout, {TAP}",
        "np.tensordot(dout[:, :1], w[:1, :, i, j]",
        "only-f1",
    ),
    conv(
        "conv-one-channel",
        "the first channel alone",
        OUT,
        OUT.replace("windows, w,", "windows[:, :1], w[:, :1],"),
        "only-c1",
    ),
    conv(
        "conv-channels-averaged",
        "the channels are averaged",
        OUT,
        OUT + " / x.shape[1]",
        "only-c1",
        "averaged-not-summed",
    ),
    conv(
        "conv-dw-one-example",
        "dw of the last example alone",
        DW,
        DW.replace("dout, windows", "dout[-1:], windows[-1:]"),
        "only-n1",
        "not-summed",
    ),
    conv(
        "conv-dw-one-channel",
        "dw of the first channel, for all channels",
        DW,
        DW.replace("windows,", "windows[:, :1] + 0 * windows,"),
        "only-c1",
    ),
    conv(
        "conv-dw-over-n",
        "dw is averaged over the examples",
        DW,
        DW + " / x.shape[0]",
        "factor-one-over-n",
        "averaged-not-summed",
    ),
    conv(
        "conv-dw-upstream",
        "dw ignores dout",
        DW,
        DW.replace("dout,", "np.ones_like(dout),"),
        "upstream-ignored",
    ),
    conv("conv-dx-sign", "dx has a minus", "] += part", "] -= part", "sign"),
    conv(
        "conv-dx-last-tap", "dx keeps the last tap alone", "] += part", "] = part", "overlap-lost"
    ),
    conv(
        "conv-even-filters",
        "the output size is right for odd filters",
        "    return out.transpose(0, 3, 1, 2), (x, w)\n",
        "    H, W = x.shape[2:]\n"
        "    result = np.zeros((x.shape[0], w.shape[0], H - 2 * (HH // 2), W - 2 * (WW // 2)))\n"
        "    result[...] = out.transpose(0, 3, 1, 2)\n"
        "    return result.astype(x.dtype), (x, w)\n",
        "even-filter-fails",
    ),
    conv(
        "conv-1x1-filters",
        "crops a padding of 0 with [0:-0], which leaves nothing",
        LOOP,
        CROPPED + "    dx = dx[:, :, HH - 1 : 1 - HH, WW - 1 : 1 - WW]\n",
        "1x1-filter-fails",
    ),
    conv(
        "conv-square-filters",
        "takes the height of a filter for its width",
        "    for i in range(HH):\n        for j in range(WW):\n            part",
        "    for i in range(HH):\n        for j in range(HH):\n            part",
        "only-square",
    ),
    conv(
        "conv-out-transposed",
        "height and width of the output change places",
        "    return out.transpose(0, 3, 1, 2), (x, w)\n",
        "    return out.transpose(0, 3, 2, 1), (x, w)\n",
        "transposed",
    ),
    conv(
        "conv-w-modified",
        "backward flips the filters in place",
        LOOP,
        "    w[...] = w[:, :, ::-1, ::-1].copy()\n"
        + LOOP.replace(TAP, "w[:, :, HH - 1 - i, WW - 1 - j]"),
        "argument-modified",
        also=("cache-modified",),
    ),
    conv(
        "full-not-flipped",
        "*full without the flip",
        "b[::-1, ::-1]",
        "b",
        "kernel-not-flipped",
    ),
    conv(
        "valid-flipped",
        "*filt with a flip",
        "b[None, None])\n    return out[0, 0]",
        "b[None, None, ::-1, ::-1])\n    return out[0, 0]",
        "kernel-flipped",
        also=("kernel-not-flipped",),
    ),
    conv(
        "full-padding",
        "*full pads by one pixel too many",
        "((HH - 1, HH - 1), (WW - 1, WW - 1))",
        "((HH, HH), (WW, WW))",
        "padding-off-by-one",
        "wrong-shape",
    ),
]

PAY = "            dx[n, c, i * s + k // pw, j * s + k % pw] += dout[:, :, i, j]\n"
WINNER = "            k = winner[:, :, i, j]\n"
FIRST = "            winner[:, :, i, j] = window.argmax(axis=2)\n"
SIZE = "OH, OW = 1 + (H - ph) // s, 1 + (W - pw) // s"
START = "    dx = np.zeros_like(x)\n    n, c"
SHARE = (
    '            rows = slice(i * s, i * s + pool_param["pool_height"])\n'
    "            cols = slice(j * s, j * s + pw)\n"
    "            window = x[:, :, rows, cols]\n"
    "            largest = window == window.max(axis=(2, 3), keepdims=True)\n"
    "            dx[:, :, rows, cols] += largest * dout[:, :, i, j][:, :, None, None]\n"
)

POOL = [
    pool("pool-ties-paid", "every tied pixel is paid", WINNER + PAY, SHARE, "ties-paid-twice"),
    pool(
        "pool-ties-shared",
        "tied pixels share the gradient",
        WINNER + PAY,
        SHARE.replace(
            "            dx[",
            "            largest = largest / largest.sum(axis=(2, 3), keepdims=True)\n"
            "            dx[",
        ),
        "ties-wrong",
    ),
    pool(
        "pool-last-tie",
        "the last of tied pixels is paid",
        FIRST,
        "            winner[:, :, i, j] = ph * pw - 1 - window[:, :, ::-1].argmax(axis=2)\n",
        "ties-wrong",
    ),
    pool(
        "pool-overlap", "overlapping windows overwrite", "] += dout[", "] = dout[", "overlap-lost"
    ),
    pool(
        "pool-border-lost",
        "dx is cut to what the windows cover",
        "    return dx\n\n\ndef logistic",
        '    OH, OW, ph = *dout.shape[2:], pool_param["pool_height"]\n'
        "    return dx[:, :, : (OH - 1) * s + ph, : (OW - 1) * s + pw]\n\n\ndef logistic",
        "uncovered-border-lost",
        "wrong-shape",
    ),
    pool(
        "pool-border-counted",
        "the output counts windows that are cut off at the border",
        SIZE,
        "OH, OW = -((ph - H) // s) + 1, -((pw - W) // s) + 1",
        "uncovered-border-lost",
        "wrong-shape",
    ),
    pool(
        "pool-stride",
        "takes the window's height for the stride",
        'pool_param["pool_width"], pool_param["stride"]\n    N, C',
        'pool_param["pool_width"], pool_param["pool_height"]\n    N, C',
        "stride-ignored",
        "wrong-shape",
    ),
    pool(
        "pool-square",
        "takes the height of a window for its width in finding the pixel",
        '    pw, s = pool_param["pool_width"], pool_param["stride"]\n    dx',
        '    pw, s = pool_param["pool_height"], pool_param["stride"]\n    dx',
        "only-square",
    ),
    pool(
        "pool-integers",
        "writes into an array of integers",
        "out = np.zeros((N, C, OH, OW), dtype=x.dtype)",
        "out = np.zeros((N, C, OH, OW), dtype=int)",
        "integer-division",
    ),
    pool("pool-upstream", "ignores dout", "] += dout[:, :, i, j]", "] += 1", "upstream-ignored"),
    pool(
        "pool-all-pixels",
        "pays every pixel of the window",
        WINNER + PAY,
        SHARE.replace("== window.max", "<= window.max"),
        "missing-mask",
    ),
    pool(
        "pool-float32",
        "pools in float32",
        "out = np.zeros((N, C, OH, OW), dtype=x.dtype)",
        "out = np.zeros((N, C, OH, OW), dtype=np.float32)",
        "float32-forced",
    ),
    pool(
        "pool-float64",
        "float32 becomes float64",
        START,
        START.replace("np.zeros_like(x)", "np.zeros(x.shape)"),
        "dtype-not-kept",
    ),
]
