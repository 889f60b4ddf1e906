/* Kernels for training cells on a CPU: depthwise and 1x1 convolution, batch normalisation, ReLU6
 * and the sum over the edges of a node, in as few passes over memory as they allow.
 *
 * Tensors are [N, H, W, C] with C contiguous (PyTorch's channels_last). Every function works on a
 * range of images or of blocks of channels. Sums run over the pixels of an image, then over the
 * images in their order, so that results depend neither on how ranges are shared out nor on the
 * width of a vector.
 *
 * The body is compiled for float and double, and on x86 once more for AVX2 with FMA.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    int64_t images, channels, height, width, out_height, out_width, kernel, stride, dilation;
} Geometry;

/* A 1x1 convolution: `outputs` x `inputs` weights, on so many images of so many pixels. Images are
 * in groups, whose share in a sum over all of them is summed for itself. */
typedef struct {
    int64_t images, pixels, inputs, outputs, groups;
} Dense;

#define JOIN2(a, b, c) a##_##b##_##c
#define JOIN(a, b, c) JOIN2(a, b, c)
#define NAME(base) JOIN(base, T, ISA)
#define INLINE static inline __attribute__((always_inline)) TARGET

#define ISA base
#define TARGET
#define STREAM(to, value) (*(__typeof__(value) *)(to) = (value))
#define FENCE()
#define T float
#include "body.h"
#undef T
#define T double
#include "body.h"
#undef T
#undef ISA
#undef TARGET
#undef STREAM
#undef FENCE

#if defined(__x86_64__)
#define ISA avx2
#define TARGET __attribute__((target("avx2,fma")))
#if defined(__clang__)
#define STREAM(to, value) __builtin_nontemporal_store(value, (__typeof__(value) *)(to))
#else
typedef long long Quads __attribute__((vector_size(32)));
#define STREAM(to, value) __builtin_ia32_movntdq256((Quads *)(to), (Quads)(value))
#endif
/* What went past the caches is seen by other threads from here on. */
#define FENCE() __builtin_ia32_sfence()
#define T float
#include "body.h"
#undef T
#define T double
#include "body.h"
#undef T
#undef ISA
#undef TARGET
#endif

/* To be raised with every change of a function's arguments: an old library is then left alone. */
int version(void) { return 3; }

/* Whether the processor runs the second set. */
int has_avx2(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
    return 0;
#endif
}
