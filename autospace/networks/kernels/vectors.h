/* Vectors of LANES numbers, and moments over many of them. */

INLINE V *NAME(room)(int64_t vectors) {
    return aligned_alloc(64, (vectors * sizeof(V) + 127) / 64 * 64);
}

/* The first `valid` of LANES numbers; the others are zero. */
INLINE V NAME(load)(const T *from, int64_t valid) {
    if (valid >= LANES) return *(const U *)from;
    V value = {0};
#ifdef MASKED
    if (valid > 0) value = (V)P(maskz_loadu)((M)((1 << valid) - 1), from);
#else
    for (int64_t i = 0; i < valid; i++) value[i] = from[i];
#endif
    return value;
}

INLINE void NAME(store)(T *to, V value, int64_t valid) {
    if (valid >= LANES)
        *(U *)to = value;
    else
#ifdef MASKED
        if (valid > 0) P(mask_storeu)(to, (M)((1 << valid) - 1), value);
#else
        for (int64_t i = 0; i < valid; i++) to[i] = value[i];
#endif
}

/* Whether an array is so large that it has left the caches when it is read. */
INLINE int NAME(large)(int64_t count) { return count * (int64_t)sizeof(T) >= 1 << 21; }

/* Stores, if `past` not by way of the caches: that spares reading what is overwritten. A line of
 * the cache has to go past as a whole, so that halves of wide vectors go one by one. */
INLINE void NAME(put)(T *to, V value, int64_t valid, int past) {
    int64_t half = (int64_t)(32 / sizeof(T)), at = 0;
    if (past && (uintptr_t)to % 32 == 0)
        for (; at < LANES && valid - at >= half; at += half) {
            H part;
            memcpy(&part, (const T *)&value + at, 32);
            STREAM(to + at, part);
        }
    if (at == 0)
        NAME(store)(to, value, valid);
    else
        for (; at < valid && at < LANES; at++) to[at] = value[at];
}

/* ReLU6. What is not a number stays so: a training that diverged has to be seen. */
INLINE V NAME(clamped)(V value) {
    V zero = {0}, six = zero + 6;
#ifdef MASKED
    return (V)P(min)(six, P(max)(zero, value)); /* the second one, where one is not a number */
#else
    I low = value < zero, high = value > six;
    return (V)((~(low | high) & (I)value) | (high & (I)six));
#endif
}

/* A slope through ReLU6, as PyTorch counts: the ends of the clamp let nothing through. */
INLINE V NAME(passed)(V slope, V value) {
#ifdef MASKED
    V zero = {0}, six = zero + 6;
    M inside = COMPARED(value, zero, _CMP_NLE_UQ) & COMPARED(value, six, _CMP_NGE_UQ);
    return (V)P(maskz_mov)(inside, slope);
#else
    return (V)(~((value <= 0) | (value >= 6)) & (I)slope);
#endif
}

/* Pixels whose c channels stay in the first cache while several blocks of channels are seen to. */
INLINE int64_t NAME(chunk)(int64_t c) {
    int64_t pixels = 8192 / (int64_t)sizeof(T) / c;
    return pixels < 4 ? 4 : pixels > 128 ? 128 : pixels;
}

/* Sums of what is a little off the mean and of its square: one pass, and no worse than two, for
 * the mean of the first `count` of n values is at most sqrt(n / count) deviations off. */
typedef struct {
    V origin, sum, square;
} NAME(Moments);

/* Adds `count` vectors, `stride` numbers apart; the first ones set the origin. */
INLINE void NAME(gather_from)(NAME(Moments) * moments, int first, const T *from, int64_t stride,
                              int64_t count, int64_t valid) {
    V s[4] = {{0}, {0}, {0}, {0}}, q[4] = {{0}, {0}, {0}, {0}};
    int64_t p;
    if (first) {
        for (p = 0; p + 4 <= count; p += 4)
            for (int i = 0; i < 4; i++) s[i] += NAME(load)(from + (p + i) * stride, valid);
        for (; p < count; p++) s[0] += NAME(load)(from + p * stride, valid);
        *moments = (NAME(Moments)){((s[0] + s[1]) + (s[2] + s[3])) / (T)count, {0}, {0}};
        for (int i = 0; i < 4; i++) s[i] = (V){0};
    }
    V origin = moments->origin;
    for (p = 0; p + 4 <= count; p += 4)
        for (int i = 0; i < 4; i++) {
            V e = NAME(load)(from + (p + i) * stride, valid) - origin;
            s[i] += e;
            q[i] = FMA(e, e, q[i]);
        }
    for (; p < count; p++) {
        V e = NAME(load)(from + p * stride, valid) - origin;
        s[0] += e;
        q[0] = FMA(e, e, q[0]);
    }
    moments->sum += (s[0] + s[1]) + (s[2] + s[3]);
    moments->square += (q[0] + q[1]) + (q[2] + q[3]);
}

INLINE void NAME(gather)(NAME(Moments) * moments, int first, const T *from, int64_t stride,
                         int64_t count, int64_t valid) {
    BY_WIDTH(NAME(gather_from), valid, moments, first, from, stride, count);
}

/* Mean and sum of squared deviations of `count` values. */
INLINE void NAME(settle)(const NAME(Moments) * moments, int64_t count, T *mean, T *deviation,
                         int64_t valid) {
    V off = moments->sum / (T)count, rest = FMA(-moments->sum, off, moments->square);
    NAME(store)(mean, moments->origin + off, valid);
    /* Of equal values, rounding may leave less than nothing. */
    NAME(store)(deviation, (V)(~(rest < 0) & (I)rest), valid);
}

/* Sums of slopes e through ReLU6 (if `activate`), and of e times the distance from the mean. */
typedef struct {
    V sum, product;
} NAME(Slopes);

/* Adds a slope where batch normalisation, with coefficients [4, C] from k on, was given value. */
INLINE void NAME(add_slope)(NAME(Slopes) * slopes, const T *k, int64_t c, int64_t activate, V slope,
                            V value, int64_t valid) {
    V shifted = FMA(value, NAME(load)(k, valid), NAME(load)(k + c, valid));
    V e = activate ? NAME(passed)(slope, shifted) : slope;
    slopes->sum += e;
    slopes->product = FMA(e, value - NAME(load)(k + 2 * c, valid), slopes->product);
}

/* Adds the slopes of so many pixels, a pixel after the other. */
INLINE void NAME(add_slopes)(NAME(Slopes) * slopes, const T *k, int64_t c, int64_t activate,
                             const T *slope, const T *z, int64_t count) {
    for (int64_t p = 0; p < count; p++, slope += c, z += c)
        EACH_BLOCK(c, NAME(add_slope)(slopes + b, k + i, c, activate, NAME(load)(slope + i, valid),
                                      NAME(load)(z + i, valid), valid));
}

INLINE void NAME(settle_slopes)(const NAME(Slopes) * slopes, int64_t c, T *sums, T *products) {
    EACH_BLOCK(c, (NAME(store)(sums + i, slopes[b].sum, valid),
                   NAME(store)(products + i, slopes[b].product, valid)));
}

/* What batch normalisation, with coefficients [4, C] from k on, and ReLU6 make of a value. */
INLINE V NAME(finish)(V value, const T *k, int64_t c, int64_t valid) {
    return NAME(clamped)(FMA(value, NAME(load)(k, valid), NAME(load)(k + c, valid)));
}

/* What the gradient of the input of batch normalisation (and ReLU6) is computed from. */
typedef struct {
    const T *slope, *z, *coefficients, *slopes;
} NAME(Norm);

/* Gradient of one value of a channel i, at a place. */
INLINE V NAME(slope_at)(const NAME(Norm) * f, int64_t c, int64_t activate, int64_t at, int64_t i,
                        int64_t valid) {
    const T *k = f->coefficients + i, *s = f->slopes + i;
    V e = NAME(load)(f->slope + at, valid), z = NAME(load)(f->z + at, valid);
    V scale = NAME(load)(k, valid);
    if (activate) e = NAME(passed)(e, FMA(z, scale, NAME(load)(k + c, valid)));
    /* Of two products, one is rounded: which one may not depend on the compiler. */
    V along = NAME(load)(s, valid), away = z - NAME(load)(k + 2 * c, valid);
    return FMA(scale, e, along * away) + NAME(load)(s + c, valid);
}
