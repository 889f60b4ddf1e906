/* Included by kernels.c once per number type and instruction set: T, ISA and TARGET are set. */

#define LANES ((int64_t)(32 / sizeof(T)))
#define V NAME(vector)
#define U NAME(unaligned)
#define I NAME(mask)
typedef T V __attribute__((vector_size(32)));
typedef __typeof__((V){0} > (V){0}) I;
typedef T U __attribute__((vector_size(32), aligned(sizeof(T)), may_alias));

INLINE V *NAME(room)(int64_t vectors) {
    return aligned_alloc(64, (vectors * sizeof(V) + 127) / 64 * 64);
}

/* The first `valid` of LANES numbers; the others are zero. */
INLINE V NAME(load)(const T *from, int64_t valid) {
    if (valid >= LANES) return *(const U *)from;
    V value = {0};
    for (int64_t i = 0; i < valid; i++) value[i] = from[i];
    return value;
}

INLINE void NAME(store)(T *to, V value, int64_t valid) {
    if (valid >= LANES)
        *(U *)to = value;
    else
        for (int64_t i = 0; i < valid; i++) to[i] = value[i];
}

/* ReLU6. What is not a number stays so: a training that diverged has to be seen. */
INLINE V NAME(clamped)(V value) {
    V zero = {0}, six = zero + 6;
    I low = value < zero, high = value > six;
    return (V)((~(low | high) & (I)value) | (high & (I)six));
}

/* A slope through ReLU6, as PyTorch counts: the ends of the clamp let nothing through. */
INLINE V NAME(passed)(V slope, V value) { return (V)(~((value <= 0) | (value >= 6)) & (I)slope); }

/* A block of LANES channels of one image, [H + 2 * margin, W + 2 * margin] of them: what lies
 * outside of the image, or beyond the last channel, is zero. */
INLINE void NAME(pack)(const T *image, int64_t channels, int64_t valid, int64_t height,
                       int64_t width, int64_t margin, V *block) {
    int64_t row = width + 2 * margin;
    for (int64_t y = 0; y < height; y++) {
        V *out = block + (y + margin) * row + margin;
        const T *in = image + y * width * channels;
        for (int64_t x = 0; x < width; x++) out[x] = NAME(load)(in + x * channels, valid);
    }
}

INLINE void NAME(unpack)(const V *block, int64_t pixels, int64_t channels, int64_t valid, T *image) {
    for (int64_t p = 0; p < pixels; p++) NAME(store)(image + p * channels, block[p], valid);
}

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
    for (int64_t y = 0; y < height; y++) {
        const V *line = in + y * stride * row;
        V *to = out + y * width;
        int64_t x = 0;
        for (; x + 8 <= width; x += 8)
            NAME(outputs)(line + x * stride, row, weights, kernel, stride, dilation, to + x, 8);
        for (; x + 4 <= width; x += 4)
            NAME(outputs)(line + x * stride, row, weights, kernel, stride, dilation, to + x, 4);
        for (; x < width; x++)
            NAME(outputs)(line + x * stride, row, weights, kernel, stride, dilation, to + x, 1);
    }
}

/* out[y, x] = sum_k weights[k] * in[y * stride + ky * dilation, x * stride + kx * dilation] */
TARGET static void NAME(convolve)(const V *in, int64_t row, const V *weights, int64_t kernel,
                                  int64_t stride, int64_t dilation, V *out, int64_t height,
                                  int64_t width) {
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

/* Gradient of what `convolve` with stride > 1 read, [height, width] without margin; `block` is
 * room for the same with it, and zero again afterwards. */
TARGET static void NAME(spread)(V *block, int64_t row, int64_t margin, const V *weights,
                                const Geometry *g, const V *slope, V *out) {
    int64_t kernel = g->kernel, stride = g->stride, dilation = g->dilation;
    memset(block, 0, row * (g->height + 2 * margin) * sizeof(V));
    for (int64_t y = 0; y < g->out_height; y++)
        for (int64_t ky = 0; ky < kernel; ky++) {
            V *line = block + (y * stride + ky * dilation) * row;
            for (int64_t x = 0; x < g->out_width; x++) {
                V value = slope[y * g->out_width + x];
                V *at = line + x * stride;
                for (int64_t kx = 0; kx < kernel; kx++)
                    at[kx * dilation] += value * weights[ky * kernel + kx];
            }
        }
    for (int64_t y = 0; y < g->height; y++)
        memcpy(out + y * g->width, block + (y + margin) * row + margin, g->width * sizeof(V));
    memset(block, 0, row * (g->height + 2 * margin) * sizeof(V));
}

/* Gradient of the `kernel` weights of each of `rows` rows from ky on. Two sets of sums, for even
 * and odd x, keep the multipliers busy. */
INLINE void NAME(weight_rows)(const V *in, int64_t row, const V *slope, int64_t slope_row,
                              int kernel, int rows, int64_t stride, int64_t dilation,
                              int64_t height, int64_t width, V *out) {
    V sums[2 * 9];
    int taps = kernel * rows;
    for (int i = 0; i < 2 * taps; i++) sums[i] = (V){0};
    for (int64_t y = 0; y < height; y++) {
        const V *line = in + y * stride * row;
        const V *d = slope + y * slope_row;
        int64_t x = 0;
        if (taps < 8)
            for (; x + 2 <= width; x += 2)
                for (int i = 0; i < taps; i++) {
                    const V *at = line + (i / kernel) * dilation * row + (i % kernel) * dilation;
                    sums[i] += d[x] * at[x * stride];
                    sums[taps + i] += d[x + 1] * at[(x + 1) * stride];
                }
        for (; x < width; x++)
            for (int i = 0; i < taps; i++) {
                const V *at = line + (i / kernel) * dilation * row + (i % kernel) * dilation;
                sums[i] += d[x] * at[x * stride];
            }
    }
    for (int i = 0; i < taps; i++) out[i] = sums[i] + sums[taps + i];
}

TARGET static void NAME(weight_slopes)(const V *in, int64_t row, const V *slope, int64_t slope_row,
                                       const Geometry *g, V *out) {
    int64_t height = g->out_height, width = g->out_width, d = g->dilation, s = g->stride;
#define CASE(k, rows, from) \
    NAME(weight_rows)(in + (from) * d * row, row, slope, slope_row, k, rows, s, d, height, width, \
                      out + (from) * (k))
    if (g->kernel == 3) CASE(3, 3, 0);
    else if (g->kernel == 5) for (int64_t ky = 0; ky < 5; ky++) CASE(5, 1, ky);
    else if (g->kernel == 7) for (int64_t ky = 0; ky < 7; ky++) CASE(7, 1, ky);
    else CASE(1, 1, 0);
#undef CASE
}

/* Mean and sum of squared deviations of a block, [LANES] each. */
INLINE void NAME(block_moments)(const V *block, int64_t pixels, V *mean, V *deviation) {
    V s[4] = {{0}, {0}, {0}, {0}};
    int64_t p = 0;
    for (; p + 4 <= pixels; p += 4)
        for (int i = 0; i < 4; i++) s[i] += block[p + i];
    for (; p < pixels; p++) s[0] += block[p];
    V m = ((s[0] + s[1]) + (s[2] + s[3])) / (T)pixels;
    for (int i = 0; i < 4; i++) s[i] = (V){0};
    for (p = 0; p + 4 <= pixels; p += 4)
        for (int i = 0; i < 4; i++) s[i] += (block[p + i] - m) * (block[p + i] - m);
    for (; p < pixels; p++) s[0] += (block[p] - m) * (block[p] - m);
    *mean = m;
    *deviation = (s[0] + s[1]) + (s[2] + s[3]);
}

/* z = depthwise convolution of x, with the moments [N, C] of every image; of the channel blocks
 * first..last-1. */
TARGET int NAME(depthwise)(int64_t first, int64_t last, const Geometry *g, const T *x,
                           const T *weights, T *z, T *mean, T *deviation) {
    int64_t c = g->channels, margin = g->dilation * (g->kernel - 1) / 2;
    int64_t row = g->width + 2 * margin, area = row * (g->height + 2 * margin);
    int64_t pixels = g->out_height * g->out_width, taps = g->kernel * g->kernel;
    V *block = NAME(room)(area + pixels + (last - first) * taps);
    if (!block) return 1;
    V *result = block + area, *packed = result + pixels;
    memset(block, 0, area * sizeof(V));
    NAME(pack_weights)(weights, first, last, c, taps, 0, packed);
    for (int64_t n = 0; n < g->images; n++)
        for (int64_t b = first; b < last; b++) {
            int64_t from = b * LANES, valid = c - from < LANES ? c - from : LANES;
            NAME(pack)(x + n * g->height * g->width * c + from, c, valid, g->height, g->width,
                       margin, block);
            NAME(convolve)(block, row, packed + (b - first) * taps, g->kernel, g->stride,
                           g->dilation, result, g->out_height, g->out_width);
            V m, d;
            NAME(block_moments)(result, pixels, &m, &d);
            memcpy(mean + n * c + from, &m, valid * sizeof(T));
            memcpy(deviation + n * c + from, &d, valid * sizeof(T));
            NAME(unpack)(result, pixels, c, valid, z + n * pixels * c + from);
        }
    free(block);
    return 0;
}

/* Moments of `blocks` blocks of channels of an image; blocks is a constant where it is inlined. */
INLINE void NAME(image_moments)(const T *image, int64_t pixels, int64_t c, int blocks,
                                int64_t valid, T *mean, T *deviation) {
    V sums[4] = {{0}, {0}, {0}, {0}}, squares[4] = {{0}, {0}, {0}, {0}};
    for (int64_t p = 0; p < pixels; p++)
        for (int b = 0; b < blocks; b++) sums[b] += NAME(load)(image + p * c + b * LANES, valid);
    for (int b = 0; b < blocks; b++) sums[b] /= (T)pixels;
    for (int64_t p = 0; p < pixels; p++)
        for (int b = 0; b < blocks; b++) {
            V e = NAME(load)(image + p * c + b * LANES, valid) - sums[b];
            squares[b] += e * e;
        }
    for (int b = 0; b < blocks; b++) {
        NAME(store)(mean + b * LANES, sums[b], valid);
        NAME(store)(deviation + b * LANES, squares[b], valid);
    }
}

/* Moments [N, C] of every image of z. */
TARGET int NAME(moments)(int64_t first, int64_t last, int64_t pixels, int64_t c, const T *z,
                         T *mean, T *deviation) {
    for (int64_t n = first; n < last; n++) {
        const T *image = z + n * pixels * c;
        T *m = mean + n * c, *d = deviation + n * c;
        int64_t i = 0;
        for (; i + 4 * LANES <= c; i += 4 * LANES)
            NAME(image_moments)(image + i, pixels, c, 4, LANES, m + i, d + i);
        for (; i < c; i += LANES)
            NAME(image_moments)(image + i, pixels, c, 1, c - i, m + i, d + i);
    }
    return 0;
}

/* Joins the moments of the images (Chan et al., 1983) into the coefficients [4, C] of batch
 * normalisation, out = z * scale + shift, then mean and 1 / deviation; moves the running moments
 * by the share `momentum`. */
TARGET void NAME(joined_moments)(int64_t images, int64_t pixels, int64_t c, const T *means,
                                 const T *deviations, const T *weight, const T *bias,
                                 double epsilon, double momentum, T *running_mean,
                                 T *running_variance, T *coefficients) {
    double count = (double)images * pixels;
    for (int64_t from = 0; from < c; from += LANES) {
        int64_t valid = c - from < LANES ? c - from : LANES;
        double mean[LANES], within[LANES], between[LANES];
        for (int64_t i = 0; i < valid; i++) mean[i] = within[i] = between[i] = 0;
        for (int64_t n = 0; n < images; n++)
            for (int64_t i = 0; i < valid; i++) {
                mean[i] += means[n * c + from + i];
                within[i] += deviations[n * c + from + i];
            }
        for (int64_t i = 0; i < valid; i++) mean[i] /= images;
        for (int64_t n = 0; n < images; n++)
            for (int64_t i = 0; i < valid; i++) {
                double e = means[n * c + from + i] - mean[i];
                between[i] += e * e;
            }
        for (int64_t i = 0; i < valid; i++) {
            int64_t at = from + i;
            double squares = within[i] + between[i] * pixels;
            double inverse = 1 / sqrt(squares / count + epsilon);
            running_mean[at] += momentum * (mean[i] - running_mean[at]);
            running_variance[at] += momentum * (squares / (count - 1) - running_variance[at]);
            coefficients[at] = weight[at] * inverse;
            coefficients[c + at] = bias[at] - mean[i] * weight[at] * inverse;
            coefficients[2 * c + at] = mean[i];
            coefficients[3 * c + at] = inverse;
        }
    }
}

/* The part of an edge in its node. */
typedef struct {
    const T *z, *coefficients;
} NAME(Term);

/* y = sum of ReLU6(z * scale + shift) over the terms (or without ReLU6) + the others. */
TARGET int NAME(node)(int64_t first, int64_t last, int64_t pixels, int64_t c, int64_t terms,
                      const NAME(Term) * term, int64_t others, const T *const *other,
                      int64_t activate, T *y) {
    for (int64_t p = first * pixels; p < last * pixels; p++)
        for (int64_t i = 0; i < c; i += LANES) {
            V sum = {0};
            for (int64_t k = 0; k < terms; k++) {
                const T *scale = term[k].coefficients + i;
                V value = NAME(load)(term[k].z + p * c + i, c - i) * NAME(load)(scale, c - i) +
                          NAME(load)(scale + c, c - i);
                if (activate) value = NAME(clamped)(value);
                sum = k ? sum + value : value;
            }
            for (int64_t k = 0; k < others; k++) sum += NAME(load)(other[k] + p * c + i, c - i);
            NAME(store)(y + p * c + i, sum, c - i);
        }
    return 0;
}

/* y = x * scale + shift, both [N, C]; shift may be null. */
TARGET int NAME(scaled)(int64_t first, int64_t last, int64_t pixels, int64_t c, const T *x,
                        const T *scale, const T *shift, T *y) {
    for (int64_t n = first; n < last; n++)
        for (int64_t p = n * pixels; p < (n + 1) * pixels; p++)
            for (int64_t i = 0; i < c; i += LANES) {
                V value = NAME(load)(x + p * c + i, c - i) * NAME(load)(scale + n * c + i, c - i);
                if (shift) value += NAME(load)(shift + n * c + i, c - i);
                NAME(store)(y + p * c + i, value, c - i);
            }
    return 0;
}

/* Sums of `blocks` blocks of channels of an image; blocks is a constant where it is inlined. */
INLINE void NAME(image_slopes)(const T *slope, const T *z, int64_t pixels, int64_t c,
                               const T *coefficients, int64_t activate, int blocks, int64_t valid,
                               T *sums, T *products) {
    V s[2] = {{0}, {0}}, q[2] = {{0}, {0}}, scale[2], shift[2], mean[2];
    for (int b = 0; b < blocks; b++) {
        scale[b] = NAME(load)(coefficients + b * LANES, valid);
        shift[b] = NAME(load)(coefficients + c + b * LANES, valid);
        mean[b] = NAME(load)(coefficients + 2 * c + b * LANES, valid);
    }
    for (int64_t p = 0; p < pixels; p++)
        for (int b = 0; b < blocks; b++) {
            V e = NAME(load)(slope + p * c + b * LANES, valid);
            V value = NAME(load)(z + p * c + b * LANES, valid);
            if (activate) e = NAME(passed)(e, value * scale[b] + shift[b]);
            s[b] += e;
            q[b] += e * (value - mean[b]);
        }
    for (int b = 0; b < blocks; b++) {
        NAME(store)(sums + b * LANES, s[b], valid);
        NAME(store)(products + b * LANES, q[b], valid);
    }
}

/* Per image, the sums [N, C] over pixels of e and e * (z - mean), e = slope through ReLU6. */
TARGET int NAME(slope_sums)(int64_t first, int64_t last, int64_t pixels, int64_t c, const T *slope,
                            const T *z, const T *coefficients, int64_t activate, T *sums,
                            T *products) {
    for (int64_t n = first; n < last; n++) {
        const T *d = slope + n * pixels * c, *v = z + n * pixels * c;
        T *s = sums + n * c, *q = products + n * c;
        int64_t i = 0;
        for (; i + 2 * LANES <= c; i += 2 * LANES)
            NAME(image_slopes)(d + i, v + i, pixels, c, coefficients + i, activate, 2, LANES, s + i,
                               q + i);
        for (; i < c; i += LANES)
            NAME(image_slopes)(d + i, v + i, pixels, c, coefficients + i, activate, 1, c - i, s + i,
                               q + i);
    }
    return 0;
}

/* Joins the sums of the images: the gradients of batch normalisation's weight and bias, and two
 * coefficients [2, C] of dz = scale * e + along * (z - mean) + constant. */
TARGET void NAME(joined_slopes)(int64_t images, int64_t pixels, int64_t c, const T *sums,
                                const T *products, const T *coefficients, T *weight_slope,
                                T *bias_slope, T *slopes) {
    double count = (double)images * pixels;
    for (int64_t from = 0; from < c; from += LANES) {
        int64_t valid = c - from < LANES ? c - from : LANES;
        double sum[LANES], product[LANES];
        for (int64_t i = 0; i < valid; i++) sum[i] = product[i] = 0;
        for (int64_t n = 0; n < images; n++)
            for (int64_t i = 0; i < valid; i++) {
                sum[i] += sums[n * c + from + i];
                product[i] += products[n * c + from + i];
            }
        for (int64_t i = 0; i < valid; i++) {
            int64_t at = from + i;
            double scale = coefficients[at], inverse = coefficients[3 * c + at];
            weight_slope[at] = product[i] * inverse;
            bias_slope[at] = sum[i];
            slopes[at] = -scale * inverse * inverse * product[i] / count;
            slopes[c + at] = -scale * sum[i] / count;
        }
    }
}

/* What the gradient of the input of batch normalisation (and ReLU6) is computed from. */
typedef struct {
    const T *slope, *z, *coefficients, *slopes;
} NAME(Norm);

TARGET int NAME(slope_of_input)(int64_t first, int64_t last, int64_t pixels, int64_t c,
                                const NAME(Norm) * f, int64_t activate, T *out) {
    for (int64_t p = first * pixels; p < last * pixels; p++)
        for (int64_t i = 0; i < c; i += LANES) {
            V scale = NAME(load)(f->coefficients + i, c - i);
            V shift = NAME(load)(f->coefficients + c + i, c - i);
            V mean = NAME(load)(f->coefficients + 2 * c + i, c - i);
            V along = NAME(load)(f->slopes + i, c - i);
            V constant = NAME(load)(f->slopes + c + i, c - i);
            V e = NAME(load)(f->slope + p * c + i, c - i), z = NAME(load)(f->z + p * c + i, c - i);
            if (activate) e = NAME(passed)(e, z * scale + shift);
            NAME(store)(out + p * c + i, scale * e + along * (z - mean) + constant, c - i);
        }
    return 0;
}

/* dz of a block of channels, written into `block` with a margin. */
INLINE void NAME(block_slopes)(const NAME(Norm) * f, int64_t n, int64_t from, const Geometry *g,
                               int64_t valid, int64_t margin, V *block) {
    int64_t c = g->channels, width = g->out_width, row = width + 2 * margin;
    V scale = NAME(load)(f->coefficients + from, valid);
    V shift = NAME(load)(f->coefficients + c + from, valid);
    V mean = NAME(load)(f->coefficients + 2 * c + from, valid);
    V along = NAME(load)(f->slopes + from, valid);
    V constant = NAME(load)(f->slopes + c + from, valid);
    for (int64_t y = 0; y < g->out_height; y++) {
        int64_t start = ((n * g->out_height + y) * width) * c + from;
        V *out = block + (y + margin) * row + margin;
        for (int64_t x = 0; x < width; x++) {
            V z = NAME(load)(f->z + start + x * c, valid);
            V e = NAME(passed)(NAME(load)(f->slope + start + x * c, valid), z * scale + shift);
            out[x] = scale * e + along * (z - mean) + constant;
        }
    }
}

/* Backward pass of depthwise convolution + batch normalisation + ReLU6: dx and the
 * weights' gradients [C, taps], unless null; of the channel blocks
 * first..last-1. */
TARGET int NAME(depthwise_slopes)(int64_t first, int64_t last, const Geometry *g,
                                  const NAME(Norm) * f, const T *x, const T *weights, T *dx,
                                  T *weight_slopes) {
    int64_t c = g->channels, margin = g->dilation * (g->kernel - 1) / 2;
    int64_t row = g->width + 2 * margin, area = row * (g->height + 2 * margin);
    int64_t slope_margin = g->stride == 1 ? margin : 0;
    int64_t slope_row = g->out_width + 2 * slope_margin;
    int64_t slope_area = slope_row * (g->out_height + 2 * slope_margin);
    int64_t pixels = g->height * g->width, taps = g->kernel * g->kernel;
    int64_t total = area + slope_area + pixels + taps + 2 * (last - first) * taps;
    V *block = NAME(room)(total);
    if (!block) return 1;
    V *slope = block + area, *result = slope + slope_area, *taken = result + pixels;
    V *packed = taken + taps, *sums = packed + (last - first) * taps;
    memset(block, 0, total * sizeof(V));
    NAME(pack_weights)(weights, first, last, c, taps, g->stride == 1, packed);
    for (int64_t n = 0; n < g->images; n++)
        for (int64_t b = first; b < last; b++) {
            int64_t from = b * LANES, valid = c - from < LANES ? c - from : LANES;
            const V *w = packed + (b - first) * taps;
            V *sum = sums + (b - first) * taps;
            NAME(block_slopes)(f, n, from, g, valid, slope_margin, slope);
            if (weight_slopes) {
                NAME(pack)(x + n * pixels * c + from, c, valid, g->height, g->width, margin, block);
                NAME(weight_slopes)(block, row, slope + slope_margin * (slope_row + 1), slope_row,
                                    g, taken);
                for (int64_t t = 0; t < taps; t++) sum[t] += taken[t];
            }
            if (!dx) continue;
            if (g->stride == 1)
                NAME(convolve)(slope, slope_row, w, g->kernel, 1, g->dilation, result, g->height,
                               g->width);
            else
                NAME(spread)(block, row, margin, w, g, slope, result);
            NAME(unpack)(result, pixels, c, valid, dx + n * pixels * c + from);
        }
    for (int64_t b = first; weight_slopes && b < last; b++)
        for (int64_t t = 0; t < taps; t++)
            for (int64_t i = 0; i < LANES && b * LANES + i < c; i++)
                weight_slopes[(b * LANES + i) * taps + t] = sums[(b - first) * taps + t][i];
    free(block);
    return 0;
}

#undef LANES
#undef V
#undef U
#undef I
