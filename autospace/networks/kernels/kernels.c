/* Kernels for training cells on a CPU: depthwise and 1x1 convolution, batch normalisation, ReLU6
 * and the sum over the edges of a node, in as few passes over memory as they allow.
 *
 * Tensors are [N, H, W, C] with C contiguous (PyTorch's channels_last). Every function works on a
 * range of images or of blocks of channels. Sums run over the pixels of an image, then over the
 * images in their order, so that results depend neither on how ranges are shared out nor on the
 * width of a vector.
 *
 * The body is compiled for float and double, and on x86 twice more: for AVX2 with FMA, and for
 * AVX-512. WIDTH is that of a vector in bytes. FMA(a, b, c) is a * b + c, rounded once where the
 * processor can: it is written out, because a compiler is free to choose where it rounds twice.
 * Where there are masks, P(...) is an intrinsic for T, M a mask, and COMPARED makes one.
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
#define WIDTH 32
#define TARGET
#define STREAM(to, value) (*(__typeof__(value) *)(to) = (value))
#define FENCE()
#define FMA(a, b, c) ((a) * (b) + (c))
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
#undef FMA

#if defined(__x86_64__)
#include <immintrin.h>
/* What went past the caches is seen by other threads from here on. */
#define FENCE() _mm_sfence()
#define STREAM(to, value) _mm256_stream_si256((__m256i *)(to), (__m256i)(value))

#define ISA avx2
#define TARGET __attribute__((target("avx2,fma")))
#define T float
#define FMA(a, b, c) ((V)_mm256_fmadd_ps(a, b, c))
#include "body.h"
#undef T
#undef FMA
#define T double
#define FMA(a, b, c) ((V)_mm256_fmadd_pd(a, b, c))
#include "body.h"
#undef T
#undef FMA
#undef ISA
#undef TARGET
#undef WIDTH

#define ISA avx512
#define WIDTH 64
#define TARGET __attribute__((target("avx512f,avx512dq,avx2,fma")))
#define MASKED
#define FMA(a, b, c) ((V)P(fmadd)(a, b, c))
#define T float
#define P(name) _mm512_##name##_ps
#define M __mmask16
#define COMPARED _mm512_cmp_ps_mask
#include "body.h"
#undef T
#undef P
#undef M
#undef COMPARED
#define T double
#define P(name) _mm512_##name##_pd
#define M __mmask8
#define COMPARED _mm512_cmp_pd_mask
#include "body.h"
#undef T
#undef P
#undef M
#undef COMPARED
#undef MASKED
#undef FMA
#undef ISA
#undef TARGET
#undef WIDTH
#endif

/* To be raised with every change of a function's arguments: an old library is then left alone. */
int version(void) { return 4; }

/* Width in bytes of the widest vectors for which there is a set that the processor runs: 64 for
 * AVX-512, 32 for AVX2, 0 for what every processor has. */
int widest(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq")) return 64;
    return avx2 ? 32 : 0;
#else
    return 0;
#endif
}
