/* Depthwise convolution. Rows of a block of LANES channels are padded with zeros and kept close
 * together; images are taken a few rows at a time, so that memory is read in order. */

/* Weights [C, taps] of the blocks of channels as [blocks, taps, LANES]; backwards if `turned`. */
INLINE void NAME(pack_weights)(const T *weights, int64_t first, int64_t last, int64_t channels,
                               int64_t taps, int turned, V *out) {
    for (int64_t b = first; b < last; b++, out += taps)
        for (int64_t t = 0; t < taps; t++) {
            V value = {0};
            for (int64_t i = 0; i < LANES && b * LANES + i < channels; i++)
                value[i] = weights[(b * LANES + i) * taps + t];
            out[turned ? taps - 1 - t : t] = value;
        }
}

/* Blocks of channels that are seen to together: all that scratch of 2 MB has room for. Memory is
 * then read and written in order, which counts for more than what fits a cache. */
INLINE int64_t NAME(together)(int64_t blocks, int64_t area) {
    int64_t some = (1 << 21) / (int64_t)sizeof(V) / area;
    return some < 2 ? 2 : some < blocks ? some : blocks;
}

/* Rows of output at a time: a block of them and of what they are computed from fits the first. */
INLINE int64_t NAME(strip)(int64_t height, int64_t width) {
    int64_t rows = 256 / width < 4 ? 4 : 256 / width;
    return rows < height ? rows : height;
}

/* Clears the frame of a row of some blocks. Whether there is an inside. */
INLINE int NAME(framed)(V *line, int64_t blocks, int64_t area, int64_t y, int64_t height,
                        int64_t width, int64_t margin) {
    int inside = y >= 0 && y < height;
    for (int64_t b = 0; b < blocks; b++, line += area)
        if (inside) {
            memset(line, 0, margin * sizeof(V));
            memset(line + margin + width, 0, margin * sizeof(V));
        } else
            memset(line, 0, (width + 2 * margin) * sizeof(V));
    return inside;
}

/* Rows y.. of so many channels of an image, normalised and clamped if there is a norm; blocks are
 * `area` apart. */
INLINE void NAME(pack)(const T *image, int64_t c, int64_t channels, int64_t height, int64_t width,
                       const T *norm, int64_t y, int64_t rows, int64_t margin, V *block,
                       int64_t area) {
    int64_t blocks = (channels + LANES - 1) / LANES;
    for (int64_t end = y + rows; y < end; y++, block += width + 2 * margin) {
        if (!NAME(framed)(block, blocks, area, y, height, width, margin)) continue;
        const T *in = image + y * width * c;
        V *out = block + margin;
        if (norm)
            for (int64_t x = 0; x < width; x++, in += c, out++)
                EACH_BLOCK(channels,
                           out[b * area] = NAME(finish)(NAME(load)(in + i, valid), norm + i, c, valid));
        else
            for (int64_t x = 0; x < width; x++, in += c, out++)
                EACH_BLOCK(channels, out[b * area] = NAME(load)(in + i, valid));
    }
}

INLINE void NAME(unpack)(const V *block, int64_t area, int64_t pixels, int64_t c, int64_t channels,
                         T *out, int past) {
    if (past)
        for (int64_t p = 0; p < pixels; p++, out += c)
            EACH_BLOCK(channels, NAME(put)(out + i, block[b * area + p], valid, 1));
    else
        for (int64_t p = 0; p < pixels; p++, out += c)
            EACH_BLOCK(channels, NAME(store)(out + i, block[b * area + p], valid));
}

/* `count` neighbouring outputs of a row; count and kernel are constants where this is inlined. */
INLINE void NAME(outputs)(const V *in, int64_t row, const V *weights, int kernel, int64_t stride,
                          int64_t dilation, V *out, int count) {
    V sums[8];
    for (int i = 0; i < count; i++) sums[i] = (V){0};
    for (int ky = 0; ky < kernel; ky++) {
        for (int kx = 0; kx < kernel; kx++) {
            const V *at = in + ky * dilation * row + kx * dilation;
            V weight = weights[ky * kernel + kx];
            for (int i = 0; i < count; i++) sums[i] += at[i * stride] * weight;
        }
    }
    for (int i = 0; i < count; i++) out[i] = sums[i];
}

INLINE void NAME(correlate)(const V *in, int64_t row, const V *weights, int kernel, int64_t stride,
                            int64_t dilation, V *out, int64_t height, int64_t width) {
    for (int64_t y = 0; y < height; y++, in += stride * row, out += width) {
        int64_t x = 0;
        for (; x + 8 <= width; x += 8)
            NAME(outputs)(in + x * stride, row, weights, kernel, stride, dilation, out + x, 8);
        for (; x + 4 <= width; x += 4)
            NAME(outputs)(in + x * stride, row, weights, kernel, stride, dilation, out + x, 4);
        for (; x < width; x++)
            NAME(outputs)(in + x * stride, row, weights, kernel, stride, dilation, out + x, 1);
    }
}

/* out[y, x] = sum_k weights[k] * in[y * stride + ky * dilation, x * stride + kx * dilation] */
TARGET static void NAME(convolve)(const V *in, int64_t row, const V *weights, const Geometry *g,
                                  int64_t stride, V *out, int64_t height, int64_t width) {
    int64_t kernel = g->kernel, dilation = g->dilation;
#define CASE(k, s) NAME(correlate)(in, row, weights, k, s, dilation, out, height, width)
    if (stride == 1) {
        if (kernel == 3) CASE(3, 1);
        else if (kernel == 5) CASE(5, 1);
        else if (kernel == 7) CASE(7, 1);
        else CASE((int)kernel, 1);
    } else {
        if (kernel == 3) CASE(3, stride);
        else if (kernel == 5) CASE(5, stride);
        else if (kernel == 7) CASE(7, stride);
        else CASE((int)kernel, stride);
    }
#undef CASE
}

/* z = depthwise convolution of x, with the moments [N, C] of every image; of the channel blocks
 * first..last-1. If there is a norm, x is what its coefficients and ReLU6 make of it. */
TARGET int NAME(depthwise)(int64_t first, int64_t last, const Geometry *g, const T *x,
                           const T *norm, const T *weights, T *z, T *mean, T *deviation) {
    int64_t c = g->channels, width = g->out_width, blocks = last - first;
    int64_t reach = g->dilation * (g->kernel - 1), row = g->width + reach;
    int64_t taps = g->kernel * g->kernel, strip = NAME(strip)(g->out_height, width);
    int64_t area = row * ((strip - 1) * g->stride + reach + 1), result_area = strip * width;
    int64_t some = NAME(together)(blocks, area + result_area);
    V *block = NAME(room)(some * (area + result_area) + blocks * (taps + 3));
    if (!block) return 1;
    V *result = block + some * area, *packed = result + some * result_area;
    NAME(Moments) *moments = (NAME(Moments) *)(packed + blocks * taps);
    NAME(pack_weights)(weights, first, last, c, taps, 0, packed);
    for (int64_t n = 0; n < g->images; n++)
        for (int64_t y = 0; y < g->out_height; y += strip)
            for (int64_t from = first; from < last; from += some) {
                int64_t rows = g->out_height - y < strip ? g->out_height - y : strip;
                int64_t end = last - from < some ? last : from + some, i = from * LANES;
                int64_t channels = (end * LANES < c ? end * LANES : c) - i;
                NAME(pack)(x + n * g->height * g->width * c + i, c, channels, g->height, g->width,
                           norm ? norm + i : 0, y * g->stride - reach / 2,
                           (rows - 1) * g->stride + reach + 1, reach / 2, block, area);
                for (int64_t b = from; b < end; b++) {
                    V *own = result + (b - from) * result_area;
                    NAME(convolve)(block + (b - from) * area, row, packed + (b - first) * taps, g,
                                   g->stride, own, rows, width);
                    NAME(gather)(moments + b - first, y == 0, (T *)own, LANES, rows * width, LANES);
                    int64_t at = n * c + b * LANES;
                    if (y + rows == g->out_height)
                        NAME(settle)(moments + b - first, g->out_height * width, mean + at,
                                     deviation + at, c - b * LANES);
                }
                NAME(unpack)(result, result_area, rows * width, c, channels,
                             z + (n * g->out_height + y) * width * c + i,
                             NAME(large)(g->images * g->out_height * width * c));
            }
    FENCE();
    free(block);
    return 0;
}
