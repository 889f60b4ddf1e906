"""The code that runs on a GPU, in Triton; `gpu.py` calls it, and says when.

All tensors are channels last: a pixel's channels lie side by side. A program works on a chunk of
pixels of all images, and on a block of channels, tile by tile. Sums over pixels are written per
chunk and added up by another program in a fixed order, so that equal calls give equal bits.

Numbers are read and written in the type of their tensors, and computed in float32. Moments are
those of Chan, Golub and LeVeque (1983): every chunk has its own mean, and squares are summed around
a value near it, so that nothing cancels.
"""

import triton
import triton.language as tl

# Sizes that differ from layer to layer would each be compiled anew.
jit = triton.jit(
    do_not_specialize=[
        *("height", "width", "out_height", "out_width", "total"),
        *("dilation", "chunk", "chunks"),
    ]
)


@triton.jit
def _tile(pid, step, chunk, total, lanes, PIXELS: tl.constexpr):
    """The pixels of a tile of a chunk, and which of them exist."""
    offset = step * PIXELS + lanes
    pixels = pid * chunk + offset
    return pixels, (offset < chunk) & (pixels < total)


@jit
def depthwise(
    x, weight, z, moments,
    height, width, channels, out_height, out_width, total, stride, dilation, chunk,
    STEPS: tl.constexpr, SIDE: tl.constexpr, PIXELS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Depthwise convolution with "same" padding, and the moments of its output per chunk.

    Args:
        x: [N, H, W, C].
        weight: [C, SIDE * SIDE].
        z: [N, H', W', C], written.
        moments: mean, and sum of squared deviations from it, [chunks, 2, C], written.
        height, width, channels: H, W and C.
        out_height, out_width: H' and W'.
        total: N * H' * W'.
        stride, dilation: of the convolution.
        chunk: pixels of a chunk.
        STEPS: tiles of a chunk.
        SIDE: of the filter.
        PIXELS, CHANNELS: of a tile.
    """
    pid = tl.program_id(0)
    own = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    there = own < channels
    lanes = tl.arange(0, PIXELS)
    padding = dilation * (SIDE - 1) // 2
    around = tl.zeros([CHANNELS], tl.float32)
    first = tl.zeros([PIXELS, CHANNELS], tl.float32)
    second = tl.zeros([PIXELS, CHANNELS], tl.float32)
    for step in range(STEPS):
        pixels, inside = _tile(pid, step, chunk, total, lanes, PIXELS)
        column = pixels % out_width
        rest = pixels // out_width
        row = (rest % out_height) * stride - padding
        image = rest // out_height
        column = column * stride - padding
        found = tl.zeros([PIXELS, CHANNELS], tl.float32)
        for i in tl.static_range(SIDE):
            for j in tl.static_range(SIDE):
                y = row + i * dilation
                u = column + j * dilation
                seen = inside & (y >= 0) & (y < height) & (u >= 0) & (u < width)
                place = ((image * height + y) * width + u) * channels
                value = tl.load(
                    x + place[:, None] + own[None, :], seen[:, None] & there[None, :], 0.0
                )
                factor = tl.load(weight + own * (SIDE * SIDE) + (i * SIDE + j), there, 0.0)
                found += value.to(tl.float32) * factor.to(tl.float32)[None, :]
        # What is read later is what the moments are of: rounded as z is.
        rounded = found.to(z.dtype.element_ty)
        kept = inside[:, None] & there[None, :]
        tl.store(z + pixels[:, None] * channels + own[None, :], rounded, kept)
        value = rounded.to(tl.float32)
        if step == 0:
            count = tl.sum(inside.to(tl.float32), 0)
            around = tl.sum(tl.where(kept, value, 0.0), 0) / tl.maximum(count, 1.0)
        deviation = tl.where(kept, value - around[None, :], 0.0)
        first += deviation
        second += deviation * deviation
    _write_moments(moments, pid, own, there, channels, around, first, second, chunk, total)


@triton.jit
def _write_moments(moments, pid, own, there, channels, around, first, second, chunk, total):
    count = tl.minimum(chunk, total - pid * chunk).to(tl.float32)
    sums, squares = tl.sum(first, 0), tl.sum(second, 0)
    place = moments + pid * 2 * channels + own
    tl.store(place, around + sums / count, there)
    tl.store(place + channels, squares - sums * sums / count, there)


@jit
def measure(
    z, moments, channels, total, chunk,
    STEPS: tl.constexpr, PIXELS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """The moments of z [total, C] per chunk; see `depthwise`."""
    pid = tl.program_id(0)
    own = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    there = own < channels
    lanes = tl.arange(0, PIXELS)
    around = tl.zeros([CHANNELS], tl.float32)
    first = tl.zeros([PIXELS, CHANNELS], tl.float32)
    second = tl.zeros([PIXELS, CHANNELS], tl.float32)
    for step in range(STEPS):
        pixels, inside = _tile(pid, step, chunk, total, lanes, PIXELS)
        kept = inside[:, None] & there[None, :]
        value = tl.load(z + pixels[:, None] * channels + own[None, :], kept, 0.0).to(tl.float32)
        if step == 0:
            count = tl.sum(inside.to(tl.float32), 0)
            around = tl.sum(value, 0) / tl.maximum(count, 1.0)
        deviation = tl.where(kept, value - around[None, :], 0.0)
        first += deviation
        second += deviation * deviation
    _write_moments(moments, pid, own, there, channels, around, first, second, chunk, total)


@jit
def coefficients(
    moments, weight, bias, running_mean, running_var, found,
    channels, total, chunk, chunks, eps, momentum,
    STEPS: tl.constexpr, TRACKS: tl.constexpr, CHUNKS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Joins moments to what batch normalisation does: scale, shift, mean, inverse deviation.

    Args:
        moments: [chunks, 2, C].
        weight, bias: of the normalisation, [C].
        running_mean, running_var: [C], moved by `momentum` if TRACKS.
        found: [4, C], written.
        channels, total, chunk, chunks: C, pixels, pixels of a chunk, and number of chunks.
        eps: added to the variance.
        momentum: share of this batch.
        STEPS: tiles of all chunks.
        TRACKS: whether there are running statistics.
        CHUNKS, CHANNELS: of a tile.
    """
    own = tl.program_id(0) * CHANNELS + tl.arange(0, CHANNELS)
    there = own < channels
    lanes = tl.arange(0, CHUNKS)
    # Means around the first chunk's, so that nothing cancels.
    around = tl.load(moments + own, there, 0.0)
    sums = tl.zeros([CHANNELS], tl.float32)
    squares = tl.zeros([CHANNELS], tl.float32)
    for step in range(STEPS):
        index = step * CHUNKS + lanes
        kept = (index < chunks)[:, None] & there[None, :]
        place = moments + index[:, None] * (2 * channels) + own[None, :]
        mean = tl.load(place, kept, 0.0)
        within = tl.load(place + channels, kept, 0.0)
        count = tl.minimum(chunk, total - index * chunk).to(tl.float32)[:, None]
        deviation = tl.where(kept, mean - around[None, :], 0.0)
        sums += tl.sum(tl.where(kept, deviation * count, 0.0), 0)
        squares += tl.sum(within + tl.where(kept, deviation * deviation * count, 0.0), 0)
    pixels = total.to(tl.float32)
    mean = around + sums / pixels
    squares = squares - sums * sums / pixels
    variance = tl.maximum(squares / pixels, 0.0)
    inverse = 1.0 / tl.sqrt(variance + eps)
    scale = tl.load(weight + own, there, 0.0) * inverse
    shift = tl.load(bias + own, there, 0.0) - mean * scale
    tl.store(found + own, scale, there)
    tl.store(found + channels + own, shift, there)
    tl.store(found + 2 * channels + own, mean, there)
    tl.store(found + 3 * channels + own, inverse, there)
    if TRACKS:
        before = tl.load(running_mean + own, there, 0.0)
        tl.store(running_mean + own, before + momentum * (mean - before), there)
        before = tl.load(running_var + own, there, 0.0)
        unbiased = squares / tl.maximum(pixels - 1.0, 1.0)
        tl.store(running_var + own, before + momentum * (unbiased - before), there)


@jit
def normalise(
    z, factors, y, channels, total,
    ACTIVATES: tl.constexpr, PIXELS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """y [total, C] = z * scale + shift, and ReLU6 if ACTIVATES; factors [4, C]."""
    pixels = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    own = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    there = own < channels
    kept = (pixels < total)[:, None] & there[None, :]
    place = pixels[:, None] * channels + own[None, :]
    scale = tl.load(factors + own, there, 0.0)
    shift = tl.load(factors + channels + own, there, 0.0)
    value = tl.load(z + place, kept, 0.0).to(tl.float32) * scale[None, :] + shift[None, :]
    if ACTIVATES:
        value = tl.minimum(tl.maximum(value, 0.0), 6.0)
    tl.store(y + place, value.to(y.dtype.element_ty), kept)


@triton.jit
def _factors(factors, own, there, channels):
    """Scale, shift, mean and inverse deviation of the channels of a tile."""
    scale = tl.load(factors + own, there, 0.0)
    shift = tl.load(factors + channels + own, there, 0.0)
    mean = tl.load(factors + 2 * channels + own, there, 0.0)
    inverse = tl.load(factors + 3 * channels + own, there, 0.0)
    return scale, shift, mean, inverse


@triton.jit
def _through(gradient, z, scale, shift, ACTIVATES: tl.constexpr):
    """The gradient before ReLU6, which lets it pass strictly between 0 and 6."""
    if ACTIVATES:
        value = z * scale[None, :] + shift[None, :]
        gradient = tl.where((value > 0.0) & (value < 6.0), gradient, 0.0)
    return gradient


@jit
def sum_slopes(
    gradient, z, factors, sums, channels, total, chunk,
    STEPS: tl.constexpr, ACTIVATES: tl.constexpr, PIXELS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Per chunk, sums of the gradient g through ReLU6, and of g times the normalised z.

    Args:
        gradient: dL/dy, [total, C].
        z: [total, C].
        factors: of the normalisation, [4, C].
        sums: [chunks, 2, C], written.
        channels, total, chunk: C, pixels, pixels of a chunk.
        STEPS: tiles of a chunk.
        ACTIVATES: whether ReLU6 follows.
        PIXELS, CHANNELS: of a tile.
    """
    pid = tl.program_id(0)
    own = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    there = own < channels
    lanes = tl.arange(0, PIXELS)
    scale, shift, mean, inverse = _factors(factors, own, there, channels)
    first = tl.zeros([PIXELS, CHANNELS], tl.float32)
    second = tl.zeros([PIXELS, CHANNELS], tl.float32)
    for step in range(STEPS):
        pixels, inside = _tile(pid, step, chunk, total, lanes, PIXELS)
        kept = inside[:, None] & there[None, :]
        place = pixels[:, None] * channels + own[None, :]
        value = tl.load(z + place, kept, 0.0).to(tl.float32)
        slope = tl.load(gradient + place, kept, 0.0).to(tl.float32)
        slope = _through(slope, value, scale, shift, ACTIVATES)
        first += slope
        second += slope * (value - mean[None, :]) * inverse[None, :]
    place = sums + pid * 2 * channels + own
    tl.store(place, tl.sum(first, 0), there)
    tl.store(place + channels, tl.sum(second, 0), there)


@jit
def join(
    sums, found, width, chunks,
    STEPS: tl.constexpr, CHUNKS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """found [width] = the sum of sums [chunks, width] over the chunks, in a fixed order."""
    own = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    there = own < width
    lanes = tl.arange(0, CHUNKS)
    total = tl.zeros([CHUNKS, COLUMNS], tl.float32)
    for step in range(STEPS):
        index = step * CHUNKS + lanes
        kept = (index < chunks)[:, None] & there[None, :]
        total += tl.load(sums + index[:, None] * width + own[None, :], kept, 0.0)
    tl.store(found + own, tl.sum(total, 0), there)


@jit
def norm_slopes(
    gradient, z, factors, sums, slopes, channels, total,
    ACTIVATES: tl.constexpr, PIXELS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """dL/dz [total, C] of batch normalisation and maybe ReLU6; sums [2, C] over all pixels."""
    pixels = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    own = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    there = own < channels
    kept = (pixels < total)[:, None] & there[None, :]
    place = pixels[:, None] * channels + own[None, :]
    scale, shift, mean, inverse = _factors(factors, own, there, channels)
    share = 1.0 / total.to(tl.float32)
    average = tl.load(sums + own, there, 0.0) * share
    product = tl.load(sums + channels + own, there, 0.0) * share
    value = tl.load(z + place, kept, 0.0).to(tl.float32)
    slope = tl.load(gradient + place, kept, 0.0).to(tl.float32)
    slope = _through(slope, value, scale, shift, ACTIVATES)
    normal = (value - mean[None, :]) * inverse[None, :]
    found = scale[None, :] * (slope - average[None, :] - normal * product[None, :])
    tl.store(slopes + place, found.to(slopes.dtype.element_ty), kept)


@jit
def input_slopes(
    slopes, weight, found,
    height, width, channels, out_height, out_width, total, stride, dilation,
    SIDE: tl.constexpr, PIXELS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """dL/dx [N, H, W, C] of a depthwise convolution from dL/dz [N, H', W', C].

    `total` is N * H * W; the other arguments are those of `depthwise`.
    """
    pixels = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    own = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    there = own < channels
    inside = pixels < total
    padding = dilation * (SIDE - 1) // 2
    rest = pixels // width
    column = pixels % width + padding
    row = rest % height + padding
    image = rest // height
    sums = tl.zeros([PIXELS, CHANNELS], tl.float32)
    for i in tl.static_range(SIDE):
        for j in tl.static_range(SIDE):
            # Output pixel y reads input pixel y * stride + i * dilation - padding.
            y = row - i * dilation
            u = column - j * dilation
            fits = (y >= 0) & (u >= 0) & (y % stride == 0) & (u % stride == 0)
            y = y // stride
            u = u // stride
            seen = inside & fits & (y < out_height) & (u < out_width)
            place = ((image * out_height + y) * out_width + u) * channels
            value = tl.load(
                slopes + place[:, None] + own[None, :], seen[:, None] & there[None, :], 0.0
            )
            factor = tl.load(weight + own * (SIDE * SIDE) + (i * SIDE + j), there, 0.0)
            sums += value.to(tl.float32) * factor.to(tl.float32)[None, :]
    kept = inside[:, None] & there[None, :]
    place = pixels[:, None] * channels + own[None, :]
    tl.store(found + place, sums.to(found.dtype.element_ty), kept)


@jit
def weight_slopes(
    x, slopes, sums,
    height, width, channels, out_height, out_width, total, stride, dilation, chunk,
    STEPS: tl.constexpr, SIDE: tl.constexpr, PIXELS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Per chunk, what it adds to dL/dweight: sums [chunks, C, SIDE * SIDE], written.

    A program has one tap of the filter, `tl.program_id(2)`; the other arguments are those of
    `depthwise`.
    """
    pid = tl.program_id(0)
    own = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    there = own < channels
    tap = tl.program_id(2)
    lanes = tl.arange(0, PIXELS)
    padding = dilation * (SIDE - 1) // 2
    down = (tap // SIDE) * dilation - padding
    right = (tap % SIDE) * dilation - padding
    found = tl.zeros([PIXELS, CHANNELS], tl.float32)
    for step in range(STEPS):
        pixels, inside = _tile(pid, step, chunk, total, lanes, PIXELS)
        rest = pixels // out_width
        y = (rest % out_height) * stride + down
        u = (pixels % out_width) * stride + right
        seen = inside & (y >= 0) & (y < height) & (u >= 0) & (u < width)
        kept = seen[:, None] & there[None, :]
        place = (((rest // out_height) * height + y) * width + u) * channels
        value = tl.load(x + place[:, None] + own[None, :], kept, 0.0).to(tl.float32)
        slope = tl.load(slopes + pixels[:, None] * channels + own[None, :], kept, 0.0)
        found += value * slope.to(tl.float32)
    place = sums + (pid * channels + own) * (SIDE * SIDE) + tap
    tl.store(place, tl.sum(found, 0), there)
