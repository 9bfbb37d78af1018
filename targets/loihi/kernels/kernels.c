/* Lowered networks over time; equations in targets/loihi/program.py, layouts in pack.py.
 *
 * All sums are modulo 2^32, which is exact: a current is taken modulo 2^24 in the end. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bits.h"

#define INLINE static inline __attribute__((always_inline))
#define LANES 8
/* Neurons of one block of a dense product: as many sums as fit the registers. */
#define BLOCK 128
/* Neurons that are updated together; populations are padded to whole groups. */
#define GROUP 32
/* Steps that are taken at once where no cycle forbids it, at most; as in compiled.py. */
#define STRETCH 40
/* Steps after which a count of 8 bits may be full. */
#define TALLY 255
#define STATE_MAX ((1 << 23) - 1)
/* Currents from one step to the next, for as many neurons: other lines of the cache. */
#define STRIDE(neurons) ((neurons) + 32)

typedef int32_t ints __attribute__((vector_size(32), aligned(4), may_alias));
typedef int16_t shorts __attribute__((vector_size(32), aligned(2), may_alias));
typedef int16_t halves __attribute__((vector_size(16), aligned(2), may_alias));
typedef uint8_t bytes __attribute__((vector_size(32), aligned(1), may_alias));

/* Synapses of one hop; of `dense` and `first` one is null. */
typedef struct {
    int64_t source, delay;
    /* [source, width] weights, summed by at most `most` at a time, then shifted by `exponent`. */
    const int16_t *dense;
    int64_t most, exponent;
    /* For events: of source pixel i the first neuron that it reaches, and its runs from first[3i + 1] to
     * first[3i + 2]. A run is a neuron, counted from the first, and a value of `rows`, at which begin `width`
     * weights of channel 0, then those of channel 1. Into a narrow current rows are int16, else int32, shifted by
     * the exponent.
     * For lookups: of pixel i of the target, which is `width` neurons, the first bit that reaches it, and its runs,
     * of which `most` are summed at a time. A run is a bit, counted from the first, a number of windows side by side
     * and the first of their tables. */
    const int32_t *first;
    const int32_t *runs;
    const void *rows;
    int64_t width;
    /* Source i of events is channel i % divisor of pixel i / divisor; the divisor is 2^shift, or `shift` negative. */
    int64_t divisor, shift;
    /* Bits of a window, 0 for events. Then `rows` are, for each strip of 32 of the `width` neurons (the last two may
     * be of 16 and 8), int16 [windows, 2^bits + 1, strip]: sums for whatever a window may hold, and an empty row. */
    int64_t bits, windows;
} hop;

/* A source of spikes: planes of spikes +1 and, for an input, -1, kept for `depth` steps as masks of bits. An
 * empty word lies before and behind the bits of a mask. */
typedef struct {
    int64_t neurons, words, planes, depth;
    uint64_t *masks;
    int64_t *counts;
    /* Spikes of each neuron since the last addition to the counts. */
    uint8_t *tally;
    /* Of an input: bit of each neuron, null where it is its number, channels of a pixel, which are the outer of its
     * dimensions; for each sample, whether it ever held a -1. */
    const int32_t *place;
    int64_t channels;
    uint8_t *negative;
} node;

typedef struct {
    /* Populations of one `group` come one after the other and feed each other. Up to `together` steps and `span`
     * neurons are taken at once. */
    int64_t node, first_hop, last_hop, group, together, span;
    /* `narrow`: no current leaves 16 bits before it is shifted by `exponent`. `remembers`: anything of u is kept.
     * `shared`: all neurons keep the same. `wraps`: a current may leave 24 bits. `clips`: so may a membrane. */
    int32_t narrow, exponent, remembers, shared, wraps, clips, subtract, threshold;
    /* Of 4096, what each neuron keeps of its state. */
    const int32_t *keep_u, *keep_v;
    /* [rows_u, neurons], shifted to units of u, null where all of it is 0; [rows_v, tile], which neuron i reads
     * at i modulo tile. The last row holds on. */
    const int32_t *bias_u, *bias_v;
    int64_t rows_u, rows_v, tile;
    /* The tally of the node. */
    uint8_t *tally;
    /* State [batch, neurons]. */
    int32_t *u, *v;
    /* Place of each neuron in the records [steps, batch, size] that follow, -1 for padding; they may be null. */
    const int32_t *place;
    int64_t size;
    float *spikes;
    int64_t *u_every, *v_every;
} population;

/* Currents [steps, stride] of a population, positions of events, the masks of an input in C order. */
typedef struct {
    void *current;
    int32_t *events;
    uint64_t *masks;
} buffers;

typedef struct {
    /* At most: neurons of a node, currents of a population. */
    int64_t batch, steps, elapsed, inputs, populations, stretch, widest, currents;
    const node *nodes;
    const hop *hops;
    const population *members;
    /* One [steps, batch, neurons] an input. */
    const float *const *fed;
    /* Sample under way. Unless states are `kept` there is room for one sample, and each begins anew. */
    int64_t sample, kept;
} network;

/* Step `t` may lie before the first: its masks are empty. */
static uint64_t *plane(const node *n, int64_t b, int64_t t, int64_t which) {
    return n->masks + ((b * n->depth + (t + n->depth) % n->depth) * n->planes + which) * n->words;
}

/* The same of `steps` steps from `t` on. */
static void planes_of(const node *n, int64_t b, int64_t t, int64_t steps, int64_t which, const uint64_t **masks) {
    const int64_t apart = n->planes * n->words;
    const uint64_t *at = plane(n, b, t, which), *end = n->masks + (b + 1) * n->depth * apart;
    for (int64_t i = 0; i < steps; i++, at += apart) {
        if (at >= end) at -= n->depth * apart;
        masks[i] = at;
    }
}

/* Planes that hold anything in sample b. */
static int64_t planes(const node *n, int64_t b) { return n->planes > 1 && n->negative[b] ? 2 : 1; }

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
            _mm256_storeu_si256((__m256i *)(events + n), _mm256_add_epi32(bit_positions(byte), at));
            n += __builtin_popcount(byte);
        }
#else
        for (; some; some &= some - 1) events[n++] = w * 64 + __builtin_ctzll(some);
#endif
    }
    return n;
}

#include "inputs.c"
#include "neurons.c"
#include "events.c"
#include "lookups.c"

/* What arrives at neurons `from` to `to` in `steps` steps from `t` on, int16 or int32 [steps, stride]. */
static void arrive(const network *net, const population *p, int64_t b, int64_t t, int64_t steps, int64_t from,
                   int64_t to, const buffers *held) {
    int64_t size = p->narrow ? sizeof(int16_t) : sizeof(int32_t), stride = STRIDE(to - from);
    const hop *first = net->hops + p->first_hop, *last = net->hops + p->last_hop;
    /* Whether the first lookups reach all currents; they do not add then, and nothing is set before them. */
    int fresh = first < last && first->bits && p->narrow && first->width % 16 == 0 && (to - from) % first->width == 0;
    if (!fresh) memset(held->current, 0, steps * stride * size);
    for (const hop *h = first; h < last; h++) {
        const node *source = net->nodes + h->source;
        int64_t sent = net->elapsed + t - h->delay;
        for (int64_t which = 0; which < planes(source, b); which++) {
            if (h->bits) {
                const uint64_t *masks[STRETCH];
                planes_of(source, b, sent, steps, which, masks);
                delivery d = {masks, steps, from, to, stride, which, fresh, held->current};
                look_up(p->narrow, h, &d);
                fresh = 0;
                continue;
            }
            for (int64_t i = 0; i < steps; i++) {
                void *sums = (char *)held->current + i * stride * size;
                int64_t found = list(plane(source, b, sent + i, which), source->words, held->events);
                if (h->dense) gather(p->narrow, h, held->events, found, which ? -1 : 1, sums);
                else scatter(p->narrow, h, held->events, found, which, sums);
            }
        }
    }
}

static void record(const population *p, int64_t n, const int32_t *values, int64_t *to) {
    for (int64_t i = 0; i < n; i++) if (p->place[i] >= 0) to[p->place[i]] = values[i];
}

/* Step `t` of sample `b` into the records. */
static void keep(const network *net, const population *p, int64_t b, int64_t t, int32_t *events) {
    const node *own = net->nodes + p->node;
    int64_t n = own->neurons, here = (t * net->batch + net->sample) * p->size;
    if (p->spikes) {
        int64_t found = list(plane(own, b, net->elapsed + t, 0), own->words, events);
        for (int64_t i = 0; i < found; i++) p->spikes[here + p->place[events[i]]] = 1;
    }
    if (p->u_every) record(p, n, p->u + b * n, p->u_every + here);
    if (p->v_every) record(p, n, p->v + b * n, p->v_every + here);
}

/* `steps` steps of one population from `t` on. */
static void step(const network *net, const population *p, int64_t b, int64_t t, int64_t steps, const buffers *held) {
    const node *own = net->nodes + p->node;
    int64_t n = own->neurons, now = net->elapsed + t, rows = p->rows_u > p->rows_v ? p->rows_u : p->rows_v;
    uint32_t *masks[STRETCH];
    for (int64_t i = 0; i < steps; i++) masks[i] = (uint32_t *)plane(own, b, now + i, 0);
    for (int64_t from = 0, to; from < n; from = to) {
        to = from + p->span < n ? from + p->span : n;
        arrive(net, p, b, t, steps, from, to, held);
        for (int64_t i = 0, end; i < steps; i = end) {
            end = now + i + 1 >= rows ? steps : i + 1;
            update(p, n, b, now + i, end - i, from, to, held->current, i, masks + i);
        }
    }
    for (int64_t i = 0; i < steps; i++) keep(net, p, b, t + i, held->events);
}

/* `steps` steps of sample b from `t` on. */
static void stretch(const network *net, int64_t b, int64_t t, int64_t steps, const buffers *held) {
    const population *last = net->members + net->populations;
    for (const population *first = net->members, *end; first < last; first = end) {
        for (end = first + 1; end < last && end->group == first->group;) end++;
        int64_t most = first->u_every ? 1 : first->together;
        for (int64_t at = t, size; at < t + steps; at += size) {
            size = t + steps - at < most ? t + steps - at : most;
            for (const population *p = first; p < end; p++) step(net, p, b, at, size, held);
        }
    }
}

/* Adds every tally to the counts, and begins anew. */
static void flush(const network *net) {
    for (const node *n = net->nodes; n < net->nodes + net->inputs + net->populations; n++) {
        for (int64_t i = 0; i < n->neurons; i++) n->counts[i] += n->tally[i];
        memset(n->tally, 0, n->neurons);
    }
}

/* The state before the first step, for a single sample. */
static void restart(const network *net) {
    for (int64_t m = 0; m < net->populations; m++) {
        const population *p = net->members + m;
        int64_t size = net->nodes[p->node].neurons * sizeof(int32_t);
        memset(p->u, 0, size);
        memset(p->v, 0, size);
    }
    for (int64_t i = 0; i < net->inputs + net->populations; i++) {
        const node *n = net->nodes + i;
        memset(n->masks, 0, n->depth * n->planes * n->words * sizeof(uint64_t));
        if (n->negative) *n->negative = 0;
    }
}

/* Advance every sample by `steps`. Populations come in an order in which each hop without delay goes forward.
 * Returns 1 where the input holds anything but -1, 0 and 1, -1 where there is no memory. */
int fixed_advance(network *net) {
    int64_t room = net->widest + 64;
    buffers held = {aligned_alloc(64, (net->currents + 16) / 16 * 16 * sizeof(int32_t)), malloc(room * sizeof(int32_t)),
                    malloc((room / 64 + 1) * 2 * sizeof(uint64_t))};
    int failed = held.current && held.events && held.masks ? 0 : -1;
#if defined(__AVX2__)
    /* Toward zero, as `decay` takes it. */
    unsigned rounding = _mm_getcsr();
    _mm_setcsr(rounding | _MM_ROUND_TOWARD_ZERO);
#endif
    int64_t tallied = 0;
    for (net->sample = 0; net->sample < net->batch && !failed; net->sample++) {
        int64_t b = net->kept ? net->sample : 0;
        if (!net->kept) restart(net);
        for (int64_t t = 0; t < net->steps && !failed; t += net->stretch) {
            int64_t steps = net->steps - t < net->stretch ? net->steps - t : net->stretch;
            for (int64_t i = 0; i < net->inputs; i++)
                for (int64_t at = t; at < t + steps; at++) failed |= read(net, i, b, at, &held);
            if (failed) break;
            stretch(net, b, t, steps, &held);
            tallied += steps;
            if (tallied + net->stretch <= TALLY) continue;
            flush(net);
            tallied = 0;
        }
    }
    flush(net);
#if defined(__AVX2__)
    _mm_setcsr(rounding);
#endif
    free(held.current);
    free(held.events);
    free(held.masks);
    return failed;
}
