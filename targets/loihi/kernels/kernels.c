/* Lowered networks over time; equations in targets/loihi/program.py, layouts in pack.py.
 *
 * All sums are modulo 2^32, which is exact: a current is taken modulo 2^24 in the end. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#define INLINE static inline __attribute__((always_inline))
#define LANES 8
/* Neurons of one block of a dense product: as many sums as fit the registers. */
#define BLOCK 128
#define STATE_MAX ((1 << 23) - 1)

typedef int32_t ints __attribute__((vector_size(32), aligned(4), may_alias));
typedef int16_t shorts __attribute__((vector_size(32), aligned(2), may_alias));
typedef int16_t halves __attribute__((vector_size(16), aligned(2), may_alias));

/* Synapses of one hop; of `dense` and `first` one is null. */
typedef struct {
    int64_t source, delay;
    /* [source, neurons] weights, summed by at most `most` at a time, then shifted by `exponent`. */
    const int16_t *dense;
    int64_t most, exponent;
    /* Pairs (first neuron of the target, first value of `rows`) of source pixel i from first[i] to first[i + 1];
     * at that value begin `width` weights of channel 0, then those of channel 1. */
    const int64_t *first;
    const int32_t *runs, *rows;
    int64_t width;
    /* Source i is (i / divisor, i % divisor): pixel and channel, or, `planar`, channel and pixel. */
    int64_t divisor, planar;
} hop;

/* A source of spikes: planes of spikes +1 and, for an input, -1, kept for `depth` steps as masks of bits. */
typedef struct {
    int64_t neurons, words, planes, depth;
    uint64_t *masks;
    int64_t *counts;
} node;

typedef struct {
    int64_t node, first_hop, last_hop;
    int32_t keep_u, keep_v, threshold, subtract;
    /* [rows, neurons], the last row holds on; `bias_u` is null where all of it is 0. */
    const int32_t *bias_u, *bias_v;
    int64_t rows_u, rows_v;
    /* State [batch, neurons]. */
    int32_t *u, *v;
    /* Place of each neuron in the records [steps, batch, size] that follow, -1 for padding; they may be null. */
    const int32_t *place;
    int64_t size;
    float *spikes;
    int64_t *u_every, *v_every;
} population;

typedef struct {
    int64_t batch, steps, elapsed, inputs, populations, widest;
    const node *nodes;
    const hop *hops;
    const population *members;
    /* One [steps, batch, neurons] an input. */
    const float *const *fed;
} network;

static uint64_t *plane(const node *n, int64_t b, int64_t t, int64_t which) {
    return n->masks + ((b * n->depth + t % n->depth) * n->planes + which) * n->words;
}

/* Positions of the bits of a mask in `events`; returns their number. */
INLINE int64_t list(const uint64_t *mask, int64_t words, int32_t *restrict events) {
    int64_t n = 0;
    for (int64_t w = 0; w < words; w++)
        for (uint64_t some = mask[w]; some; some &= some - 1) events[n++] = w * 64 + __builtin_ctzll(some);
    return n;
}

/* Adds the spikes of a mask to the counts of its node; returns their number, their positions in `events`. */
static int64_t count(const node *n, const uint64_t *mask, int32_t *events) {
    int64_t found = list(mask, n->words, events);
    for (int64_t i = 0; i < found; i++) n->counts[events[i]]++;
    return found;
}

/* Masks of the values 1 and -1 of `x`; returns 1 where there is another value. */
static int split(const float *x, int64_t n, int64_t words, uint64_t *positive, uint64_t *negative) {
    uint64_t other = 0;
    for (int64_t w = 0; w < words; w++) {
        uint64_t up = 0, down = 0;
        int64_t held = n - w * 64 < 64 ? n - w * 64 : 64, i = 0;
        const float *at = x + w * 64;
#if defined(__AVX2__)
        const __m256 one = _mm256_set1_ps(1), minus = _mm256_set1_ps(-1), zero = _mm256_setzero_ps();
        for (; i + 8 <= held; i += 8) {
            __m256 value = _mm256_loadu_ps(at + i);
            uint64_t some = _mm256_movemask_ps(_mm256_cmp_ps(value, zero, _CMP_NEQ_UQ));
            if (!some) continue;
            uint64_t ones = _mm256_movemask_ps(_mm256_cmp_ps(value, one, _CMP_EQ_OQ));
            uint64_t minuses = _mm256_movemask_ps(_mm256_cmp_ps(value, minus, _CMP_EQ_OQ));
            other |= some & ~(ones | minuses);
            up |= ones << i;
            down |= minuses << i;
        }
#endif
        for (; i < held; i++) {
            up |= (uint64_t)(at[i] == 1) << i;
            down |= (uint64_t)(at[i] == -1) << i;
            other |= at[i] != 0 && at[i] != 1 && at[i] != -1;
        }
        positive[w] = up;
        negative[w] = down;
    }
    return other != 0;
}

INLINE void add_short(int32_t *to, shorts sum, int64_t shift, int32_t sign) {
    halves low, high;
    memcpy(&low, &sum, sizeof low);
    memcpy(&high, (char *)&sum + sizeof low, sizeof high);
    *(ints *)to += (__builtin_convertvector(low, ints) << (int)shift) * sign;
    *(ints *)(to + LANES) += (__builtin_convertvector(high, ints) << (int)shift) * sign;
}

INLINE void gather_as(int vectors, const hop *h, int64_t stride, int64_t at, const int32_t *events, int64_t n,
                      int32_t sign, int32_t *current) {
    for (int64_t from = 0; from < n; from += h->most) {
        int64_t to = n - from < h->most ? n : from + h->most;
        shorts sum[BLOCK / 16];
        for (int k = 0; k < vectors; k++) sum[k] = (shorts){0};
        for (int64_t i = from; i < to; i++) {
            const int16_t *row = h->dense + events[i] * stride + at;
            for (int k = 0; k < vectors; k++) sum[k] += *(const shorts *)(row + 16 * k);
        }
        for (int k = 0; k < vectors; k++) add_short(current + at + 16 * k, sum[k], h->exponent, sign);
    }
}

/* Sums over the dense rows of the active sources. */
static void gather(const hop *h, int64_t neurons, const int32_t *events, int64_t n, int32_t sign,
                   int32_t *current) {
    int64_t at = 0;
    for (; at + BLOCK <= neurons; at += BLOCK) gather_as(BLOCK / 16, h, neurons, at, events, n, sign, current);
    for (; at + 64 <= neurons; at += 64) gather_as(4, h, neurons, at, events, n, sign, current);
    for (; at < neurons; at += 16) gather_as(1, h, neurons, at, events, n, sign, current);
}

INLINE void scatter_as(int vectors, const hop *h, const int32_t *events, int64_t n, int negative,
                       int32_t *current) {
    uint32_t divisor = h->divisor;
    for (int64_t i = 0; i < n; i++) {
        uint32_t whole = (uint32_t)events[i] / divisor, rest = (uint32_t)events[i] % divisor;
        int64_t pixel = h->planar ? rest : whole, channel = h->planar ? whole : rest;
        const int32_t *rows = h->rows + channel * vectors * LANES;
        for (int64_t r = h->first[pixel]; r < h->first[pixel + 1]; r++) {
            ints *to = (ints *)(current + h->runs[2 * r]);
            const ints *row = (const ints *)(rows + h->runs[2 * r + 1]);
            for (int k = 0; k < vectors; k++) to[k] = negative ? to[k] - row[k] : to[k] + row[k];
        }
    }
}

/* Adds the runs of the active sources where they belong. */
static void scatter(const hop *h, const int32_t *events, int64_t n, int negative, int32_t *current) {
    switch (h->width / LANES) {
#define CASE(v) case v: if (negative) scatter_as(v, h, events, n, 1, current); else scatter_as(v, h, events, n, 0, current); break;
        CASE(1) CASE(2) CASE(3) CASE(4) CASE(8)
#undef CASE
    default: scatter_as(h->width / LANES, h, events, n, negative, current);
    }
}

INLINE int bits(ints mask) {
#if defined(__AVX2__)
    return _mm256_movemask_ps((__m256)mask);
#else
    int found = 0;
    for (int i = 0; i < LANES; i++) found |= (mask[i] & 1) << i;
    return found;
#endif
}

/* trunc(x * keep / 4096) for |x| <= 2^23: the upper and lower 12 bits of |x| apart, so that 32 bits do. */
INLINE ints decay(ints x, ints keep) {
    ints sign = x >> 31, size = (x ^ sign) - sign;
    ints kept = (size >> 12) * keep + (((size & 4095) * keep) >> 12);
    return (kept ^ sign) - sign;
}

/* One step of a population; spikes as bits. `current` holds the bias. Without a synapse u is kept only where
 * it is read. */
INLINE void update_as(int synapse, int subtract, const population *p, int64_t n, const int32_t *restrict current,
                      const int32_t *restrict bias, int32_t *restrict us, int32_t *restrict vs,
                      uint8_t *restrict mask) {
    const ints keep_u = p->keep_u - (ints){0}, keep_v = p->keep_v - (ints){0}, threshold = p->threshold - (ints){0};
    const ints most = STATE_MAX - (ints){0};
    for (int64_t i = 0; i < n; i += LANES) {
        ints u = *(const ints *)(current + i) << 6;
        if (synapse) u += decay(*(ints *)(us + i), keep_u);
        /* Into (-2^23, 2^23]: 2^23 - u modulo 2^24, taken back. */
        u = (1 << 23) - (((1 << 23) - u) & 0xffffff);
        if (synapse) *(ints *)(us + i) = u;
        ints v = decay(*(ints *)(vs + i), keep_v) + u + *(const ints *)(bias + i);
        ints over = v > most, under = v < -most;
        v = (v & ~(over | under)) | (most & over) | (-most & under);
        ints fired = v > threshold;
        *(ints *)(vs + i) = subtract ? v - (threshold & fired) : v & ~fired;
        mask[i / LANES] = bits(fired);
    }
}

static void update(const population *p, int64_t n, const int32_t *current, const int32_t *bias, int32_t *u,
                   int32_t *v, uint8_t *mask) {
    if (p->subtract) update_as(1, 1, p, n, current, bias, u, v, mask);
    else if (p->keep_u || p->u_every) update_as(1, 0, p, n, current, bias, u, v, mask);
    else update_as(0, 0, p, n, current, bias, u, v, mask);
}

static void record(const population *p, int64_t n, const int32_t *values, int64_t *to) {
    for (int64_t i = 0; i < n; i++) if (p->place[i] >= 0) to[p->place[i]] = values[i];
}

static void step(const network *net, const population *p, int64_t b, int64_t t, int32_t *current, int32_t *events) {
    const node *own = net->nodes + p->node;
    int64_t n = own->neurons, now = net->elapsed + t;
    int64_t row_u = now < p->rows_u ? now : p->rows_u - 1, row_v = now < p->rows_v ? now : p->rows_v - 1;
    if (p->bias_u) memcpy(current, p->bias_u + row_u * n, n * sizeof(int32_t));
    else memset(current, 0, n * sizeof(int32_t));
    for (int64_t i = p->first_hop; i < p->last_hop; i++) {
        const hop *h = net->hops + i;
        const node *from = net->nodes + h->source;
        if (now < h->delay) continue;
        for (int64_t which = 0; which < from->planes; which++) {
            int64_t found = list(plane(from, b, now - h->delay, which), from->words, events);
            if (h->dense) gather(h, n, events, found, which ? -1 : 1, current);
            else scatter(h, events, found, which, current);
        }
    }
    int32_t *u = p->u + b * n, *v = p->v + b * n;
    uint64_t *mask = plane(own, b, now, 0);
    update(p, n, current, p->bias_v + row_v * n, u, v, (uint8_t *)mask);
    int64_t found = count(own, mask, events), here = (t * net->batch + b) * p->size;
    if (p->spikes) for (int64_t i = 0; i < found; i++) p->spikes[here + p->place[events[i]]] = 1;
    if (p->u_every) record(p, n, u, p->u_every + here);
    if (p->v_every) record(p, n, v, p->v_every + here);
}

/* Advance every sample by `steps`. Populations come in an order in which each hop without delay goes forward.
 * Returns 1 where the input holds anything but -1, 0 and 1, -1 where there is no memory. */
int fixed_advance(const network *net) {
    int32_t *current = aligned_alloc(64, (net->widest + 64) * sizeof(int32_t));
    int32_t *events = malloc((net->widest + 64) * sizeof(int32_t));
    int failed = current && events ? 0 : -1;
    for (int64_t b = 0; b < net->batch && !failed; b++)
        for (int64_t t = 0; t < net->steps && !failed; t++) {
            for (int64_t i = 0; i < net->inputs; i++) {
                const node *n = net->nodes + i;
                const float *x = net->fed[i] + (t * net->batch + b) * n->neurons;
                uint64_t *up = plane(n, b, net->elapsed + t, 0), *down = plane(n, b, net->elapsed + t, 1);
                failed |= split(x, n->neurons, n->words, up, down);
                count(n, up, events);
                count(n, down, events);
            }
            for (int64_t i = 0; i < net->populations; i++) step(net, net->members + i, b, t, current, events);
        }
    free(current);
    free(events);
    return failed;
}
