/* Sums by lookup: windows of a mask are numbers of rows that hold the sum for whatever a window may hold. A spike is
 * a bit, so each lookup stands for as many products as a window has bits, however many of them are set. */

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

/* Adds the rows of a table that the words of `count` steps name. */
INLINE void found_in(int neurons, int count, const char *table, const uint64_t *word, uint64_t window,
                     shorts (*sum)[2]) {
    for (int i = 0; i < count; i++)
        for (int k = 0; k < (neurons > 16 ? 2 : 1); k++) {
            shorts found = {0};
            memcpy(&found, table + (word[i] & window) + 32 * k, (neurons > 16 ? 16 : neurons) * sizeof(int16_t));
            sum[i][k] += found;
        }
}

/* The windows of the runs from `run` to `end` in `count` steps from step `t` on, for `neurons` from `at` on of a pixel
 * that lies `place` behind `from` and whose first bit is `origin`. */
INLINE void strip(int neurons, int count, int narrow, int bits, const hop *h, const int32_t *run, const int32_t *end,
                  int64_t at, int64_t origin, delivery d, int64_t t, int64_t place, int fresh) {
    const int vectors = neurons > 16 ? 2 : 1, scale = neurons > 16 ? 6 : neurons > 8 ? 5 : 4;
    const int64_t size = ((1 << bits) + 1) << scale;
    const uint64_t window = (((uint64_t)1 << bits) - 1) << scale;
    const char *tables = (const char *)((const int16_t *)h->rows + h->windows * at * ((1 << bits) + 1)), *mask[STEPS];
    shorts sum[STEPS][2];
    for (int i = 0; i < count; i++) {
        mask[i] = (const char *)d.masks[t + i];
        for (int k = 0; k < vectors; k++) sum[i][k] = (shorts){0};
    }
    for (; run < end; run += 3) {
        const char *table = tables + run[2] * size;
        /* The first window goes where it counts bytes of a row. */
        uint64_t word[STEPS], bit = origin + run[0], turn = (bit % 8 - scale) % 64;
        for (int i = 0; i < count; i++) {
            memcpy(word + i, mask[i] + bit / 8, sizeof *word);
            word[i] = word[i] >> turn | word[i] << -turn % 64;
        }
        found_in(neurons, count, table, word, window, sum);
        for (int32_t left = run[1] - 1; left; left--) {
            table += size;
            for (int i = 0; i < count; i++) word[i] >>= bits;
            found_in(neurons, count, table, word, window, sum);
        }
    }
    for (int i = 0; i < count; i++)
        for (int k = 0; k < vectors; k++) {
            int64_t to = (t + i) * d.stride + place + at + 16 * k;
            if (d.negative) sum[i][k] = -sum[i][k];
            if (!narrow) add_short((int32_t *)d.currents + to, neurons, sum[i][k], h->exponent);
            else if (fresh) *(shorts *)((int16_t *)d.currents + to) = sum[i][k];
            else if (neurons > 8) *(shorts *)((int16_t *)d.currents + to) += sum[i][k];
            else *(halves *)((int16_t *)d.currents + to) += lower(sum[i][k]);
        }
}

/* All runs of a pixel, `most` at a time: their tables stay near, and their sums within 16 bits. */
INLINE void strips(int neurons, int narrow, int bits, const hop *h, const int32_t *first, int64_t at,
                   delivery d, int64_t place) {
    const int together = neurons > 16 ? STEPS / 2 : STEPS;
    int32_t from = first[1], to;
    int fresh = d.fresh;
    /* At least once: a pixel that nothing reaches may be fresh. */
    do {
        to = first[2] - from < h->most ? first[2] : from + h->most;
        const int32_t *run = h->runs + 3 * from, *end = h->runs + 3 * to;
        int64_t t = 0;
        for (; t + together <= d.steps; t += together)
            strip(neurons, together, narrow, bits, h, run, end, at, first[0], d, t, place, fresh);
        for (; t < d.steps; t++) strip(neurons, 1, narrow, bits, h, run, end, at, first[0], d, t, place, fresh);
        fresh = 0;
        from = to;
    } while (from < first[2]);
}

INLINE void look_up_as(int narrow, int bits, const hop *h, delivery d) {
    const int32_t *first = h->first + d.from / h->width * 3;
    for (int64_t place = 0; d.from + place + h->width <= d.to; place += h->width, first += 3) {
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
static void look_up(int narrow, const hop *h, delivery d) {
    if (h->bits == 8) {
        if (narrow) look_up_as(1, 8, h, d);
        else look_up_as(0, 8, h, d);
    } else {
        if (narrow) look_up_as(1, h->bits, h, d);
        else look_up_as(0, h->bits, h, d);
    }
}
