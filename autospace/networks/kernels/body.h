/* Included by kernels.c once per number type and instruction set: T, ISA, WIDTH and TARGET are set. */

#define LANES ((int64_t)(WIDTH / sizeof(T)))
#define V NAME(vector)
#define U NAME(unaligned)
#define I NAME(mask)
#define H NAME(half)
typedef T V __attribute__((vector_size(WIDTH)));
typedef __typeof__((V){0} > (V){0}) I;
typedef T H __attribute__((vector_size(32)));
typedef T U __attribute__((vector_size(WIDTH), aligned(sizeof(T)), may_alias));

/* Calls what works on a block of channels, most often a whole one: a constant there. */
#define BY_WIDTH(function, valid, ...)          \
    do {                                        \
        if ((valid) >= LANES)                   \
            function(__VA_ARGS__, LANES);       \
        else                                    \
            function(__VA_ARGS__, (valid));     \
    } while (0)

/* A statement for every block of channels b, from channel i on, `valid` of them. */
#define EACH_BLOCK(c, statement)                                                  \
    do {                                                                          \
        int64_t i = 0, b = 0, valid = LANES, all = (c);                           \
        for (; i + LANES <= all; i += LANES, b++) statement;                      \
        valid = all - i;                                                          \
        if (valid > 0) statement;                                                 \
    } while (0)

#include "vectors.h"
#include "norm.h"
#include "depthwise.h"
#include "depthwise_back.h"
#include "pointwise.h"

#undef BY_WIDTH
#undef EACH_BLOCK
#undef COLUMNS
#undef LANES
#undef V
#undef U
#undef I
#undef H
