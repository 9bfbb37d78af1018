/* Sums by lookup: windows of a mask are numbers of rows that hold the sum for whatever a window may hold. A spike is
 * a bit, so each lookup stands for as many products as a window has bits, however many of them are set. */

/* Runs of a pixel that are summed together, at most, as in lookups.py. */
#define RUNS 8
/* Steps whose sums are in registers together, of up to 16 neurons; of more, half as many. */
#define STEPS 8

/* Masks of the source in `steps` steps, and currents of these, `stride` apart, of neurons from `from` to `to`. Sums
 * are taken off where `negative`; where `fresh` they are what the currents are, else they are added. */
typedef struct {
    const uint64_t *const *masks;
    int64_t steps, from, to, stride;
    int negative, fresh;
    void *currents;
} delivery;

/* A run as every step reads it: a word from `byte` of a mask on, shifted to the right, has its first window where that
 * counts bytes of a row. The byte may lie before the mask, in an empty word. */
typedef struct {
    int64_t byte, shift, windows;
    const char *tables;
} reading;

INLINE int scale_of(int neurons) { return neurons > 16 ? 6 : neurons > 8 ? 5 : 4; }

/* Adds the rows of a table that the words of `steps` steps name. */
INLINE void add_rows(int neurons, int steps, int bits, const char *table, const uint64_t *words, shorts (*sums)[2]) {
    const uint64_t window = (((uint64_t)1 << bits) - 1) << scale_of(neurons);
    for (int i = 0; i < steps; i++)
        for (int k = 0; k < (neurons > 16 ? 2 : 1); k++) {
            shorts found = {0};
            memcpy(&found, table + (words[i] & window) + 32 * k, (neurons > 16 ? 16 : neurons) * sizeof(int16_t));
            sums[i][k] += found;
        }
}

/* Where the sums of a pixel go, `stride` neurons from one step to the next. */
typedef struct {
    int16_t *to;
    int64_t stride;
} outlet;

/* Sums of runs in `steps` steps. */
INLINE void sum_up(int neurons, int steps, int bits, const reading *runs, const reading *end,
                   const uint64_t *const *masks, outlet o) {
    shorts sums[STEPS][2];
    for (int i = 0; i < steps; i++) sums[i][0] = sums[i][1] = (shorts){0};
    for (const reading *r = runs; r < end; r++) {
        const char *table = r->tables;
        uint64_t words[STEPS];
        for (int i = 0; i < steps; i++) {
            memcpy(words + i, (const char *)masks[i] + r->byte, sizeof *words);
            words[i] >>= r->shift;
        }
        add_rows(neurons, steps, bits, table, words, sums);
        for (int64_t left = r->windows - 1; left; left--) {
            table += ((1 << bits) + 1) << scale_of(neurons);
            for (int i = 0; i < steps; i++) words[i] >>= bits;
            add_rows(neurons, steps, bits, table, words, sums);
        }
    }
    for (int i = 0; i < steps; i++)
        for (int k = 0; k < (neurons > 16 ? 2 : 1); k++) ((shorts *)(o.to + i * o.stride))[k] = sums[i][k];
}

/* Adds sums of `neurons` to the currents behind `place`. */
static void deposit(int neurons, int narrow, int64_t exponent, outlet o, const delivery *d, int64_t place) {
    for (int64_t t = 0; t < d->steps; t++, o.to += o.stride)
        for (int k = 0; k < neurons; k += 16) {
            shorts sum = *(const shorts *)(o.to + k);
            int64_t to = t * d->stride + place + k;
            if (d->negative) sum = -sum;
            if (!narrow) add_short((int32_t *)d->currents + to, neurons, sum, exponent);
            else if (neurons > 8) *(shorts *)((int16_t *)d->currents + to) += sum;
            else *(halves *)((int16_t *)d->currents + to) += lower(sum);
        }
}

/* The runs from `run` to `end`, at most RUNS, for `neurons` from `at` on of a pixel that lies `place` behind `from`
 * and whose first bit is `origin`. */
INLINE void strip(int neurons, int narrow, int bits, const hop *h, const int32_t *run, const int32_t *end, int64_t at,
                  int64_t origin, const delivery *d, int64_t place, int fresh) {
    const int together = neurons > 16 ? STEPS / 2 : STEPS, states = (1 << bits) + 1, scale = scale_of(neurons);
    const char *tables = (const char *)((const int16_t *)h->rows + h->windows * at * states);
    reading runs[RUNS], *last = runs;
    for (; run < end; run += 3) {
        int64_t bit = origin + run[0] - scale;
        *last++ = (reading){bit >> 3, bit & 7, run[1], tables + ((int64_t)run[2] * states << scale)};
    }
    int16_t sums[STRETCH][32];
    const int direct = narrow && fresh && !d->negative && neurons > 8;
    const outlet all = direct ? (outlet){(int16_t *)d->currents + place + at, d->stride} : (outlet){sums[0], 32};
    outlet o = all;
    int64_t t = 0;
    for (; t + together <= d->steps; t += together, o.to += together * o.stride)
        sum_up(neurons, together, bits, runs, last, d->masks + t, o);
    for (; t < d->steps; t++, o.to += o.stride) sum_up(neurons, 1, bits, runs, last, d->masks + t, o);
    if (!direct) deposit(neurons, narrow, h->exponent, all, d, place + at);
}

/* All runs of a pixel, `most` at a time: their tables stay near, and their sums within 16 bits. */
INLINE void strips(int neurons, int narrow, int bits, const hop *h, const int32_t *first, int64_t at,
                   const delivery *d, int64_t place) {
    int32_t from = first[1], to;
    int fresh = d->fresh;
    /* At least once: a pixel that nothing reaches may be fresh. */
    do {
        to = first[2] - from < h->most ? first[2] : from + h->most;
        strip(neurons, narrow, bits, h, h->runs + 3 * from, h->runs + 3 * to, at, first[0], d, place, fresh);
        fresh = 0;
        from = to;
    } while (from < first[2]);
}

INLINE void look_up_as(int narrow, int bits, const hop *h, const delivery *d) {
    const int32_t *first = h->first + d->from / h->width * 3;
    for (int64_t place = 0; d->from + place + h->width <= d->to; place += h->width, first += 3) {
        int64_t at = 0;
        for (; at + 32 <= h->width; at += 32) strips(32, narrow, bits, h, first, at, d, place);
        if (at + 16 <= h->width) {
            strips(16, narrow, bits, h, first, at, d, place);
            at += 16;
        }
        if (at < h->width) strips(8, narrow, bits, h, first, at, d, place);
    }
}

/* Adds what hop `h` delivers. */
static void look_up(int narrow, const hop *h, const delivery *d) {
    if (h->bits == 8) {
        if (narrow) look_up_as(1, 8, h, d);
        else look_up_as(0, 8, h, d);
    } else {
        if (narrow) look_up_as(1, h->bits, h, d);
        else look_up_as(0, h->bits, h, d);
    }
}
