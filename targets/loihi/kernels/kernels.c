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
/* Neurons that are updated together; populations are padded to whole groups. */
#define GROUP 32
/* Steps after which a count of 8 bits may be full. */
#define TALLY 255
#define STATE_MAX ((1 << 23) - 1)

typedef int32_t ints __attribute__((vector_size(32), aligned(4), may_alias));
typedef int16_t shorts __attribute__((vector_size(32), aligned(2), may_alias));
typedef int16_t halves __attribute__((vector_size(16), aligned(2), may_alias));

/* Synapses of one hop; of `dense`, `first` and `weights` all but one are null. */
typedef struct {
    int64_t source, delay;
    /* [source, width] weights, summed by at most `most` at a time, then shifted by `exponent`. */
    const int16_t *dense;
    int64_t most, exponent;
    /* Of source pixel i: first neuron that it reaches, and its runs from first[3i + 1] to first[3i + 2]. A run is
     * a neuron, counted from the first, and a value of `rows`, at which begin `width` weights of channel 0, then
     * those of channel 1. */
    const int32_t *first;
    const int32_t *runs;
    /* Into a narrow current int16, else int32, shifted by the exponent. */
    const void *rows;
    int64_t width;
    /* Source i is (i / divisor, i % divisor): pixel and channel, or, `planar`, channel and pixel. The divisor
     * is 2^shift, unless `shift` is negative. */
    int64_t divisor, shift, planar;
    /* Of a product: a block of weights is, for each strip of STRIP of its `width` neurons (the last may be of LANES),
     * [pairs, strip, 2], two source channels side by side. A kind [first row, rows, first block, blocks] is rows of
     * neurons that multiply the same blocks, found at `blocks` in `weights`; a row of `table` is the first neuron, and
     * for each block where the source's values lie, of which a step has `size`. */
    const int16_t *weights;
    const int32_t *blocks;
    const int32_t *table;
    const int64_t *kinds;
    int64_t kind_count, pairs, size;
} hop;

/* A source of spikes: planes of spikes +1 and, for an input, -1, kept for `depth` steps as masks of bits. */
typedef struct {
    int64_t neurons, words, planes, depth;
    uint64_t *masks;
    int64_t *counts;
} node;

typedef struct {
    /* Populations of one `group` come one after the other and feed each other; `together`: one in no cycle, whose
     * steps of a stretch are taken at once. */
    int64_t node, first_hop, last_hop, group, together;
    /* `narrow`: no current leaves 16 bits before it is shifted by `exponent`. `remembers`: anything of u is kept.
     * `shared`: all neurons keep the same. `wraps`: a current may leave 24 bits. */
    int32_t narrow, exponent, remembers, shared, wraps, subtract, threshold;
    /* Of 4096, what each neuron keeps of its state. */
    const int32_t *keep_u, *keep_v;
    /* [rows_u, neurons], shifted to units of u, null where all of it is 0; [rows_v, tile], which neuron i reads
     * at i modulo tile. The last row holds on. */
    const int32_t *bias_u, *bias_v;
    int64_t rows_u, rows_v, tile;
    /* Spikes of each neuron since the last addition to the counts of the node. */
    uint8_t *tally;
    /* State [batch, neurons]. */
    int32_t *u, *v;
    /* Place of each neuron in the records [steps, batch, size] that follow, -1 for padding; they may be null. */
    const int32_t *place;
    int64_t size;
    float *spikes;
    int64_t *u_every, *v_every;
} population;

/* Of one step, or of a stretch: currents, positions of events, values of a source. */
typedef struct {
    void *current;
    int32_t *events;
    int16_t *values;
} buffers;

typedef struct {
    /* `widest` and `values`: neurons of a node and values of a hop, at most; of up to `stretch` steps at once. */
    int64_t batch, steps, elapsed, inputs, populations, stretch, widest, values;
    const node *nodes;
    const hop *hops;
    const population *members;
    /* One [steps, batch, neurons] an input. */
    const float *const *fed;
} network;

static uint64_t *plane(const node *n, int64_t b, int64_t t, int64_t which) {
    return n->masks + ((b * n->depth + t % n->depth) * n->planes + which) * n->words;
}

#if defined(__AVX2__)
/* Positions of the bits of each byte, one a byte. */
static uint64_t positions[256];

__attribute__((constructor)) static void fill_positions(void) {
    for (int value = 0; value < 256; value++)
        for (int bit = 0, n = 0; bit < 8; bit++)
            if (value >> bit & 1) positions[value] |= (uint64_t)bit << 8 * n++;
}
#endif

/* Positions of the bits of a mask in `events`, which has room for 8 more; returns their number. */
INLINE int64_t list(const uint64_t *mask, int64_t words, int32_t *restrict events) {
    int64_t n = 0;
    for (int64_t w = 0; w < words; w++) {
        uint64_t some = mask[w];
        if (!some) continue;
#if defined(__AVX2__)
        /* Without a branch a bit, which no processor foresees. */
        __m256i at = _mm256_set1_epi32(w * 64);
        for (int i = 0; i < 64; i += 8, at = _mm256_add_epi32(at, _mm256_set1_epi32(8))) {
            uint64_t byte = some >> i & 255;
            __m256i found = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(positions + byte)));
            _mm256_storeu_si256((__m256i *)(events + n), _mm256_add_epi32(found, at));
            n += __builtin_popcount(byte);
        }
#else
        for (; some; some &= some - 1) events[n++] = w * 64 + __builtin_ctzll(some);
#endif
    }
    return n;
}

/* Adds the spikes of a mask to the counts of its node. */
static void count(const node *n, const uint64_t *mask, int32_t *events) {
    int64_t found = list(mask, n->words, events);
    for (int64_t i = 0; i < found; i++) n->counts[events[i]]++;
}

/* Masks of the values 1 and -1 of `x`; returns 1 where there is another value. */
static int split(const float *x, int64_t n, int64_t words, uint64_t *positive, uint64_t *negative) {
    uint64_t other = 0;
#if defined(__AVX2__)
    const __m256 one = _mm256_set1_ps(1), minus = _mm256_set1_ps(-1), zero = _mm256_setzero_ps();
    __m256 strange = zero;
#endif
    for (int64_t w = 0; w < words; w++) {
        uint64_t up = 0, down = 0;
        int64_t held = n - w * 64 < 64 ? n - w * 64 : 64, i = 0;
        const float *at = x + w * 64;
#if defined(__AVX2__)
        /* Without a branch, as above. */
        for (; i + 8 <= held; i += 8) {
            __m256 value = _mm256_loadu_ps(at + i), some = _mm256_cmp_ps(value, zero, _CMP_NEQ_UQ);
            __m256 ones = _mm256_cmp_ps(value, one, _CMP_EQ_OQ), minuses = _mm256_cmp_ps(value, minus, _CMP_EQ_OQ);
            strange = _mm256_or_ps(strange, _mm256_andnot_ps(_mm256_or_ps(ones, minuses), some));
            up |= (uint64_t)_mm256_movemask_ps(ones) << i;
            down |= (uint64_t)_mm256_movemask_ps(minuses) << i;
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
#if defined(__AVX2__)
    other |= _mm256_movemask_ps(strange);
#endif
    return other != 0;
}

/* Masks of 32 neurons as bits; adds them to the tally. */
INLINE uint32_t collect(const ints *fired, uint8_t *tally) {
#if defined(__AVX2__)
    const __m256i *f = (const __m256i *)fired, order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(f[0], f[1]), _mm256_packs_epi32(f[2], f[3]));
    bytes = _mm256_permutevar8x32_epi32(bytes, order);
    __m256i *sum = (__m256i *)tally;
    _mm256_storeu_si256(sum, _mm256_sub_epi8(_mm256_loadu_si256(sum), bytes));
    return _mm256_movemask_epi8(bytes);
#else
    uint32_t found = 0;
    for (int i = 0; i < GROUP; i++) {
        uint32_t one = fired[i / LANES][i % LANES] & 1;
        found |= one << i;
        tally[i] += one;
    }
    return found;
#endif
}

/* trunc(x * keep / 4096) for |x| <= 2^23: the upper and lower 12 bits of |x| apart, so that 32 bits do. */
INLINE ints decay(ints x, ints keep) {
#if defined(__AVX2__)
    __m256i size = _mm256_abs_epi32((__m256i)x), factor = (__m256i)keep;
    /* Products of 16-bit halves; the upper half of `factor` is 0. The lower 12 bits stand 4 higher, so that the
     * upper half of their product is what 4096 goes into it. */
    __m256i upper = _mm256_madd_epi16(_mm256_srli_epi32(size, 12), factor);
    __m256i lower = _mm256_mulhi_epu16(_mm256_slli_epi16(size, 4), factor);
    return (ints)_mm256_sign_epi32(_mm256_add_epi32(upper, lower), (__m256i)x);
#else
    ints sign = x >> 31, size = (x ^ sign) - sign;
    ints kept = (size >> 12) * keep + (((size & 4095) * keep) >> 12);
    return (kept ^ sign) - sign;
#endif
}

/* As `decay`, for |x| < 2^23 and a `keep` in sixteens: 256ths do, and the product fits 31 bits. */
INLINE ints decay_coarse(ints x, ints keep) {
#if defined(__AVX2__)
    __m256i product = _mm256_mullo_epi32(_mm256_abs_epi32((__m256i)x), _mm256_srli_epi32((__m256i)keep, 4));
    return (ints)_mm256_sign_epi32(_mm256_srli_epi32(product, 8), (__m256i)x);
#else
    return decay(x, keep);
#endif
}

INLINE ints clip(ints v) {
    const ints most = STATE_MAX - (ints){0};
#if defined(__AVX2__)
    return (ints)_mm256_max_epi32(_mm256_min_epi32((__m256i)v, (__m256i)most), (__m256i)-most);
#else
    ints over = v > most, under = v < -most;
    return (v & ~(over | under)) | (most & over) | (-most & under);
#endif
}

/* What arrives at 8 neurons, in units of u. */
INLINE ints arriving(int narrow, const population *p, const void *current, int64_t i) {
    if (!narrow) return *(const ints *)((const int32_t *)current + i) << 6;
    return __builtin_convertvector(*(const halves *)((const int16_t *)current + i), ints) << (p->exponent + 6);
}

/* One step of a population; spikes as bits. Without `memory` u is nowhere kept. Without `general` all neurons
 * keep the same, nothing wraps, there is no bias of the current, and the reset is to 0; `coarse`: and `keep_v`
 * is in sixteens. */
INLINE void update_as(int narrow, int memory, int general, int coarse, const population *p, int64_t n,
                      const void *current, const int32_t *bias_u, const int32_t *bias_v, int32_t *restrict us,
                      int32_t *restrict vs, uint32_t *restrict mask) {
    const ints threshold = p->threshold - (ints){0};
    ints keep_u = p->keep_u[0] - (ints){0}, keep_v = p->keep_v[0] - (ints){0};
    for (int64_t i = 0, j = 0; i < n; i += GROUP) {
        ints fired[GROUP / LANES];
        for (int k = 0; k < GROUP / LANES; k++) {
            int64_t at = i + k * LANES;
            if (general && !p->shared)
                keep_u = *(const ints *)(p->keep_u + at), keep_v = *(const ints *)(p->keep_v + at);
            ints u = arriving(narrow, p, current, at);
            if (general && bias_u) u += *(const ints *)(bias_u + at);
            if (memory) u += decay(*(ints *)(us + at), keep_u);
            /* Into (-2^23, 2^23]: 2^23 - u modulo 2^24, taken back. */
            if (general && p->wraps) u = (1 << 23) - (((1 << 23) - u) & 0xffffff);
            if (memory) *(ints *)(us + at) = u;
            ints kept = coarse ? decay_coarse(*(ints *)(vs + at), keep_v) : decay(*(ints *)(vs + at), keep_v);
            ints v = clip(kept + u + *(const ints *)(bias_v + j + k * LANES));
            fired[k] = v > threshold;
            *(ints *)(vs + at) = general && p->subtract ? v - (threshold & fired[k]) : v & ~fired[k];
        }
        mask[i / GROUP] = collect(fired, p->tally + i);
        j = j + GROUP < p->tile ? j + GROUP : 0;
    }
}

static void update(const population *p, int64_t n, const void *current, const int32_t *bias_u, const int32_t *bias_v,
                   int32_t *u, int32_t *v, uint32_t *mask) {
    int memory = p->remembers || p->u_every, general = !p->shared || p->wraps || p->subtract || bias_u != 0;
    int coarse = !general && p->keep_v[0] % 16 == 0;
#define UPDATE(a, b, c, d)                                                        \
    if (!p->narrow == !(a) && !memory == !(b) && general == (c) && coarse == (d)) \
        update_as(a, b, c, d, p, n, current, bias_u, bias_v, u, v, mask);
#define UPDATES(a, b) UPDATE(a, b, 0, 0) UPDATE(a, b, 0, 1) UPDATE(a, b, 1, 0)
    UPDATES(0, 0) UPDATES(0, 1) UPDATES(1, 0) UPDATES(1, 1)
#undef UPDATES
#undef UPDATE
}

static void record(const population *p, int64_t n, const int32_t *values, int64_t *to) {
    for (int64_t i = 0; i < n; i++) if (p->place[i] >= 0) to[p->place[i]] = values[i];
}

#include "events.c"
#include "products.c"

/* What arrives in `steps` steps from `t` on, int16 or int32 [steps, neurons]; more than one step is never narrow. */
static void arrive(const network *net, const population *p, int64_t b, int64_t t, int64_t steps, const buffers *held) {
    int64_t n = net->nodes[p->node].neurons, now = net->elapsed + t;
    memset(held->current, 0, steps * n * (p->narrow ? sizeof(int16_t) : sizeof(int32_t)));
    for (int64_t i = p->first_hop; i < p->last_hop; i++) {
        const hop *h = net->hops + i;
        const node *from = net->nodes + h->source;
        if (h->weights) product(net, h, b, t, steps, held, n);
        else for (int64_t which = 0; which < from->planes && now >= h->delay; which++) {
            int64_t found = list(plane(from, b, now - h->delay, which), from->words, held->events);
            if (h->dense) gather(p->narrow, h, held->events, found, which ? -1 : 1, held->current);
            else scatter(p->narrow, h, held->events, found, which, held->current);
        }
    }
}

static void step(const network *net, const population *p, int64_t b, int64_t t, const void *current, int32_t *events) {
    const node *own = net->nodes + p->node;
    int64_t n = own->neurons, now = net->elapsed + t;
    int64_t row_u = now < p->rows_u ? now : p->rows_u - 1, row_v = now < p->rows_v ? now : p->rows_v - 1;
    int32_t *u = p->u + b * n, *v = p->v + b * n;
    uint64_t *mask = plane(own, b, now, 0);
    const int32_t *bias_u = p->bias_u ? p->bias_u + row_u * n : 0;
    update(p, n, current, bias_u, p->bias_v + row_v * p->tile, u, v, (uint32_t *)mask);
    int64_t here = (t * net->batch + b) * p->size;
    if (p->spikes) {
        int64_t found = list(mask, own->words, events);
        for (int64_t i = 0; i < found; i++) p->spikes[here + p->place[events[i]]] = 1;
    }
    if (p->u_every) record(p, n, u, p->u_every + here);
    if (p->v_every) record(p, n, v, p->v_every + here);
}

/* `steps` steps of sample b from `t` on. */
static void stretch(const network *net, int64_t b, int64_t t, int64_t steps, const buffers *held) {
    const population *last = net->members + net->populations;
    for (const population *first = net->members, *end; first < last; first = end) {
        for (end = first + 1; end < last && end->group == first->group;) end++;
        int64_t size = first->together ? steps : 1, n = net->nodes[first->node].neurons;
        for (int64_t at = t; at < t + steps; at += size)
            for (const population *p = first; p < end; p++) {
                arrive(net, p, b, at, size, held);
                for (int64_t i = 0; i < size; i++)
                    step(net, p, b, at + i, (const int32_t *)held->current + i * n, held->events);
            }
    }
}

/* Adds every tally to the counts, and begins anew. */
static void flush(const network *net) {
    for (int64_t m = 0; m < net->populations; m++) {
        const population *p = net->members + m;
        const node *own = net->nodes + p->node;
        for (int64_t i = 0; i < own->neurons; i++) own->counts[i] += p->tally[i];
        memset(p->tally, 0, own->neurons);
    }
}

/* Advance every sample by `steps`. Populations come in an order in which each hop without delay goes forward.
 * Returns 1 where the input holds anything but -1, 0 and 1, -1 where there is no memory. */
int fixed_advance(const network *net) {
    int64_t room = net->widest + 64;
    buffers held = {aligned_alloc(64, net->stretch * room * sizeof(int32_t) / 64 * 64 + 64),
                    malloc(room * sizeof(int32_t)), malloc((net->stretch * net->values + 64) * sizeof(int16_t))};
    int failed = held.current && held.events && held.values ? 0 : -1;
    for (int64_t b = 0, tallied = 0; b < net->batch && !failed; b++)
        for (int64_t t = 0; t < net->steps && !failed; t += net->stretch) {
            int64_t steps = net->steps - t < net->stretch ? net->steps - t : net->stretch;
            for (int64_t i = 0; i < net->inputs; i++)
                for (int64_t at = t; at < t + steps; at++) {
                    const node *n = net->nodes + i;
                    const float *x = net->fed[i] + (at * net->batch + b) * n->neurons;
                    uint64_t *up = plane(n, b, net->elapsed + at, 0), *down = plane(n, b, net->elapsed + at, 1);
                    failed |= split(x, n->neurons, n->words, up, down);
                    count(n, up, held.events);
                    count(n, down, held.events);
                }
            if (failed) break;
            stretch(net, b, t, steps, &held);
            tallied += steps;
            if (tallied + net->stretch <= TALLY) continue;
            flush(net);
            tallied = 0;
        }
    flush(net);
    free(held.current);
    free(held.events);
    free(held.values);
    return failed;
}
