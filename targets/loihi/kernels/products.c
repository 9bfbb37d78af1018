/* Products that skip no source: whole vectors of spikes with 16-bit weights, two of them a lane. */

/* Rows that share each weight read, and neurons of one strip. */
#define ROWS 4
#define STRIP 16

typedef struct {
    /* Of row r: its spikes and its sums. */
    const int16_t *spikes[ROWS];
    int32_t *sums[ROWS];
    const int32_t *taps[ROWS];
} rows;

/* Products of the spikes of a pair of sources, the halves of each lane, with LANES pairs of weights. */
INLINE ints paired(ints spikes, ints weights) {
#if defined(__AVX2__)
    return (ints)_mm256_madd_epi16((__m256i)spikes, (__m256i)weights);
#else
    return (spikes << 16 >> 16) * (weights << 16 >> 16) + (spikes >> 16) * (weights >> 16);
#endif
}

/* `value`, in a register: compilers read it again for each use, and loads bound the loop. */
INLINE ints loaded(ints value) {
#if defined(__AVX2__)
    __asm__("" : "+x"(value));
#endif
    return value;
}

/* Sums of `vectors` * LANES neurons from `at` on, for the first `count` of `r`. */
INLINE void strip(int vectors, int count, const hop *h, const rows *r, const int32_t *blocks, int64_t runs,
                  int64_t at) {
    ints sum[ROWS][STRIP / LANES];
    for (int i = 0; i < count; i++)
        for (int k = 0; k < vectors; k++) sum[i][k] = (ints){0};
    for (int64_t run = 0; run < runs; run++) {
        const int16_t *weights = h->weights + blocks[run] + 2 * h->pairs * at, *spikes[ROWS];
        for (int i = 0; i < count; i++) spikes[i] = r->spikes[i] + r->taps[i][run];
        for (int64_t pair = 0; pair < h->pairs; pair++, weights += 2 * LANES * vectors) {
            ints weight[STRIP / LANES];
            for (int k = 0; k < vectors; k++) weight[k] = loaded(*(const ints *)(weights + 2 * LANES * k));
            for (int i = 0; i < count; i++) {
                int32_t both;
                memcpy(&both, spikes[i] + 2 * pair, sizeof both);
                for (int k = 0; k < vectors; k++) sum[i][k] += paired(both - (ints){0}, weight[k]);
            }
        }
    }
    for (int i = 0; i < count; i++)
        for (int k = 0; k < vectors; k++) *(ints *)(r->sums[i] + at + LANES * k) += sum[i][k] << (int)h->exponent;
}

INLINE void strips(int count, const hop *h, const rows *r, const int32_t *blocks, int64_t runs) {
    int64_t at = 0;
    for (; at + STRIP <= h->width; at += STRIP) strip(STRIP / LANES, count, h, r, blocks, runs, at);
    if (at < h->width) strip(1, count, h, r, blocks, runs, at);
}

/* Adds the products of `steps` steps; spikes [steps, stride], sums [steps, neurons]. */
static void multiply(const hop *h, int64_t steps, const int16_t *spikes, int64_t stride, int32_t *sums,
                     int64_t neurons) {
    for (const int64_t *kind = h->kinds, *end = kind + 4 * h->kind_count; kind < end; kind += 4) {
        int64_t runs = kind[3], count = 0;
        const int32_t *blocks = h->blocks + kind[2];
        rows r;
        for (int64_t t = 0; t < steps; t++)
            for (int64_t i = 0; i < kind[1]; i++) {
                const int32_t *row = h->table + kind[0] + i * (runs + 1);
                r.spikes[count] = spikes + t * stride;
                r.sums[count] = sums + t * neurons + row[0];
                r.taps[count++] = row + 1;
                if (count < ROWS) continue;
                strips(ROWS, h, &r, blocks, runs);
                count = 0;
            }
        switch (count) {
            case 3: strips(3, h, &r, blocks, runs); break;
            case 2: strips(2, h, &r, blocks, runs); break;
            case 1: strips(1, h, &r, blocks, runs);
        }
    }
}

/* Bits of 16 neurons as 0 and 1, taken off or added. */
INLINE void spread(const uint64_t *mask, int64_t n, int negative, int16_t *to) {
    const shorts bits = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, -32768};
    for (int64_t i = 0; i < n; i += 16) {
        shorts some = (int16_t)(mask[i / 64] >> i % 64) - (shorts){0}, found = (some & bits) != 0;
        if (negative) *(shorts *)(to + i) += found;
        else *(shorts *)(to + i) = -found;
    }
}

/* The spikes that reach hop `h` in a step, as values in the order of its table; behind them stay zeros. */
static void fill(const hop *h, const node *from, int64_t b, int64_t t, int32_t *events, int16_t *to) {
    if (!h->planar) {
        spread(plane(from, b, t, 0), from->neurons, 0, to);
        if (from->planes > 1) spread(plane(from, b, t, 1), from->neurons, 1, to);
        memset(to + from->neurons, 0, (h->size - from->neurons) * sizeof(int16_t));
        return;
    }
    memset(to, 0, h->size * sizeof(int16_t));
    for (int64_t which = 0; which < from->planes; which++) {
        int64_t found = list(plane(from, b, t, which), from->words, events);
        for (int64_t i = 0; i < found; i++) {
            uint32_t channel = (uint32_t)events[i] / (uint32_t)h->divisor, pixel = events[i] - channel * h->divisor;
            to[pixel * 2 * h->pairs + channel] = which ? -1 : 1;
        }
    }
}

/* Adds what hop `h` delivers in `steps` steps from `t` on. */
static void product(const network *net, const hop *h, int64_t b, int64_t t, int64_t steps, const buffers *held,
                    int64_t neurons) {
    const node *from = net->nodes + h->source;
    for (int64_t i = 0; i < steps; i++) {
        int16_t *to = held->values + i * h->size;
        int64_t now = net->elapsed + t + i;
        if (now < h->delay) memset(to, 0, h->size * sizeof(int16_t));
        else fill(h, from, b, now - h->delay, held->events, to);
    }
    multiply(h, steps, held->values, h->size, held->current, neurons);
}
