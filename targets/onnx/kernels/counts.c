/* Events as whole numbers. */

/* Rows of bits whose sums fit a byte. */
#define ROWS 255
/* Words of a line of the cache, and neurons whose bits it holds. */
#define WORDS 16
#define LINE (32 * WORDS)
/* Pixels that are put in order together, and channels of the larger of the two blocks. */
#define PIXELS 16
#define BLOCK 16

/* A population whose neurons lie as [channels / block, pixels, block]; as in operators.py. */
typedef struct {
    int64_t neurons, pixels, block;
} counted;

/* Adds the bits of `words` words of 32 neurons in `rows` rows, `apart` bytes from each other. */
static void add_words(const uint8_t *bits, int64_t words, int64_t rows, int64_t apart, uint8_t *sum) {
    for (int64_t r = 0; r < rows; r++, bits += apart)
        for (int64_t w = 0; w < words; w++) {
#if defined(__AVX2__)
            const __m256i spread = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
            const __m256i which = _mm256_set1_epi64x(0x8040201008040201);
            __m256i *to = (__m256i *)(sum + 32 * w), all = _mm256_loadu_si256(to);
            int32_t word;
            memcpy(&word, bits + 4 * w, sizeof word);
            __m256i one = _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32(word), spread), which);
            _mm256_storeu_si256(to, _mm256_sub_epi8(all, _mm256_cmpeq_epi8(one, which)));
#else
            for (int i = 0; i < 32; i++) sum[32 * w + i] += bits[4 * w + i / 8] >> i % 8 & 1;
#endif
        }
}

/* Sums of the bits of `n` neurons, up to LINE, which is read whole before the next row: rows may lie so that few of them
 * fit the cache together. */
static void add_line(const uint8_t *bits, int64_t n, int64_t rows, int64_t apart, uint8_t *sum) {
    const int64_t bytes = (n + 7) / 8, words = bytes / 4;
    memset(sum, 0, LINE);
    add_words(bits, words, rows, apart, sum);
    /* What is left of a row, without reading behind it. */
    for (int64_t r = 0; bytes % 4 && r < rows; r++) {
        uint8_t last[4] = {0};
        memcpy(last, bits + r * apart + 4 * words, bytes % 4);
        add_words(last, 1, 1, 0, sum + 32 * words);
    }
}

/* The two halves of `from` by turns. */
static inline void shuffle(const uint8_t *restrict from, int64_t half, uint8_t *restrict to) {
    for (int64_t i = 0; i < half; i++) {
        to[2 * i] = from[i];
        to[2 * i + 1] = from[half + i];
    }
}

/* Of `n` pixels, whose channels of a block lie side by side, each channel to where it has its pixels. */
static inline void put(const uint8_t *sum, int64_t block, int64_t n, int64_t pixels, uint8_t *to) {
    const int64_t half = PIXELS * block / 2;
    int64_t i = 0;
    for (; i + PIXELS <= n; i += PIXELS, sum += 2 * half) {
        /* A shuffle moves the highest bit of a place to its end; after the four of the pixel, the channel leads. */
        uint8_t one[PIXELS * BLOCK], other[PIXELS * BLOCK];
        shuffle(sum, half, one);
        shuffle(one, half, other);
        shuffle(other, half, one);
        shuffle(one, half, other);
        for (int64_t c = 0; c < block; c++) memcpy(to + c * pixels + i, other + c * PIXELS, PIXELS);
    }
    for (; i < n; i++, sum += block)
        for (int64_t c = 0; c < block; c++) to[c * pixels + i] = sum[c];
}

/* Sums of the bits of one population in up to ROWS rows, in order. */
static void sum_rows(const counted *k, const uint8_t *bits, int64_t rows, int64_t apart, uint8_t *to) {
    uint8_t sum[LINE];
    /* Neurons of a block of channels, whose pixels follow each other. */
    const int64_t together = k->block > 1 ? k->block * k->pixels : k->neurons;
    for (int64_t from = 0; from < k->neurons; from += together, to += together)
        for (int64_t at = 0, n; at < together; at += n) {
            n = together - at < LINE ? together - at : LINE;
            add_line(bits + (from + at) / 8, n, rows, apart, sum);
            /* Sizes that the compiler knows. */
            if (k->block == 8)
                put(sum, 8, n / 8, k->pixels, to + at / 8);
            else if (k->block == BLOCK)
                put(sum, BLOCK, n / BLOCK, k->pixels, to + at / BLOCK);
            else
                memcpy(to + at, sum, n);
        }
}

/* Of a table of `counted` and the spikes of each as bits, uint8 [T, B, neurons / 8], sums of up to ROWS rows: uint8
 * [T * B / ROWS, all neurons], in order. What is small leaves onnxruntime at little cost. */
static status add_up(void *own, void *context) {
    const api functions = *(const api *)own;
    const counted *all;
    const uint8_t *bits;
    uint8_t *sums;
    int64_t populations[2], shape[AXES], made[2] = {0, 0};
    size_t axes;
    TRY(input(functions, context, 0, &all));
    TRY(shape_of(functions, context, 0, populations, &axes));
    TRY(shape_of(functions, context, 1, shape, &axes));
    const int64_t rows = shape[0] * shape[1];
    made[0] = (rows + ROWS - 1) / ROWS;
    for (int64_t p = 0; p < populations[0]; p++) made[1] += all[p].neurons;
    TRY(output(functions, context, 0, made, 2, &sums));
    for (int64_t p = 0; p < populations[0]; sums += all[p++].neurons) {
        const int64_t apart = (all[p].neurons + 7) / 8;
        TRY(input(functions, context, 1 + p, &bits));
        for (int64_t part = 0; part < made[0]; part++) {
            const int64_t row = part * ROWS;
            sum_rows(all + p, bits + row * apart, rows - row < ROWS ? rows - row : ROWS, apart, sums + part * made[1]);
        }
    }
    return 0;
}

static status create_counter(const operator *own, api functions, const void *info, void **made) {
    (void)own, (void)info;
    api *k = *made = malloc(sizeof *k);
    if (!k) return no_memory(functions);
    *k = functions;
    return 0;
}

/* Of an input [T, B, ...], how often each value is not zero, int64 [...]. */
static status count_events(void *own, void *context) {
    const api functions = *(const api *)own;
    const float *x;
    int64_t *count, shape[AXES], neurons = 1;
    size_t axes;
    TRY(shape_of(functions, context, 0, shape, &axes));
    TRY(input(functions, context, 0, &x));
    TRY(output(functions, context, 0, shape + 2, axes - 2, &count));
    for (size_t i = 2; i < axes; i++) neurons *= shape[i];
    for (int64_t from = 0; from < neurons; from += TILE) {
        const int64_t n = neurons - from < TILE ? neurons - from : TILE;
        int32_t found[TILE] = {0};
        for (int64_t row = 0; row < shape[0] * shape[1]; row++)
            for (int64_t i = 0; i < n; i++) found[i] += x[row * neurons + from + i] != 0;
        for (int64_t i = 0; i < n; i++) count[from + i] = found[i];
    }
    return 0;
}
