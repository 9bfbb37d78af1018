/* Populations of neurons, one step a call; equations and the order of operations as in targets.graph.dynamics. Compiled
 * without contraction, so that nothing is rounded once where the equations round twice. */

/* Neurons that are updated together: their coefficients and counts stay near for all samples. */
#define TILE 512

/* Coefficients in the order of the inputs; bit i of `each` is set where coefficient i has a value a neuron. */
enum { GAIN, DECAY, LEAK, THRESHOLD, RESET, DECAY_SYNAPSE, COEFFICIENTS };

typedef struct {
    api functions;
    const operator *kind;
    int64_t each;
} population;

/* One sample's neurons of a tile. */
typedef struct {
    const float *in, *u, *v, *count;
    float *u_next, *v_next, *spikes, *count_next;
} tile;

/* No neuron reads what another one writes, though a count may be where it was. */
#define NEURONS(has_current, counts, value)                                      \
    _Pragma("GCC ivdep") for (int64_t i = 0; i < n; i++) {                       \
        float driven = value(GAIN) * t.in[i];                                    \
        if (has_current) {                                                       \
            driven = value(DECAY_SYNAPSE) * t.u[i] + driven;                     \
            t.u_next[i] = driven;                                                \
        }                                                                        \
        float v = (value(DECAY) * t.v[i] + driven) + value(LEAK);                \
        int fired = v > value(THRESHOLD);                                        \
        t.v_next[i] = fired ? value(RESET) : v;                                  \
        t.spikes[i] = fired ? 1.0f : 0.0f;                                       \
        if (counts) t.count_next[i] = t.count[i] + (fired ? 1.0f : 0.0f);        \
    }
#define SAME(c) one[c]
#define EACH(c) all[c][i]

/* `all`: coefficients of the tile's neurons; `one`: where they all share them. */
static inline __attribute__((always_inline)) void update(int has_current, int counts, int64_t n, const float *one,
                                                         const float *const *all, tile t) {
    if (all) {
        NEURONS(has_current, counts, EACH)
    } else {
        NEURONS(has_current, counts, SAME)
    }
}

static void update_as(const operator *kind, int64_t n, const float *one, const float *const *all, tile t) {
    if (kind->has_current && kind->counts) update(1, 1, n, one, all, t);
    else if (kind->has_current) update(1, 0, n, one, all, t);
    else if (kind->counts) update(0, 1, n, one, all, t);
    else update(0, 0, n, one, all, t);
}

/* Inputs: current [B, ...], v, the coefficients up to the reset, then u and its decay, then the count [1, neurons].
 * Outputs: v, spikes, then u, then the count. */
static status step(void *own, void *context) {
    const population *k = own;
    const operator *kind = k->kind;
    const int coefficients = kind->has_current ? COEFFICIENTS : DECAY_SYNAPSE;
    float held[COEFFICIENTS][TILE], one[COEFFICIENTS];
    const float *given[COEFFICIENTS], *all[COEFFICIENTS];
    int64_t shape[AXES], neurons = 1;
    size_t axes, next = 2, made = 2;
    tile whole = {0};

    TRY(shape_of(k->functions, context, 0, shape, &axes));
    for (size_t i = 1; i < axes; i++) neurons *= shape[i];
    TRY(input(k->functions, context, 0, &whole.in));
    TRY(input(k->functions, context, 1, &whole.v));
    for (int c = GAIN; c <= RESET; c++) TRY(input(k->functions, context, next++, given + c));
    TRY(output(k->functions, context, 0, shape, axes, &whole.v_next));
    TRY(output(k->functions, context, 1, shape, axes, &whole.spikes));
    if (kind->has_current) {
        TRY(input(k->functions, context, next++, &whole.u));
        TRY(input(k->functions, context, next++, given + DECAY_SYNAPSE));
        TRY(output(k->functions, context, made++, shape, axes, &whole.u_next));
    }
    if (kind->counts) {
        const int64_t flat[] = {1, neurons};
        TRY(input(k->functions, context, next, &whole.count));
        TRY(output(k->functions, context, made, flat, 2, &whole.count_next));
    }
    for (int c = 0; c < coefficients; c++) {
        one[c] = *given[c];
        if (k->each && !(k->each >> c & 1))
            for (int i = 0; i < TILE; i++) held[c][i] = one[c];
    }
    for (int64_t from = 0; from < neurons; from += TILE) {
        int64_t n = neurons - from < TILE ? neurons - from : TILE;
        for (int c = 0; c < coefficients; c++) all[c] = k->each >> c & 1 ? given[c] + from : held[c];
        for (int64_t b = 0; b < shape[0]; b++) {
            int64_t at = b * neurons + from;
            /* The second sample adds to what the first one has counted. */
            const float *count = (b ? whole.count_next : whole.count) + from;
            tile t = {whole.in + at,     whole.u + at,      whole.v + at,      count,
                      whole.u_next + at, whole.v_next + at, whole.spikes + at, whole.count_next + from};
            update_as(kind, n, one, k->each ? all : 0, t);
        }
    }
    return 0;
}

static status create_population(const operator *own, api functions, const void *info, void **made) {
    population *k = *made = malloc(sizeof *k);
    if (!k) return no_memory(functions);
    *k = (population){functions, own, 0};
    return CALL(functions, ATTRIBUTE_INT64, attribute_int64, info, "each", &k->each);
}
