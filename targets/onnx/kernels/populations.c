/* Populations of neurons, one step a call; equations and the order of operations as in targets.graph.dynamics. Compiled
 * without contraction, so that nothing is rounded once where the equations round twice. */

/* Neurons that are updated together, a multiple of 8: their coefficients stay near for all samples. */
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
    const float *in, *u, *v;
    float *u_next, *v_next, *spikes;
} tile;

/* No neuron reads what another one writes. */
#define NEURONS(has_current, value)                               \
    _Pragma("GCC ivdep") for (int64_t i = 0; i < n; i++) {        \
        float driven = value(GAIN) * t.in[i];                     \
        if (has_current) {                                        \
            driven = value(DECAY_SYNAPSE) * t.u[i] + driven;      \
            t.u_next[i] = driven;                                 \
        }                                                         \
        float v = (value(DECAY) * t.v[i] + driven) + value(LEAK); \
        int fired = v > value(THRESHOLD);                         \
        t.v_next[i] = fired ? value(RESET) : v;                   \
        t.spikes[i] = fired ? 1.0f : 0.0f;                        \
    }
#define SAME(c) one[c]
#define EACH(c) all[c][i]

/* `all`: coefficients of the tile's neurons; `one`: where they all share them. */
static void update(int has_current, int64_t n, const float *one, const float *const *all, tile t) {
    if (has_current && all) {
        NEURONS(1, EACH)
    } else if (has_current) {
        NEURONS(1, SAME)
    } else if (all) {
        NEURONS(0, EACH)
    } else {
        NEURONS(0, SAME)
    }
}

/* `n` spikes as bits, the last ones of the last byte empty. */
static void pack(const float *spikes, int64_t n, uint8_t *bits) {
    int64_t i = 0;
#if defined(__AVX2__)
    for (; i + 32 <= n; i += 32, bits += 4) {
        /* Saturated to bytes, 1.0 is above 0 still; each half of a register is packed by itself. */
        const __m256i *in = (const __m256i *)(spikes + i);
        __m256i low = _mm256_packs_epi32(_mm256_loadu_si256(in), _mm256_loadu_si256(in + 1));
        __m256i high = _mm256_packs_epi32(_mm256_loadu_si256(in + 2), _mm256_loadu_si256(in + 3));
        __m256i all = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high), _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
        int32_t word = _mm256_movemask_epi8(_mm256_cmpgt_epi8(all, _mm256_setzero_si256()));
        memcpy(bits, &word, sizeof word);
    }
#endif
    for (; i < n; i += 8) {
        uint8_t byte = 0;
        for (int bit = 0; bit < 8 && i + bit < n; bit++) byte |= (spikes[i + bit] != 0) << bit;
        *bits++ = byte;
    }
}

/* Inputs: current [B, ...], v, the coefficients up to the reset, then u and its decay. Outputs: v, spikes, then u, then
 * the spikes as bits, uint8 [B, neurons / 8]. */
static status step(void *own, void *context) {
    const population *k = own;
    const operator *kind = k->kind;
    const int coefficients = kind->has_current ? COEFFICIENTS : DECAY_SYNAPSE;
    float held[COEFFICIENTS][TILE], one[COEFFICIENTS];
    const float *given[COEFFICIENTS], *all[COEFFICIENTS];
    int64_t shape[AXES], neurons = 1;
    size_t axes, next = 2, made = 2;
    uint8_t *bits = 0;
    tile whole = {0};

    TRY(shape_of(k->functions, context, 0, shape, &axes));
    for (size_t i = 1; i < axes; i++) neurons *= shape[i];
    const int64_t bytes = (neurons + 7) / 8;
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
        const int64_t packed[] = {shape[0], bytes};
        TRY(output(k->functions, context, made, packed, 2, &bits));
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
            tile t = {whole.in + at,     whole.u + at,      whole.v + at,
                      whole.u_next + at, whole.v_next + at, whole.spikes + at};
            update(kind->has_current, n, one, k->each ? all : 0, t);
            if (bits) pack(t.spikes, n, bits + b * bytes + from / 8);
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
