/* Sums over the sources that spike. */

INLINE halves lower(shorts sum) {
    halves low;
    memcpy(&low, &sum, sizeof low);
    return low;
}

/* Adds the first `neurons` of `sum`, 8 or 16. */
INLINE void add_short(int32_t *to, int neurons, shorts sum, int64_t shift) {
    halves high;
    memcpy(&high, (char *)&sum + sizeof high, sizeof high);
    *(ints *)to += __builtin_convertvector(lower(sum), ints) << (int)shift;
    if (neurons > LANES) *(ints *)(to + LANES) += __builtin_convertvector(high, ints) << (int)shift;
}

INLINE void gather_as(int vectors, int narrow, const hop *h, int64_t at, const int32_t *events, int64_t n,
                      int32_t sign, void *current) {
    for (int64_t from = 0; from < n; from += h->most) {
        int64_t to = n - from < h->most ? n : from + h->most;
        shorts sum[BLOCK / 16];
        for (int k = 0; k < vectors; k++) sum[k] = (shorts){0};
        for (int64_t i = from; i < to; i++) {
            const int16_t *row = h->dense + events[i] * h->width + at;
            for (int k = 0; k < vectors; k++) sum[k] += *(const shorts *)(row + 16 * k);
        }
        for (int k = 0; k < vectors; k++) {
            if (sign < 0) sum[k] = -sum[k];
            if (narrow) *(shorts *)((int16_t *)current + at + 16 * k) += sum[k];
            else add_short((int32_t *)current + at + 16 * k, 16, sum[k], h->exponent);
        }
    }
}

/* Sums over the dense rows of the active sources. */
INLINE void gather_all(int narrow, const hop *h, const int32_t *events, int64_t n, int32_t sign, void *current) {
    int64_t at = 0;
    for (; at + BLOCK <= h->width; at += BLOCK) gather_as(BLOCK / 16, narrow, h, at, events, n, sign, current);
    for (; at + 64 <= h->width; at += 64) gather_as(4, narrow, h, at, events, n, sign, current);
    for (; at < h->width; at += 16) gather_as(1, narrow, h, at, events, n, sign, current);
}

static void gather(int narrow, const hop *h, const int32_t *events, int64_t n, int32_t sign, void *current) {
    if (narrow) gather_all(1, h, events, n, sign, current);
    else gather_all(0, h, events, n, sign, current);
}

/* Adds the runs of the active sources where they belong: a run is `units` vectors of values. */
#define SCATTER(name, value, vector)                                                                             \
    INLINE void name(int64_t units, const hop *h, const int32_t *events, int64_t n, int negative, value *to) {    \
        for (int64_t i = 0; i < n; i++) {                                                                        \
            uint32_t event = events[i], divisor = h->divisor;                                                    \
            uint32_t whole = h->shift < 0 ? event / divisor : event >> h->shift, rest = event - whole * divisor; \
            const value *rows = (const value *)h->rows + (int64_t)rest * h->width;                               \
            const int32_t *first = h->first + 3 * (int64_t)whole;                                                \
            const int32_t *run = h->runs + 2 * first[1], *end = h->runs + 2 * first[2];                          \
            for (; run < end; run += 2) {                                                                        \
                vector *at = (vector *)(to + first[0] + run[0]);                                                 \
                const vector *row = (const vector *)(rows + run[1]);                                             \
                for (int64_t k = 0; k < units; k++) at[k] = negative ? at[k] - row[k] : at[k] + row[k];          \
            }                                                                                                    \
        }                                                                                                        \
    }
SCATTER(scatter_ints, int32_t, ints)
SCATTER(scatter_shorts, int16_t, shorts)
SCATTER(scatter_halves, int16_t, halves)

static void scatter(int narrow, const hop *h, const int32_t *events, int64_t n, int negative, void *current) {
    int64_t width = h->width;
#define CASE(w, kind, units)                                        \
    case w:                                                         \
        if (negative) kind(units, h, events, n, 1, current);        \
        else kind(units, h, events, n, 0, current);                 \
        return;
    if (narrow) switch (width) {
        CASE(8, scatter_halves, 1)
        CASE(16, scatter_shorts, 1)
        CASE(32, scatter_shorts, 2)
        CASE(64, scatter_shorts, 4)
        default: scatter_halves(width / LANES, h, events, n, negative, current);
    }
    else switch (width) {
        CASE(8, scatter_ints, 1)
        CASE(16, scatter_ints, 2)
        CASE(32, scatter_ints, 4)
        default: scatter_ints(width / LANES, h, events, n, negative, current);
    }
#undef CASE
}
