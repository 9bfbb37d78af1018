/* Spikes as whole numbers. */

/* Rows of bits whose sums fit a byte. */
#define ROWS 255
/* Words of a line of the cache. */
#define WORDS 16

/* Of the spikes of a population as bits, uint8 [T, B, neurons / 8], their counts, int64 in the shape that the second input
 * holds; the neurons lie in blocks of `block` channels, up to 16, where that is more than 1. */
typedef struct {
    api functions;
    int64_t channels, block;
} total;

/* Adds the bits of `words` words of 32 neurons, up to WORDS, in `rows` rows, `apart` bytes from each other. A line of the
 * cache is read whole before the next row: rows may lie so that few of them fit the cache together. */
static void add_bits(const uint8_t *bits, int64_t words, int64_t rows, int64_t apart, int32_t *count) {
    uint8_t sum[32 * WORDS] = {0};
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
    for (int64_t i = 0; i < 32 * words; i++) count[i] += sum[i];
}

/* Counts of `n` neurons from `from` on to where they lie in order. */
static void put(const total *k, int64_t pixels, int64_t from, int64_t n, const int32_t *found, int64_t *count) {
    const int64_t block = k->block, first = from % (block * pixels) / block;
    count += from - from % (block * pixels);
    /* Whole pixels: the channels of each lie side by side, and go to where each channel has its pixels. */
    for (int64_t c = 0; c < block; c++)
        for (int64_t i = 0; i < n / block; i++) count[c * pixels + first + i] = found[i * block + c];
}

static status add_up(void *own, void *context) {
    const total *k = own;
    const uint8_t *bits;
    const int64_t *dims;
    int64_t *count, axis, shape[AXES], neurons = 1;
    size_t axes;
    TRY(input(k->functions, context, 0, &bits));
    TRY(input(k->functions, context, 1, &dims));
    TRY(shape_of(k->functions, context, 1, &axis, &axes));
    TRY(output(k->functions, context, 0, dims, axis, &count));
    TRY(shape_of(k->functions, context, 0, shape, &axes));
    for (int64_t i = 0; i < axis; i++) neurons *= dims[i];
    const int64_t rows = shape[0] * shape[1], apart = shape[2], pixels = neurons / k->channels;
    for (int64_t at = 0, bytes; at < apart; at += bytes) {
        int32_t found[32 * WORDS] = {0};
        bytes = apart - at < 4 * WORDS ? apart - at : 4 * WORDS;
        for (int64_t from = 0; from < rows; from += ROWS) {
            const int64_t some = rows - from < ROWS ? rows - from : ROWS;
            const uint8_t *first = bits + from * apart + at;
            add_bits(first, bytes / 4, some, apart, found);
            /* What is left of a row, without reading behind it. */
            for (int64_t r = 0; bytes % 4 && r < some; r++) {
                uint8_t last[4] = {0};
                memcpy(last, first + r * apart + bytes / 4 * 4, bytes % 4);
                add_bits(last, 1, 1, 0, found + bytes / 4 * 32);
            }
        }
        /* Channels of a block end together. */
        const int64_t end = 8 * (at + bytes) < neurons ? 8 * (at + bytes) : neurons, each = k->block * pixels;
        for (int64_t from = 8 * at, to; from < end; from = to) {
            to = (from / each + 1) * each < end ? (from / each + 1) * each : end;
            put(k, pixels, from, to - from, found + from - 8 * at, count);
        }
    }
    return 0;
}

static status create_total(const operator *own, api functions, const void *info, void **made) {
    (void)own;
    total *k = *made = malloc(sizeof *k);
    if (!k) return no_memory(functions);
    *k = (total){.functions = functions};
    TRY(CALL(functions, ATTRIBUTE_INT64, attribute_int64, info, "channels", &k->channels));
    return CALL(functions, ATTRIBUTE_INT64, attribute_int64, info, "block", &k->block);
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

static status create_events(const operator *own, api functions, const void *info, void **made) {
    (void)own, (void)info;
    api *k = *made = malloc(sizeof *k);
    if (!k) return no_memory(functions);
    *k = functions;
    return 0;
}
