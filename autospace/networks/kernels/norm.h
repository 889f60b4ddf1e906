/* Batch normalisation with ReLU6, sums of many such terms, and channel attention. */

/* Moments [N, C] of every image of z. */
TARGET int NAME(moments)(int64_t first, int64_t last, int64_t pixels, int64_t c, const T *z,
                         T *mean, T *deviation) {
    int64_t blocks = (c + LANES - 1) / LANES, chunk = NAME(chunk)(c);
    NAME(Moments) *moments = (NAME(Moments) *)NAME(room)(3 * blocks);
    if (!moments) return 1;
    for (int64_t n = first; n < last; n++) {
        for (int64_t p = 0; p < pixels; p += chunk)
            for (int64_t i = 0; i < c; i += LANES)
                NAME(gather)(moments + i / LANES, p == 0, z + (n * pixels + p) * c + i, c,
                             pixels - p < chunk ? pixels - p : chunk, c - i);
        for (int64_t i = 0; i < c; i += LANES)
            NAME(settle)(moments + i / LANES, pixels, mean + n * c + i, deviation + n * c + i,
                         c - i);
    }
    free(moments);
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

INLINE V NAME(term_at)(const NAME(Term) * term, int64_t c, int64_t activate, int64_t at, int64_t i,
                       int64_t valid) {
    const T *k = term->coefficients + i;
    V value = FMA(NAME(load)(term->z + at, valid), NAME(load)(k, valid), NAME(load)(k + c, valid));
    return activate ? NAME(clamped)(value) : value;
}

/* The first term, for all channels of the pixels from `start` to `stop`. */
INLINE void NAME(first_term)(const NAME(Term) * term, int64_t c, int64_t activate, int64_t start,
                             int64_t stop, int past, T *y) {
    for (int64_t at = start; at < stop; at += c)
        EACH_BLOCK(c, NAME(put)(y + at + i, NAME(term_at)(term, c, activate, at + i, i, valid),
                                valid, past));
}

/* y = sum of ReLU6(z * scale + shift) over the terms (or without ReLU6) + the others. */
TARGET int NAME(node)(int64_t first, int64_t last, int64_t pixels, int64_t c, int64_t terms,
                      const NAME(Term) * term, int64_t others, const T *const *other,
                      int64_t activate, T *y) {
    int64_t chunk = NAME(chunk)(c);
    int past = terms + others == 1 && NAME(large)((last - first) * pixels * c);
    for (int64_t p = first * pixels, end = last * pixels; p < end; p += chunk) {
        int64_t start = p * c, stop = (end - p < chunk ? end : p + chunk) * c;
        NAME(Term) one = term[0];
        if (past)
            NAME(first_term)(&one, c, activate, start, stop, 1, y);
        else
            NAME(first_term)(&one, c, activate, start, stop, 0, y);
        for (int64_t k = 1; k < terms; k++) {
            one = term[k];
            for (int64_t at = start; at < stop; at += c)
                EACH_BLOCK(c, NAME(store)(y + at + i,
                                          NAME(load)(y + at + i, valid) +
                                              NAME(term_at)(&one, c, activate, at + i, i, valid),
                                          valid));
        }
        for (int64_t k = 0; k < others; k++) {
            T *to = y + start;
            const T *from = other[k] + start;
            EACH_BLOCK(stop - start,
                       NAME(store)(to + i, NAME(load)(to + i, valid) + NAME(load)(from + i, valid),
                                   valid));
        }
    }
    FENCE();
    return 0;
}

INLINE void NAME(scale_image)(const T *x, const T *by, const T *plus, int64_t c, int64_t count,
                              int past, T *y) {
    for (int64_t at = 0; at < count; at += c)
        EACH_BLOCK(c, NAME(put)(y + at + i,
                                FMA(NAME(load)(x + at + i, valid), NAME(load)(by + i, valid), (V){0}) +
                                    (plus ? NAME(load)(plus + i, valid) : (V){0}),
                                valid, past));
}

/* y = x * scale + shift, both [N, C]; shift may be null. */
TARGET int NAME(scaled)(int64_t first, int64_t last, int64_t pixels, int64_t c, const T *x,
                        const T *scale, const T *shift, T *y) {
    int past = NAME(large)((last - first) * pixels * c);
    for (int64_t n = first; n < last; n++) {
        const T *from = x + n * pixels * c, *by = scale + n * c, *plus = shift ? shift + n * c : 0;
        T *to = y + n * pixels * c;
        if (past && plus)
            NAME(scale_image)(from, by, plus, c, pixels * c, 1, to);
        else if (past)
            NAME(scale_image)(from, by, 0, c, pixels * c, 1, to);
        else
            NAME(scale_image)(from, by, plus, c, pixels * c, 0, to);
    }
    FENCE();
    return 0;
}

/* Per image, the sums [N, C] over pixels of e and e * (z - mean), e = slope through ReLU6. */
TARGET int NAME(slope_sums)(int64_t first, int64_t last, int64_t pixels, int64_t c, const T *slope,
                            const T *z, const T *coefficients, int64_t activate, T *sums,
                            T *products) {
    int64_t blocks = (c + LANES - 1) / LANES;
    NAME(Slopes) *slopes = (NAME(Slopes) *)NAME(room)(2 * blocks);
    if (!slopes) return 1;
    for (int64_t n = first; n < last; n++) {
        int64_t at = n * pixels * c;
        memset(slopes, 0, blocks * sizeof(*slopes));
        if (activate)
            NAME(add_slopes)(slopes, coefficients, c, 1, slope + at, z + at, pixels);
        else
            NAME(add_slopes)(slopes, coefficients, c, 0, slope + at, z + at, pixels);
        NAME(settle_slopes)(slopes, c, sums + n * c, products + n * c);
    }
    free(slopes);
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

TARGET int NAME(slope_of_input)(int64_t first, int64_t last, int64_t pixels, int64_t c,
                                const NAME(Norm) * f, int64_t activate, T *out) {
    NAME(Norm) norm = *f;
    for (int64_t at = first * pixels * c; at < last * pixels * c; at += c)
        EACH_BLOCK(c, NAME(store)(out + at + i,
                                  NAME(slope_at)(&norm, c, activate, at + i, i, valid), valid));
    return 0;
}
