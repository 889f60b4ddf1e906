/* 1x1 convolution, as products of small matrices: a few pixels at a time, so that what is computed
 * of them is used while it lies in the cache. */

#define COLUMNS (2 * LANES)

/* Pixels taken at a time: their channels, and a panel of weights, fill the first cache. */
INLINE int64_t NAME(few)(const Dense *d) {
    int64_t widest = (d->inputs > d->outputs ? d->inputs : d->outputs) * (int64_t)sizeof(T);
    return widest <= 384 ? 48 : widest <= 768 ? 24 : 12;
}

INLINE int64_t NAME(panels)(int64_t columns) { return (columns + COLUMNS - 1) / COLUMNS; }

/* A matrix [depth, columns] in panels [depth, COLUMNS]; its strides are numbers apart. */
INLINE void NAME(pack_panels)(const T *from, int64_t depth, int64_t down, int64_t columns,
                              int64_t across, V *out) {
    for (int64_t j = 0; j < columns; j += COLUMNS)
        for (int64_t i = 0; i < depth; i++)
            for (int64_t half = j; half < j + COLUMNS; half += LANES) {
                V value = {0};
                for (int64_t k = 0; k < LANES && half + k < columns; k++)
                    value[k] = from[i * down + (half + k) * across];
                *out++ = value;
            }
}

/* `rows` rows [depth] times a panel; rows is a constant where this is inlined. */
INLINE void NAME(tile)(const T *a, int64_t depth, const V *panel, int rows, T *out,
                       int64_t columns, int64_t valid) {
    V sums[12];
    for (int k = 0; k < 2 * rows; k++) sums[k] = (V){0};
    for (int64_t i = 0; i < depth; i++) {
        V left = panel[2 * i], right = panel[2 * i + 1];
        for (int k = 0; k < rows; k++) {
            V value = a[k * depth + i] - (V){0};
            sums[2 * k] += value * left;
            sums[2 * k + 1] += value * right;
        }
    }
    for (int k = 0; k < rows; k++) {
        NAME(store)(out + k * columns, sums[2 * k], valid);
        NAME(store)(out + k * columns + LANES, sums[2 * k + 1], valid - LANES);
    }
}

/* out [count, columns] = a [count, depth] times the matrix in panels. */
TARGET static void NAME(product)(const T *a, int64_t count, int64_t depth, const V *panels,
                                 int64_t columns, T *out) {
    for (int64_t j = 0; j < columns; j += COLUMNS, panels += 2 * depth) {
        int64_t valid = columns - j < COLUMNS ? columns - j : COLUMNS, p = 0;
#define TILES(rows, valid)             \
    for (; p + rows <= count; p += rows) \
    NAME(tile)(a + p * depth, depth, panels, rows, out + p * columns + j, columns, valid)
        if (valid == COLUMNS) {
            TILES(6, COLUMNS);
            TILES(4, COLUMNS);
        } else
            TILES(6, valid);
        TILES(1, valid);
#undef TILES
    }
}

/* Adds to `rows` rows of out [., columns] what `count` pixels give: a transposed times b. */
INLINE void NAME(outer_tile)(const T *a, int64_t a_stride, const T *b, int64_t count, int rows,
                             T *out, int64_t columns, int64_t valid) {
    V sums[12];
    for (int k = 0; k < rows; k++) {
        sums[2 * k] = NAME(load)(out + k * columns, valid);
        sums[2 * k + 1] = NAME(load)(out + k * columns + LANES, valid - LANES);
    }
    for (int64_t p = 0; p < count; p++) {
        V left = NAME(load)(b + p * columns, valid);
        V right = NAME(load)(b + p * columns + LANES, valid - LANES);
        for (int k = 0; k < rows; k++) {
            V value = a[p * a_stride + k] - (V){0};
            sums[2 * k] += value * left;
            sums[2 * k + 1] += value * right;
        }
    }
    for (int k = 0; k < rows; k++) {
        NAME(store)(out + k * columns, sums[2 * k], valid);
        NAME(store)(out + k * columns + LANES, sums[2 * k + 1], valid - LANES);
    }
}

/* out [rows, columns] += a [count, rows] transposed times b [count, columns]. */
TARGET static void NAME(outer)(const T *a, const T *b, int64_t count, int64_t rows,
                               int64_t columns, T *out) {
    for (int64_t j = 0; j < columns; j += COLUMNS) {
        int64_t valid = columns - j < COLUMNS ? columns - j : COLUMNS, i = 0;
#define TILES(some, valid)            \
    for (; i + some <= rows; i += some) \
    NAME(outer_tile)(a + i, rows, b + j, count, some, out + i * columns + j, columns, valid)
        if (valid == COLUMNS) {
            TILES(6, COLUMNS);
            TILES(4, COLUMNS);
        } else
            TILES(6, valid);
        TILES(1, valid);
#undef TILES
    }
}

/* What a convolution reads of some pixels: x, normalised and clamped if there is a norm. */
INLINE const T *NAME(finished)(const T *x, const T *norm, int64_t c, int64_t count, T *room) {
    if (!norm) return x;
    for (int64_t at = 0; at < count * c; at += c)
        EACH_BLOCK(c, NAME(store)(room + at + i,
                                  NAME(finish)(NAME(load)(x + at + i, valid), norm + i, c, valid),
                                  valid));
    return room;
}

/* z = 1x1 convolution of x with weights [C', C], with the moments [N, C'] of every image
 * first..last-1. If there is a norm, x is what its coefficients and ReLU6 make of it. */
TARGET int NAME(pointwise)(int64_t first, int64_t last, const Dense *d, const T *x, const T *norm,
                           const T *weights, T *z, T *mean, T *deviation) {
    int64_t in = d->inputs, out = d->outputs, few = NAME(few)(d);
    int64_t blocks = (out + LANES - 1) / LANES, matrix = 2 * in * NAME(panels)(out);
    V *panels = NAME(room)(matrix + 3 * blocks + few * in / LANES + 1);
    if (!panels) return 1;
    NAME(Moments) *moments = (NAME(Moments) *)(panels + matrix);
    T *room = (T *)(moments + blocks);
    NAME(pack_panels)(weights, in, 1, out, in, panels);
    for (int64_t n = first; n < last; n++) {
        for (int64_t p = 0; p < d->pixels; p += few) {
            int64_t count = d->pixels - p < few ? d->pixels - p : few, at = n * d->pixels + p;
            const T *a = NAME(finished)(x + at * in, norm, in, count, room);
            NAME(product)(a, count, in, panels, out, z + at * out);
            for (int64_t i = 0; i < out; i += LANES)
                NAME(gather)(moments + i / LANES, p == 0, z + at * out + i, out, count, out - i);
        }
        for (int64_t i = 0; i < out; i += LANES)
            NAME(settle)(moments + i / LANES, d->pixels, mean + n * out + i,
                         deviation + n * out + i, out - i);
    }
    free(panels);
    return 0;
}

/* dz of some pixels. */
INLINE void NAME(slopes_of)(const NAME(Norm) * f, int64_t start, int64_t c, int64_t count,
                            int64_t activate, T *out) {
    for (int64_t at = 0; at < count * c; at += c)
        EACH_BLOCK(c, NAME(store)(out + at + i,
                                  NAME(slope_at)(f, c, activate, start + at + i, i, valid), valid));
}

/* Backward pass of 1x1 convolution + batch normalisation (+ ReLU6), of groups of images: dx, and
 * the weights' gradients [groups, C', C], unless null. If x was normalised in passing, and asked
 * for, also the sums [N, C] that `slope_sums` would find. */
TARGET int NAME(pointwise_slopes)(int64_t first, int64_t last, const Dense *d,
                                  const NAME(Norm) * f, int64_t activate, const T *x,
                                  const T *norm, const T *weights, T *dx, T *weight_slopes,
                                  T *sums, T *products) {
    int64_t in = d->inputs, out = d->outputs, few = NAME(few)(d);
    int64_t blocks = (in + LANES - 1) / LANES, matrix = 2 * out * NAME(panels)(in);
    V *panels = NAME(room)(matrix + 2 * blocks + few * (in + out) / LANES + 2);
    if (!panels) return 1;
    NAME(Slopes) *before = (NAME(Slopes) *)(panels + matrix);
    T *slopes = (T *)(before + blocks), *room = slopes + few * out;
    NAME(Norm) norm_after = *f;
    NAME(pack_panels)(weights, out, in, in, 1, panels);
    for (int64_t group = first; group < last; group++) {
        T *own = weight_slopes ? weight_slopes + group * out * in : 0;
        if (own) memset(own, 0, out * in * sizeof(T));
        int64_t end = d->images * (group + 1) / d->groups;
        for (int64_t n = d->images * group / d->groups; n < end; n++) {
            memset(before, 0, blocks * sizeof(*before));
            for (int64_t p = 0; p < d->pixels; p += few) {
                int64_t count = d->pixels - p < few ? d->pixels - p : few, at = n * d->pixels + p;
                if (activate)
                    NAME(slopes_of)(&norm_after, at * out, out, count, 1, slopes);
                else
                    NAME(slopes_of)(&norm_after, at * out, out, count, 0, slopes);
                if (own)
                    NAME(outer)(slopes, NAME(finished)(x + at * in, norm, in, count, room), count,
                                out, in, own);
                if (dx) NAME(product)(slopes, count, out, panels, in, dx + at * in);
                if (sums)
                    NAME(add_slopes)(before, norm, in, 1, dx + at * in, x + at * in, count);
            }
            if (sums) NAME(settle_slopes)(before, in, sums + n * in, products + n * in);
        }
    }
    free(panels);
    return 0;
}

/* The sum of so many arrays of `count` numbers, one after the other. */
TARGET void NAME(joined_weights)(int64_t groups, int64_t count, const T *parts, T *out) {
    memcpy(out, parts, count * sizeof(T));
    for (int64_t group = 1; group < groups; group++)
        for (int64_t i = 0; i < count; i++) out[i] += parts[group * count + i];
}
