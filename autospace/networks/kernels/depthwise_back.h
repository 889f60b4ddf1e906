/* The way back through depthwise convolution, batch normalisation and ReLU6. */

/* Adds to the gradient of the `kernel` weights of each of `rows` rows. Two sets of sums, for even
 * and odd x, keep the multipliers busy. */
INLINE void NAME(weight_rows)(const V *in, int64_t row, const V *slope, int64_t slope_row,
                              int kernel, int rows, int64_t stride, int64_t dilation,
                              int64_t height, int64_t width, V *out) {
    V sums[2 * 9];
    int taps = kernel * rows;
    for (int i = 0; i < 2 * taps; i++) sums[i] = (V){0};
    for (int64_t y = 0; y < height; y++, in += stride * row, slope += slope_row) {
        int64_t x = 0;
        if (taps < 8)
            for (; x + 2 <= width; x += 2)
                for (int i = 0; i < taps; i++) {
                    const V *at = in + (i / kernel) * dilation * row + (i % kernel) * dilation;
                    sums[i] += slope[x] * at[x * stride];
                    sums[taps + i] += slope[x + 1] * at[(x + 1) * stride];
                }
        for (; x < width; x++)
            for (int i = 0; i < taps; i++) {
                const V *at = in + (i / kernel) * dilation * row + (i % kernel) * dilation;
                sums[i] += slope[x] * at[x * stride];
            }
    }
    for (int i = 0; i < taps; i++) out[i] += sums[i] + sums[taps + i];
}

/* Adds what `height` rows of slopes give to the gradient of all weights. */
TARGET static void NAME(weight_slopes)(const V *in, int64_t row, const V *slope, int64_t slope_row,
                                       const Geometry *g, int64_t height, V *out) {
    int64_t width = g->out_width, d = g->dilation, s = g->stride;
#define CASE(k, rows, y)                                                                      \
    NAME(weight_rows)(in + (y) * d * row, row, slope, slope_row, k, rows, s, d, height, width, \
                      out + (y) * (k))
    if (g->kernel == 3) CASE(3, 3, 0);
    else if (g->kernel == 5) for (int64_t y = 0; y < 5; y++) CASE(5, 1, y);
    else if (g->kernel == 7) for (int64_t y = 0; y < 7; y++) CASE(7, 1, y);
    else CASE(1, 1, 0);
#undef CASE
}

/* Adds to what a strided convolution read, [rows, row] with margins, what a row of slopes gives. */
TARGET static void NAME(spread)(V *block, int64_t row, const V *weights, const Geometry *g,
                                const V *slope) {
    for (int64_t ky = 0; ky < g->kernel; ky++, block += g->dilation * row)
        for (int64_t x = 0; x < g->out_width; x++) {
            V *at = block + x * g->stride;
            for (int64_t kx = 0; kx < g->kernel; kx++)
                at[kx * g->dilation] += slope[x] * weights[ky * g->kernel + kx];
        }
}

/* What is asked for, and scratch for some blocks of channels. */
typedef struct {
    const Geometry *g;
    NAME(Norm) f;
    const T *x, *norm;
    T *dx;
    int64_t row, margin, area, slope_area, result_area;
    V *block, *slope, *result;
} NAME(WayBack);

/* Some channels of some rows of an image: from channel i and row y on. */
typedef struct {
    int64_t image, i, channels, blocks, y, rows;
} NAME(Part);

/* Rows y.. of dz. */
INLINE void NAME(pack_slopes)(const NAME(WayBack) * w, const NAME(Part) * part, int64_t y,
                              int64_t rows, int64_t margin) {
    const Geometry *g = w->g;
    NAME(Norm) f = w->f;
    int64_t c = g->channels, width = g->out_width, first = part->i, area = w->slope_area;
    V *block = w->slope;
    for (int64_t end = y + rows; y < end; y++, block += width + 2 * margin) {
        if (!NAME(framed)(block, part->blocks, area, y, g->out_height, width, margin)) continue;
        int64_t at = (part->image * g->out_height + y) * width * c + first;
        V *out = block + margin;
        for (int64_t x = 0; x < width; x++, at += c, out++)
            EACH_BLOCK(part->channels,
                       out[b * area] = NAME(slope_at)(&f, c, 1, at + i, first + i, valid));
    }
}

/* Rows y.. of what the convolution read. */
INLINE void NAME(pack_read)(const NAME(WayBack) * w, const NAME(Part) * part, int64_t y,
                            int64_t rows) {
    const Geometry *g = w->g;
    const T *image = w->x + part->image * g->height * g->width * g->channels + part->i;
    NAME(pack)(image, g->channels, part->channels, g->height, g->width,
               w->norm ? w->norm + part->i : 0, y, rows, w->margin, w->block, w->area);
}

/* Rows of dx, from blocks `area` apart; what they add to the sums of the norm before. */
INLINE void NAME(give)(const NAME(WayBack) * w, const NAME(Part) * part, int64_t y, int64_t rows,
                       const V *found, int64_t area, NAME(Slopes) * before) {
    int64_t c = w->g->channels, pixels = rows * w->g->width;
    int64_t at = (part->image * w->g->height + y) * w->g->width * c + part->i;
    NAME(unpack)(found, area, pixels, c, part->channels, w->dx + at,
                 NAME(large)(w->g->images * w->g->height * w->g->width * c));
    if (!before) return;
    const T *x = w->x + at, *k = w->norm + part->i;
    for (int64_t p = 0; p < pixels; p++, x += c)
        EACH_BLOCK(part->channels, NAME(add_slope)(before + b, k + i, c, 1, found[b * area + p],
                                                   NAME(load)(x + i, valid), valid));
}

/* Stride 1, where dx is a convolution of dz. */
INLINE void NAME(dense_rows)(const NAME(WayBack) * w, const NAME(Part) * part, const V *weights,
                             V *sums, NAME(Slopes) * before) {
    const Geometry *g = w->g;
    int64_t row = w->row, taps = g->kernel * g->kernel, inside = w->margin * (row + 1);
    int64_t from = part->y - w->margin, rows = part->rows + 2 * w->margin;
    NAME(pack_slopes)(w, part, from, rows, w->margin);
    if (sums) {
        NAME(pack_read)(w, part, from, rows);
        for (int64_t b = 0; b < part->blocks; b++)
            NAME(weight_slopes)(w->block + b * w->area, row, w->slope + b * w->slope_area + inside,
                                row, g, part->rows, sums + b * taps);
    }
    if (!w->dx) return;
    for (int64_t b = 0; b < part->blocks; b++)
        NAME(convolve)(w->slope + b * w->slope_area, row, weights + b * taps, g, 1,
                       w->result + b * w->result_area, part->rows, g->width);
    NAME(give)(w, part, part->y, part->rows, w->result, w->result_area, before);
}

/* Any stride, where dz is spread over dx; all rows of the image. */
INLINE void NAME(strided_rows)(const NAME(WayBack) * w, const NAME(Part) * part, const V *weights,
                               V *sums, NAME(Slopes) * before) {
    const Geometry *g = w->g;
    int64_t row = w->row, taps = g->kernel * g->kernel, rows = g->height + 2 * w->margin;
    NAME(pack_slopes)(w, part, 0, g->out_height, 0);
    if (sums) {
        NAME(pack_read)(w, part, -w->margin, rows);
        for (int64_t b = 0; b < part->blocks; b++)
            NAME(weight_slopes)(w->block + b * w->area, row, w->slope + b * w->slope_area,
                                g->out_width, g, g->out_height, sums + b * taps);
    }
    if (!w->dx) return;
    memset(w->block, 0, part->blocks * w->area * sizeof(V));
    for (int64_t b = 0; b < part->blocks; b++)
        for (int64_t y = 0; y < g->out_height; y++)
            NAME(spread)(w->block + b * w->area + y * g->stride * row, row, weights + b * taps, g,
                         w->slope + b * w->slope_area + y * g->out_width);
    for (int64_t y = 0; y < g->height; y++)
        NAME(give)(w, part, y, 1, w->block + (y + w->margin) * row + w->margin, w->area, before);
}

/* dx and the weights' gradients [C, taps], unless null; of the channel blocks first..last-1. If x
 * was normalised in passing, and asked for, also the sums [N, C] that `slope_sums` would find. */
TARGET int NAME(depthwise_slopes)(int64_t first, int64_t last, const Geometry *g,
                                  const NAME(Norm) * f, const T *x, const T *norm,
                                  const T *weights, T *dx, T *weight_slopes, T *before_sums,
                                  T *before_products) {
    int64_t c = g->channels, blocks = last - first, taps = g->kernel * g->kernel;
    int64_t reach = g->dilation * (g->kernel - 1), row = g->width + reach, dense = g->stride == 1;
    int64_t strip = dense ? NAME(strip)(g->height, g->width) : g->height;
    int64_t area = row * (strip + reach), slope_area = dense ? area : g->out_height * g->out_width;
    int64_t result_area = dense ? strip * g->width : 0, each = area + slope_area + result_area;
    int64_t some = NAME(together)(blocks, each);
    V *block = NAME(room)(some * each + blocks * (2 * taps + 2));
    if (!block) return 1;
    V *slope = block + some * area, *result = slope + some * slope_area;
    V *packed = result + some * result_area, *sums = packed + blocks * taps;
    NAME(Slopes) *before = (NAME(Slopes) *)(sums + blocks * taps);
    NAME(WayBack) w = {g,    *f,         x,           norm,  dx,    row,   reach / 2,
                       area, slope_area, result_area, block, slope, result};
    memset(sums, 0, blocks * taps * sizeof(V));
    NAME(pack_weights)(weights, first, last, c, taps, dense, packed);
    for (int64_t n = 0; n < g->images; n++) {
        memset(before, 0, blocks * sizeof(*before));
        for (int64_t y = 0; y < g->height; y += strip)
            for (int64_t b = 0; b < blocks; b += some) {
                int64_t count = blocks - b < some ? blocks - b : some, i = (first + b) * LANES;
                int64_t channels = c - i < count * LANES ? c - i : count * LANES;
                int64_t rows = g->height - y < strip ? g->height - y : strip;
                NAME(Part) part = {n, i, channels, count, y, rows};
                NAME(Slopes) *wanted = before_sums ? before + b : 0;
                V *own = weight_slopes ? sums + b * taps : 0;
                if (dense)
                    NAME(dense_rows)(&w, &part, packed + b * taps, own, wanted);
                else
                    NAME(strided_rows)(&w, &part, packed + b * taps, own, wanted);
            }
        int64_t i = first * LANES, channels = (last * LANES < c ? last * LANES : c) - i;
        if (before_sums)
            NAME(settle_slopes)(before, channels, before_sums + n * c + i, before_products + n * c + i);
    }
    for (int64_t b = 0; weight_slopes && b < blocks; b++)
        for (int64_t t = 0; t < taps; t++)
            for (int64_t i = 0; i < LANES && (first + b) * LANES + i < c; i++)
                weight_slopes[((first + b) * LANES + i) * taps + t] = sums[b * taps + t][i];
    FENCE();
    free(block);
    return 0;
}
