/* Kernels of the reference executor, once for float and once for double.
 *
 * Compiled at first use without contraction, so that every operation rounds as the torch path's does. */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bits.h"

/* As in population.py. */
enum { KEEP, TO_VALUE, SUBTRACT, SUBTRACT_LATE };
/* As in program.py. */
enum { ELSEWHERE, INTEGRATE, CONVOLVE, ADD, TRANSPOSE };

/* Of a convolution, sizes as [height, width]; as in events.py. */
typedef struct {
    int64_t channels, height, width, out_channels, out_height, out_width, kernel_y, kernel_x;
    int64_t stride_y, stride_x, before_y, before_x, dilation_y, dilation_x;
} GEOMETRY;

#define VECTOR_BYTES 32

#define JOIN_(a, b) a##_##b
#define JOIN(a, b) JOIN_(a, b)

/* a * b + c, `b` a scalar, rounded once where the processor can; for gradients alone. */
#if defined(__AVX2__) && defined(__FMA__)
#define FUSED_float32(a, b, c) _mm256_fmadd_ps((__m256)(a), _mm256_set1_ps(b), (__m256)(c))
#define FUSED_float64(a, b, c) _mm256_fmadd_pd((__m256d)(a), _mm256_set1_pd(b), (__m256d)(c))
#else
#define FUSED_float32(a, b, c) ((a) * (b) + (c))
#define FUSED_float64(a, b, c) ((a) * (b) + (c))
#endif

#define REAL float
#define NAME(name) JOIN(name, float32)
#define FUSED FUSED_float32
#include "scan.inc"
#include "events.inc"
#include "gradients.inc"
#include "cycle.inc"
#include "spikes.inc"
#undef REAL
#undef NAME
#undef FUSED

#define REAL double
#define NAME(name) JOIN(name, float64)
#define FUSED FUSED_float64
#include "scan.inc"
#include "events.inc"
#include "gradients.inc"
#include "cycle.inc"
#undef REAL
#undef NAME
#undef FUSED
